//! The queue for password hashing at sign-in.
//!
//! Anyone can cause a hash by trying to sign in, and each takes 19 MiB and some ten milliseconds.
//! So few run at once, few attempts wait, and they take turns by block of networks, then by
//! network, so that a flood delays mainly itself. An attempt from a network that the name has
//! signed in from is preferred: it gets every second turn and is never dropped for others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Network;

/// Hashes that run at once.
const AT_ONCE: usize = 2;
/// The most attempts that wait: on a small machine, the last waits about two seconds.
const WAITING: usize = 64;
/// The most preferred attempts among these, at most one for each name.
const PREFERRED: usize = WAITING / 2;

/// The name, and the network if the name has signed in from it. Attempts with the same key run one
/// after another, so that a failure is counted before the next attempt is judged.
pub(super) type Key = (u64, Option<u64>);

/// The queue of this node.
#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    running: Vec<Key>,
    /// Waiting attempts, in the order of their turns.
    waiting: Vec<Waiting>,
    /// Whether the last turn went to a preferred attempt.
    was_preferred: bool,
}

struct Waiting {
    key: Key,
    network: Network,
    is_preferred: bool,
    begin: oneshot::Sender<Turn>,
}

/// The right to compute one hash; dropping it ends the turn.
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
    /// Waits for a turn. `None` if too many attempts wait and this one was dropped in favour of
    /// networks with fewer.
    pub(super) async fn turn(self: &Arc<Self>, key: Key, network: Network) -> Option<Turn> {
        let (begin, turn) = oneshot::channel();
        self.state().add(key, network, begin);
        self.begin();
        turn.await.ok()
    }

    /// Starts the attempts whose turn has come.
    fn begin(self: &Arc<Self>) {
        loop {
            let next = self.state().next();
            let Some(Waiting { key, begin, .. }) = next else { return };
            // If the client is gone, this drops the turn, which locks the state again.
            drop(begin.send(Turn { queue: self.clone(), key }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds an attempt at the end. If too many wait then, the last one of the network with the most
    /// is dropped, in the block with the most: that may be the new one.
    fn add(&mut self, key: Key, network: Network, begin: oneshot::Sender<Turn>) {
        self.waiting.retain(|waiting| !waiting.begin.is_closed());
        let preferred = || self.waiting.iter().filter(|waiting| waiting.is_preferred);
        let is_preferred = key.1.is_some()
            && preferred().count() < PREFERRED
            && preferred().all(|other| other.key.0 != key.0);
        self.waiting.push(Waiting { key, network, is_preferred, begin });
        if self.waiting.len() <= WAITING {
            return;
        }
        let of = |is_same: &dyn Fn(Network) -> bool| {
            self.waiting.iter().filter(|waiting| is_same(waiting.network)).count()
        };
        let share = |&at: &usize| {
            let network = self.waiting.get(at)?.network;
            let block = of(&|other| other.block() == network.block());
            Some((block, of(&|other| other == network)))
        };
        let others = self.waiting.iter().enumerate().filter(|(_, other)| !other.is_preferred);
        // Of equal shares, `max_by_key` returns the last.
        if let Some(last) = others.map(|(at, _)| at).max_by_key(share) {
            self.waiting.remove(last);
        }
    }

    /// Removes and returns the attempt that may start now, if any. Its network goes to the end of
    /// its block's turns, and its block to the end of all.
    fn next(&mut self) -> Option<Waiting> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let first = |is_preferred: bool| {
            self.waiting.iter().position(|waiting| {
                waiting.is_preferred == is_preferred && !self.running.contains(&waiting.key)
            })
        };
        let at = first(!self.was_preferred).or_else(|| first(self.was_preferred))?;
        let next = self.waiting.remove(at);
        self.was_preferred = next.is_preferred;
        self.running.push(next.key);
        let (block, network) = (next.network.block(), next.network);
        // The sort is stable, so all other attempts keep their order.
        self.waiting
            .sort_by_key(|other| (other.network.block() == block, other.network == network));
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr, Ipv6Addr},
        pin::Pin,
    };

    use futures_util::future::{join_all, poll_immediate};

    use super::*;

    /// A network in a block of its own.
    fn network(block: u8) -> Network {
        Network::from(IpAddr::from(Ipv4Addr::new(192, 0, block, 1)))
    }

    /// A queue without free turns, so that new attempts wait.
    async fn full() -> (Arc<Queue>, Vec<Turn>) {
        let queue = Arc::new(Queue::default());
        let mut turns = Vec::new();
        for key in 0..AT_ONCE as u64 {
            turns.extend(queue.turn((key, None), network(0)).await);
        }
        assert_eq!(turns.len(), AT_ONCE);
        (queue, turns)
    }

    /// Makes attempts with these keys and networks wait.
    async fn wait<'a>(
        queue: &'a Arc<Queue>,
        all: impl IntoIterator<Item = (Key, Network)>,
    ) -> Vec<Pin<Box<dyn Future<Output = Option<Turn>> + 'a>>> {
        let mut waiting = Vec::new();
        for (key, network) in all {
            let mut turn: Pin<Box<dyn Future<Output = _>>> = Box::pin(queue.turn(key, network));
            assert!(poll_immediate(turn.as_mut()).await.is_none(), "{key:?} waits");
            waiting.push(turn);
        }
        waiting
    }

    fn names() -> impl Iterator<Item = Key> {
        (100..).map(|name| (name, None))
    }

    #[tokio::test]
    async fn a_network_that_floods_waits_behind_itself() {
        let (queue, mut turns) = full().await;
        let flood = names().zip([network(1); WAITING]);
        let mut floods = wait(&queue, flood).await;
        let more = queue.turn((200, None), network(1));
        assert!(poll_immediate(more).await.unwrap().is_none(), "the network has its share");
        let honest = wait(&queue, [((300, None), network(2))]).await.remove(0);
        assert!(floods.pop().unwrap().await.is_none(), "the flood made room");
        // One attempt of the flood gets the first turn, the honest attempt the second.
        drop(turns.pop());
        drop(turns.pop());
        assert!(poll_immediate(honest).await.is_some_and(|turn| turn.is_some()));
    }

    /// The networks of a block share its turns, because a /48 is as cheap as a /64.
    #[tokio::test]
    async fn the_networks_of_one_block_share_its_places_and_turns() {
        let (queue, mut turns) = full().await;
        let many = (0..WAITING as u128).map(|number| {
            let (block, prefix) = (0x2001_0db8_0001_u128 << 80, number << 64);
            Network::from(IpAddr::from(Ipv6Addr::from_bits(block | prefix)))
        });
        let mut floods = wait(&queue, names().zip(many)).await;
        let honest = wait(&queue, [((300, None), network(2)), ((301, None), network(3))]).await;
        for _ in 0..2 {
            assert!(floods.pop().unwrap().await.is_none(), "the block made room");
        }
        drop(turns.pop());
        drop(turns.pop());
        let first = floods.remove(0).await;
        assert!(first.is_some(), "the block came first");
        let mut honest = honest.into_iter();
        assert!(poll_immediate(honest.next().unwrap()).await.is_some_and(|turn| turn.is_some()));
        drop(first);
        assert!(poll_immediate(honest.next().unwrap()).await.is_some_and(|turn| turn.is_some()));
    }

    /// A network that shares its block with a flood waits behind one attempt of it, not behind all.
    #[tokio::test]
    async fn the_networks_of_a_block_take_turns() {
        let (queue, mut turns) = full().await;
        let of = |last| Network::from(IpAddr::from(Ipv4Addr::new(192, 0, 2, last)));
        let mut floods = wait(&queue, names().zip([of(1); WAITING])).await;
        let neighbour = wait(&queue, [((300, None), of(2))]).await.remove(0);
        assert!(floods.pop().unwrap().await.is_none(), "the flood made room");
        drop(turns.pop());
        drop(turns.pop());
        assert!(poll_immediate(neighbour).await.is_some_and(|turn| turn.is_some()));
    }

    #[tokio::test]
    async fn as_many_blocks_as_places_leave_one_for_who_signed_in_before() {
        let (queue, mut turns) = full().await;
        let blocks = (1..=u8::try_from(WAITING).unwrap()).map(network);
        let _floods = wait(&queue, names().zip(blocks)).await;
        let stranger = queue.turn((300, None), network(200));
        assert!(poll_immediate(stranger).await.unwrap().is_none(), "no block has more than one");
        let known = wait(&queue, [((301, Some(1)), network(201))]).await.remove(0);
        drop(turns.pop());
        assert!(poll_immediate(known).await.is_some_and(|turn| turn.is_some()), "it comes first");
    }

    /// A name with many home networks could otherwise take all preferred places.
    #[tokio::test]
    async fn one_attempt_of_a_name_is_preferred_and_every_second_turn_is_anybodys() {
        let (queue, mut turns) = full().await;
        let own = (0..WAITING as u64).map(|number| {
            let home = u8::try_from(number % 4).unwrap();
            ((100, Some(u64::from(home))), network(1 + home))
        });
        let mut floods = wait(&queue, own).await;
        let honest = wait(&queue, [((300, None), network(200))]).await.remove(0);
        assert!(floods.pop().unwrap().await.is_none(), "the flood made room");
        let known = wait(&queue, [((301, Some(1)), network(201))]).await.remove(0);
        assert!(floods.pop().unwrap().await.is_none(), "the flood made room again");
        let mut waiting: Vec<_> = floods.into_iter().map(|turn| ("own", turn)).collect();
        waiting.extend([("honest", honest), ("known", known)]);
        let mut turn = turns.pop();
        let mut order = Vec::new();
        while order.len() < 6 {
            drop(turn.take());
            let mut at = 0;
            turn = loop {
                if let Some(begun) = poll_immediate(&mut waiting[at].1).await {
                    break begun;
                }
                at += 1;
            };
            order.push(waiting.remove(at).0);
        }
        assert_eq!(order, ["own", "own", "known", "own", "own", "honest"]);
    }

    #[tokio::test]
    async fn attempts_at_one_name_take_turns_and_hold_up_no_other() {
        let queue = Arc::new(Queue::default());
        let first = queue.turn((1, None), network(1)).await.unwrap();
        let mut second = wait(&queue, [((1, None), network(2))]).await.remove(0);
        let other = queue.turn((2, None), network(3)).await.unwrap();
        drop(other);
        assert!(poll_immediate(second.as_mut()).await.is_none(), "its turn has not come");
        drop(first);
        assert!(second.await.is_some());
    }

    #[tokio::test]
    async fn a_client_that_goes_away_holds_no_place() {
        let (queue, turns) = full().await;
        for key in 0..3 * WAITING as u64 {
            let gone = queue.turn((100 + key, None), network(1));
            assert!(poll_immediate(gone).await.is_none(), "{key} waits, and goes away");
        }
        drop(turns);
        let all = (0..10).map(|key| queue.turn((key, None), network(1)));
        let turns = all.map(async |turn| drop(turn.await.unwrap()));
        join_all(turns).await;
        assert!(queue.state().running.is_empty() && queue.state().waiting.is_empty());
    }
}
