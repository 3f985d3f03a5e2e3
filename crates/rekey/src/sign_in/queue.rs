//! Whose password is hashed next.
//!
//! Anyone may ask for a hash by trying to sign in, and each takes 19 MiB and some ten milliseconds.
//! So few are made at once, few wait, and networks share the places: a network that floods
//! waits behind itself. An attempt from a network that the name has signed in from comes first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Network;

/// Hashes at once.
const AT_ONCE: usize = 2;
/// Attempts that wait: those before the last take about two seconds on a small machine.
const WAITING: usize = 64;

/// Attempts with the same key take turns, so that the failure of one is counted before the next.
pub(super) type Key = (u64, Option<u64>);

/// The queue of this node.
#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    running: Vec<Key>,
    /// In the order of their arrival.
    waiting: Vec<Waiting>,
    /// The round of the attempt that began last.
    round: u64,
}

struct Waiting {
    key: Key,
    network: Network,
    is_preferred: bool,
    /// A network has one attempt in a round.
    round: u64,
    begin: oneshot::Sender<Turn>,
}

/// The right to make one hash, until it is dropped.
pub(super) struct Turn {
    queue: Arc<Queue>,
    key: Key,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        if let Some(at) = state.running.iter().position(|key| *key == self.key) {
            state.running.swap_remove(at);
        }
        drop(state);
        self.queue.begin();
    }
}

impl Queue {
    /// Waits for a turn; none if too many wait, or if this one has to make room for networks that
    /// have fewer.
    pub(super) async fn turn(
        self: &Arc<Self>,
        key: Key,
        network: Network,
        is_preferred: bool,
    ) -> Option<Turn> {
        let (begin, turn) = oneshot::channel();
        {
            let mut state = self.state();
            state.waiting.retain(|waiting| !waiting.begin.is_closed());
            let own = state.of(network);
            if state.waiting.len() >= WAITING && !state.make_room(own, is_preferred) {
                return None;
            }
            let round = state.round.saturating_add(own as u64);
            state.waiting.push(Waiting { key, network, is_preferred, round, begin });
        }
        self.begin();
        turn.await.ok()
    }

    /// Begins what may begin.
    fn begin(self: &Arc<Self>) {
        loop {
            let next = self.state().next();
            let Some(Waiting { key, begin, .. }) = next else { return };
            // The turn of an attempt whose client has gone is dropped here, outside the lock.
            drop(begin.send(Turn { queue: self.clone(), key }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many attempts of this network wait.
    fn of(&self, network: Network) -> usize {
        self.waiting.iter().filter(|waiting| waiting.network == network).count()
    }

    /// Takes the place of the latest attempt of the network that has the most, if it has more than
    /// the newcomer's network would, or the newcomer is preferred; whether there is room.
    fn make_room(&mut self, own: usize, is_preferred: bool) -> bool {
        let others = self.waiting.iter().enumerate().filter(|(_, other)| !other.is_preferred);
        let most = others.map(|(at, other)| (self.of(other.network), at)).max();
        match most {
            Some((count, at)) if is_preferred || count > own + 1 => {
                self.waiting.remove(at);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes out the attempt that begins now, if one may.
    fn next(&mut self) -> Option<Waiting> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let free = self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, waiting)| !self.running.contains(&waiting.key));
        let (at, _) = free.min_by_key(|(_, waiting)| (!waiting.is_preferred, waiting.round))?;
        let next = self.waiting.remove(at);
        self.round = self.round.max(next.round);
        self.running.push(next.key);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::future::{join_all, poll_immediate};

    use super::*;

    fn network(last: u8) -> Network {
        Network::from(IpAddr::from(Ipv4Addr::new(192, 0, 2, last)))
    }

    /// A queue in which everything that may begin has begun: what comes now waits.
    async fn full() -> (Arc<Queue>, Vec<Turn>) {
        let queue = Arc::new(Queue::default());
        let mut turns = Vec::new();
        for key in 0..AT_ONCE as u64 {
            turns.extend(queue.turn((key, None), network(0), false).await);
        }
        assert_eq!(turns.len(), AT_ONCE);
        (queue, turns)
    }

    #[tokio::test]
    async fn a_network_that_floods_waits_behind_itself() {
        let (queue, mut turns) = full().await;
        let mut floods = (0..WAITING as u64)
            .map(|key| Box::pin(queue.turn((100 + key, None), network(1), false)))
            .collect::<Vec<_>>();
        for flood in &mut floods {
            assert!(poll_immediate(flood.as_mut()).await.is_none(), "it waits");
        }
        let more = queue.turn((200, None), network(1), false);
        assert!(poll_immediate(more).await.unwrap().is_none(), "the network has its share");
        let mut honest = Box::pin(queue.turn((300, None), network(2), false));
        assert!(poll_immediate(honest.as_mut()).await.is_none(), "it waits");
        let last = floods.pop().unwrap();
        assert!(last.await.is_none(), "the flood made room");
        // One of the flood came first in its round, then the honest one's turn comes.
        drop(turns.pop());
        drop(turns.pop());
        assert!(poll_immediate(honest).await.is_some_and(|turn| turn.is_some()));
    }

    #[tokio::test]
    async fn as_many_networks_as_places_leave_one_for_who_signed_in_before() {
        let (queue, mut turns) = full().await;
        let many = |last| queue.turn((100 + u64::from(last), None), network(last), false);
        let mut floods = (1..=u8::try_from(WAITING).unwrap())
            .map(|last| Box::pin(many(last)))
            .collect::<Vec<_>>();
        for flood in &mut floods {
            assert!(poll_immediate(flood.as_mut()).await.is_none());
        }
        let stranger = queue.turn((300, None), network(200), false);
        assert!(poll_immediate(stranger).await.unwrap().is_none(), "no network has more than one");
        let mut known = Box::pin(queue.turn((301, Some(1)), network(201), true));
        assert!(poll_immediate(known.as_mut()).await.is_none());
        drop(turns.pop());
        assert!(poll_immediate(known).await.is_some_and(|turn| turn.is_some()), "it comes first");
    }

    #[tokio::test]
    async fn attempts_at_one_name_take_turns_and_hold_up_no_other() {
        let queue = Arc::new(Queue::default());
        let first = queue.turn((1, None), network(1), false).await.unwrap();
        let mut second = Box::pin(queue.turn((1, None), network(2), false));
        assert!(poll_immediate(second.as_mut()).await.is_none());
        let other = queue.turn((2, None), network(3), false).await.unwrap();
        drop(other);
        assert!(poll_immediate(second.as_mut()).await.is_none(), "its turn has not come");
        drop(first);
        assert!(second.await.is_some());
    }

    #[tokio::test]
    async fn a_client_that_goes_away_holds_no_place() {
        let (queue, turns) = full().await;
        for key in 0..3 * WAITING as u64 {
            let gone = queue.turn((100 + key, None), network(1), false);
            assert!(poll_immediate(gone).await.is_none(), "{key} waits, and goes away");
        }
        drop(turns);
        let all = (0..10).map(|key| queue.turn((key, None), network(1), false));
        let turns = all.map(async |turn| drop(turn.await.unwrap()));
        join_all(turns).await;
        assert!(queue.state().running.is_empty() && queue.state().waiting.is_empty());
    }
}
