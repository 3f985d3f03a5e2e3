//! The places of a listener's connections: how many there are, and which connection is closed to
//! make room when all are taken.
//!
//! A connection either waits for its client (for a request, for the rest of one, or until the
//! client reads a response) or works for it. When the listener is full, or a network has all the
//! places it may have, the connection that has waited longest is closed in favour of the new one. A
//! working connection is never closed: if all of them work, the new one is refused.
//!
//! Progress streams, once there are any, should take places of a second `Places`: they never wait
//! for their client, and would fill this one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{sync::Notify, task::AbortHandle};

/// The special values of a place's number, above all numbers that [`Places::turn`] gives.
const WORKS: u64 = u64::MAX;
const ANSWERS: u64 = u64::MAX - 1;
const ENDED: u64 = u64::MAX - 2;

/// The places of one listener.
pub(super) struct Places {
    /// The state of each place's connection. A waiting connection has the number of its turn: the
    /// smallest has waited longest. The numbers are contiguous: scanning a full listener takes some
    /// microseconds.
    numbers: Box<[AtomicU64]>,
    turn: AtomicU64,
    /// The most places of one network; `None` for no limit.
    per_network: Option<usize>,
    taken: Mutex<Taken>,
    freed: Notify,
}

struct Taken {
    free: Vec<usize>,
    slots: Vec<Slot>,
    networks: HashMap<IpAddr, usize>,
}

#[derive(Clone, Default)]
struct Slot {
    network: Option<IpAddr>,
    task: Option<AbortHandle>,
}

/// The refusal: all places are taken, or all that this network may have.
pub(super) struct Full(pub(super) Option<IpAddr>);

/// The connection was closed to make room for another one.
#[derive(Debug, thiserror::Error)]
#[error("the connection was ended to make room for another one")]
pub(super) struct Ended;

impl Places {
    pub(super) fn new(most: usize, per_network: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            numbers: (0..most).map(|_| AtomicU64::new(WORKS)).collect(),
            turn: AtomicU64::new(0),
            per_network,
            taken: Mutex::new(Taken {
                free: (0..most).collect(),
                slots: vec![Slot::default(); most],
                networks: HashMap::new(),
            }),
            freed: Notify::new(),
        })
    }

    /// Takes a place for a connection of this network, if need be that of the connection that has
    /// waited longest; `None` counts for no network. Fails if all candidates are working.
    ///
    /// Only one task, the accept loop, may wait here.
    pub(super) async fn take(self: &Arc<Self>, network: Option<IpAddr>) -> Result<Place, Full> {
        loop {
            let full = match self.take_free(network) {
                Ok(place) => return Ok(place),
                Err(full) => full,
            };
            let Some(ended) = self.end_longest(&full) else { return Err(full) };
            // The place becomes free when the runtime drops the aborted task, which is at once.
            while ended.load(Relaxed) == ENDED {
                self.freed.notified().await;
            }
        }
    }

    fn take_free(self: &Arc<Self>, network: Option<IpAddr>) -> Result<Place, Full> {
        let mut taken = self.taken();
        if let (Some(network), Some(most)) = (network, self.per_network)
            && taken.networks.get(&network).is_some_and(|has| *has >= most)
        {
            return Err(Full(Some(network)));
        }
        let index = taken.free.pop().ok_or(Full(None))?;
        if let Some(slot) = taken.slots.get_mut(index) {
            *slot = Slot { network, task: None };
        }
        if let Some(network) = network {
            *taken.networks.entry(network).or_default() += 1;
        }
        drop(taken);
        let place = Place { places: self.clone(), index };
        place.wait();
        Ok(place)
    }

    /// Closes the connection that has waited longest, among those that could make room.
    fn end_longest(&self, full: &Full) -> Option<&AtomicU64> {
        let taken = self.taken();
        loop {
            let waiting = self.numbers.iter().zip(&taken.slots).filter_map(|(number, slot)| {
                let turn = number.load(Relaxed);
                let counts = turn < ENDED && (full.0.is_none() || full.0 == slot.network);
                counts.then_some((turn, number, slot))
            });
            let (turn, number, slot) = waiting.min_by_key(|(turn, ..)| *turn)?;
            // If a request has arrived meanwhile, the exchange fails and the search starts again.
            if number.compare_exchange(turn, ENDED, Relaxed, Relaxed).is_ok() {
                if let Some(task) = &slot.task {
                    task.abort();
                }
                return Some(number);
            }
        }
    }

    /// Registers the task whose abort closes the connection of this place.
    pub(super) fn belongs_to(&self, index: usize, task: AbortHandle) {
        if let Some(slot) = self.taken().slots.get_mut(index) {
            slot.task = Some(task);
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, which becomes free when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    index: usize,
}

impl Place {
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Marks the connection as waiting for its client.
    pub(super) fn wait(&self) {
        let turn = self.places.turn.fetch_add(1, Relaxed);
        self.change(|number| (number >= ANSWERS).then_some(turn));
    }

    /// Marks the connection as working for its client, unless it was closed meanwhile.
    pub(super) fn work(&self) -> Result<(), Ended> {
        if self.change(|number| (number != ENDED).then_some(WORKS)) { Ok(()) } else { Err(Ended) }
    }

    /// Marks the response as known but not yet sent.
    pub(super) fn answer(&self) {
        self.change(|number| (number != ENDED).then_some(ANSWERS));
    }

    /// Marks the response as sent, or as blocked by a client that does not read it.
    pub(super) fn answered(&self) {
        if self.number() == ANSWERS {
            self.wait();
        }
    }

    /// Whether the connection waits for its client.
    pub(super) fn is_waiting(&self) -> bool {
        self.number() < ENDED
    }

    fn number(&self) -> u64 {
        self.places.numbers.get(self.index).map_or(WORKS, |number| number.load(Relaxed))
    }

    fn change(&self, to: impl FnMut(u64) -> Option<u64>) -> bool {
        let number = self.places.numbers.get(self.index);
        number.is_some_and(|number| number.fetch_update(Relaxed, Relaxed, to).is_ok())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let slot = taken.slots.get_mut(self.index).map(std::mem::take);
        if let Some(network) = slot.and_then(|slot| slot.network)
            && let Some(has) = taken.networks.get_mut(&network)
        {
            *has -= 1;
            if *has == 0 {
                taken.networks.remove(&network);
            }
        }
        // Reset before the place is free, or its next connection would seem to be closed already.
        if let Some(number) = self.places.numbers.get(self.index) {
            number.store(WORKS, Relaxed);
        }
        taken.free.push(self.index);
        drop(taken);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    /// A connection that lives until it is closed, and its place.
    struct Lives(Arc<Place>, JoinHandle<()>);

    async fn lives(places: &Arc<Places>, network: Option<IpAddr>) -> Option<Lives> {
        let place = Arc::new(places.take(network).await.ok()?);
        let (index, kept) = (place.index(), place.clone());
        let task = tokio::spawn(async move {
            let _place = place;
            std::future::pending::<()>().await;
        });
        places.belongs_to(index, task.abort_handle());
        // The test must not keep the place longer than its task does.
        let weak = Arc::downgrade(&kept);
        drop(kept);
        weak.upgrade().map(|place| Lives(place, task))
    }

    #[tokio::test]
    async fn room_is_made_by_the_one_that_has_waited_longest_and_never_by_one_that_works() {
        let places = Places::new(3, None);
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let Lives(place, task) = lives(&places, None).await.unwrap();
            let place = Arc::downgrade(&place);
            tasks.push((place, task));
        }
        // The second has waited longest, since the first has answered a request meanwhile.
        let first = tasks[0].0.upgrade().unwrap();
        first.work().unwrap();
        first.answer();
        first.answered();
        drop(first);
        let newest = lives(&places, None).await.unwrap();
        drop(newest.0);
        assert!(tasks[1].1.is_finished() && !tasks[0].1.is_finished() && !tasks[2].1.is_finished());
        for (place, _) in &tasks {
            if let Some(place) = place.upgrade() {
                place.work().unwrap();
            }
        }
        let third = lives(&places, None).await.unwrap();
        third.0.work().unwrap();
        drop(third.0);
        assert!(newest.1.is_finished(), "the only one that waited");
        assert!(lives(&places, None).await.is_none(), "all of them work");
        // A connection that is sending its response is not closed; one that waits for its body is.
        let place = tasks[2].0.upgrade().unwrap();
        place.answer();
        assert!(lives(&places, None).await.is_none());
        place.answered();
        drop(place);
        assert!(lives(&places, None).await.is_some());
    }

    #[tokio::test]
    async fn a_network_has_its_own_bound_and_every_place_comes_back() {
        let places = Places::new(8, Some(2));
        let networks: Vec<IpAddr> = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap()).into();
        for _ in 0..100 {
            let mut tasks = Vec::new();
            for network in [networks[0], networks[0], networks[0], networks[1]] {
                tasks.push(lives(&places, Some(network)).await.unwrap().1);
            }
            assert!(tasks[0].is_finished(), "the network's own longest");
            assert!(!tasks[1].is_finished() && !tasks[3].is_finished());
            for task in &tasks[1..] {
                task.abort();
            }
            for task in tasks {
                let _ = task.await;
            }
        }
        let taken = places.taken();
        assert_eq!((taken.free.len(), taken.networks.len()), (8, 0));
        assert!(places.numbers.iter().all(|number| number.load(Relaxed) == WORKS));
    }

    #[tokio::test]
    async fn one_that_was_ended_does_no_more_work() {
        let places = Places::new(1, None);
        let place = places.take(None).await.ok().unwrap();
        assert!(places.end_longest(&Full(None)).is_some());
        assert!(place.work().is_err());
        place.answer();
        place.wait();
        assert!(place.work().is_err(), "ended is ended");
    }
}
