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

/// The number of threads, and so of connections, that read lists.
pub(super) const THREADS: usize = 2;
/// The time limit of a list.
pub(super) const TIME: Duration = Duration::from_secs(2);
/// The maximum number of lists that wait or are being read, shared among the callers that have one,
/// and the maximum of a single caller.
const MOST: usize = 32;
const MOST_OF_ONE: usize = 8;

/// A handle to the list threads; cheap to clone.
#[derive(Clone)]
pub(super) struct Lists {
    crew: Crew,
    lanes: Arc<Lanes>,
}

/// The callers that have lists waiting or being read.
#[derive(Default)]
struct Lanes(Mutex<HashMap<String, Lane>>);

struct Lane {
    lists: usize,
    turn: Arc<Semaphore>,
}

/// A list's place among the lists of its caller; it is freed when dropped.
struct Place {
    lanes: Arc<Lanes>,
    caller: String,
    turn: Arc<Semaphore>,
}

impl Lists {
    pub(super) fn new(crew: Crew) -> Self {
        Self { crew, lanes: Arc::default() }
    }

    /// Reads a list of `caller` on one of the list threads. Fails with [`Error::Busy`] if too many
    /// wait, and with [`Error::TooLong`] at the time limit.
    pub(super) async fn read<T, E, F>(&self, caller: &str, look: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Fail + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    {
        let place = self.lanes.enter(caller)?;
        let turn = place.turn().await?;
        let mut look = Some((look, place, turn));
        // The task owns the place: when a caller disconnects, its query still runs.
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
        // A caller's share shrinks with each further caller, but never below one: a caller's first
        // list always gets a place, however many lists the other callers have waiting.
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
    /// Waits until no other list of the caller is queued or being read.
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
        // The first callers keep the places that they have, but get no further ones.
        places[0].truncate(1);
        assert!(take(1).is_empty());
        places.truncate(2);
        assert_eq!(take(1).len(), 7);
    }
}
