//! Lists: queries that may read every row, apart from all others.
//!
//! Lists have threads and connections of their own, a time limit and a bounded queue, so that point
//! reads never wait for them. Each caller has one list in the queue at a time: the lists of one
//! caller leave a thread to the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Error, Fail, Result, Tx, crew::Crew};

/// Threads, and so connections, that read lists.
pub(super) const THREADS: usize = 2;
/// How long a list may be read.
pub(super) const TIME: Duration = Duration::from_secs(2);
/// Lists that wait or are read, shared among the callers that have any; of one caller, at most.
const MOST: usize = 32;
const MOST_OF_ONE: usize = 8;

/// The way to the threads; cheap to clone.
#[derive(Clone)]
pub(super) struct Lists {
    crew: Crew,
    lanes: Arc<Lanes>,
}

/// The callers whose lists wait or are read.
#[derive(Default)]
struct Lanes(Mutex<HashMap<String, Lane>>);

struct Lane {
    lists: usize,
    turn: Arc<Semaphore>,
}

/// A list's place in the lane of its caller; given back when dropped.
struct Place {
    lanes: Arc<Lanes>,
    caller: String,
    turn: Arc<Semaphore>,
}

impl Lists {
    pub(super) fn new(crew: Crew) -> Self {
        Self { crew, lanes: Arc::default() }
    }

    /// Reads a list of a caller on one of the threads; [`Error::Busy`] where too many wait.
    pub(super) async fn read<T, E, F>(&self, caller: &str, look: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Fail + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    {
        let place = self.lanes.enter(caller)?;
        let turn = place.turn().await?;
        let mut look = Some((look, place, turn));
        // The place goes with the work: a caller who hangs up has not ended the query.
        let work = move |tx: &mut Tx<'_>| {
            let (look, _place, _turn) = look.take().ok_or(Error::Closed)?;
            look(tx)
        };
        match self.crew.told(work).await {
            Err(error) if error.store().is_some_and(Error::is_interrupted) => {
                Err(Error::TooLong(TIME).into())
            }
            done => done,
        }
    }

    pub(super) async fn close(&self, at_most: Duration) {
        self.crew.close(at_most).await;
    }
}

impl Lanes {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, caller: &str) -> Result<Place> {
        let mut all = self.all();
        let of_one = all.get(caller).map_or(0, |lane| lane.lists);
        let callers = all.len() + usize::from(of_one == 0);
        // The share shrinks with each further caller, and never below one: however many lists the
        // others have waiting, the first list of a caller has a place.
        if of_one >= (MOST / callers).clamp(1, MOST_OF_ONE) {
            return Err(Error::Busy);
        }
        let lane = all
            .entry(caller.to_owned())
            .or_insert_with(|| Lane { lists: 0, turn: Arc::new(Semaphore::new(1)) });
        lane.lists += 1;
        Ok(Place { lanes: self.clone(), caller: caller.to_owned(), turn: lane.turn.clone() })
    }
}

impl Place {
    /// Waits until no other list of the caller is in the queue.
    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        self.turn.clone().acquire_owned().await.map_err(|_| Error::Closed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.lanes.all();
        if let Some(lane) = all.get_mut(&self.caller) {
            lane.lists -= 1;
            if lane.lists == 0 {
                all.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_has_one_turn_and_few_places() {
        let lanes = Arc::<Lanes>::default();
        let first = lanes.enter("a").unwrap();
        let turn = first.turn().await.unwrap();
        let places: Vec<_> = (1..MOST_OF_ONE).map(|_| lanes.enter("a").unwrap()).collect();
        assert!(matches!(lanes.enter("a"), Err(Error::Busy)));
        assert_eq!(places[0].turn.available_permits(), 0);
        drop((turn, places, first));
        assert!(lanes.all().is_empty());
    }

    #[test]
    fn the_share_of_a_caller_shrinks_to_one_with_the_number_of_callers() {
        let lanes = Arc::<Lanes>::default();
        let take = |caller: usize| {
            let caller = caller.to_string();
            std::iter::from_fn(|| lanes.enter(&caller).ok()).collect::<Vec<_>>()
        };
        let mut places: Vec<_> = (1..=100).map(take).collect();
        let sizes: Vec<_> = places.iter().map(Vec::len).collect();
        assert_eq!(sizes[..7], [8, 8, 8, 8, 6, 5, 4]);
        assert!(sizes[16..].iter().all(|size| *size == 1), "{sizes:?}");
        // What the first callers had before remains; they get no more of it.
        places[0].truncate(1);
        assert!(take(1).is_empty());
        places.truncate(2);
        assert_eq!(take(1).len(), 7);
    }
}
