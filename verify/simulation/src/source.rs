//! A modelled source: passwords with a history, a minimum age and a lock-out, slow and lossy.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use rekey_connectors::{
    Account as Named, Change, Connector, Fault, FaultKind, Listed, Observed, Outcome, Rejection,
    Stamp, Verdict, Verification, another_account,
};
use tokio::{
    sync::mpsc, sync::oneshot, task::yield_now, time::Instant, time::sleep, time::timeout,
};

use crate::{history::Number, seeded_rng::SeededRng, world::World};

/// The time after which a connector gives up an operation.
const OPERATION: Duration = Duration::from_secs(10);
/// The longest delay after which a write of a sender that gave up still arrives, set by
/// `TCP_USER_TIMEOUT`.
const LATE: Duration = Duration::from_millis(9_500);
/// The duration of a lock-out.
const LOCKED: Duration = Duration::from_mins(1);
/// The number of wrong passwords that lock an account.
const LOCK_AFTER: u32 = 3;

/// How a source behaves in one history.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) verification: Verification,
    /// Whether the source gives an account a stamp, by which a change can be recognised.
    stamps: bool,
    /// Whether the source compares the stamp and sets the password in one step; otherwise the
    /// connector compares just before it writes.
    atomic: bool,
    /// The number of old passwords that the source refuses.
    remembers: usize,
    min_age: Duration,
    latency: Duration,
    /// The rates of writes, out of a thousand, whose request is lost, whose answer is lost, or
    /// which arrive late.
    lost_before: u64,
    lost_after: u64,
    late: u64,
    slow: u64,
    throttled: u64,
    /// The outage: after how long it begins, and how long it lasts.
    down: (Duration, Duration),
    /// The rate of writes, out of a thousand, before which the node stops between its last reading
    /// of the clock and the first byte.
    stops: u64,
}

impl Manner {
    pub(crate) fn random(rng: &SeededRng) -> Self {
        let rate = |most: u64| if rng.chance(600) { 0 } else { rng.next() % most };
        let verification = if rng.chance(500) { Verification::Exact } else { Verification::Stamp };
        Self {
            verification,
            stamps: verification == Verification::Stamp || rng.chance(700),
            atomic: rng.chance(400),
            remembers: rng.one_of(&[0, 0, 3]).unwrap_or(0),
            min_age: rng.one_of(&[0, 0, 0, 20]).map(Duration::from_secs).unwrap_or_default(),
            latency: rng.one_of(&[5, 50, 1500]).map(Duration::from_millis).unwrap_or_default(),
            lost_before: rate(300),
            lost_after: rate(300),
            late: rate(300),
            slow: rate(100),
            throttled: rate(200),
            down: if rng.chance(200) {
                (rng.up_to(Duration::from_mins(2)), rng.up_to(Duration::from_mins(4)))
            } else {
                (Duration::ZERO, Duration::ZERO)
            },
            stops: rate(400),
        }
    }
}

/// One account.
#[derive(Debug, Default)]
struct Account {
    password: Option<Number>,
    old: Vec<Option<Number>>,
    changes: u64,
    changed: Option<Instant>,
    wrong: u32,
    locked_until: Option<Instant>,
    /// For each request, the number of writes that set its password again while it was in force,
    /// and were sent in time.
    repeats: BTreeMap<Number, u32>,
    /// The writes under way, and whether each was sent in time.
    under_way: Vec<(Number, bool)>,
    /// The number of times that the account's name was given to another account.
    given_away: u64,
}

/// One source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) manner: Manner,
    accounts: Vec<Account>,
}

/// The source's answer to a write.
enum Said {
    Changed,
    Conflict,
    Refused { reused: bool },
}

impl Source {
    pub(crate) fn new(manner: Manner, people: usize) -> Self {
        let accounts = std::iter::repeat_with(Account::default).take(people).collect();
        Self { manner, accounts }
    }

    /// The password in force.
    pub(crate) fn in_force(&self, person: usize) -> Option<Number> {
        self.accounts.get(person).and_then(|account| account.password)
    }

    /// The most times that any one request's password was written over itself.
    pub(crate) fn most_repeats(&self) -> u32 {
        let all = self.accounts.iter().flat_map(|account| account.repeats.values());
        all.copied().max().unwrap_or(0)
    }

    /// Gives the name of a person's account to an account of a stranger.
    pub(crate) fn give_away(&mut self, person: usize) {
        if let Some(account) = self.accounts.get_mut(person) {
            account.given_away += 1;
        }
    }

    /// The stable id of the account that has the person's name now.
    pub(crate) fn stable_id(&self, person: usize) -> String {
        stable_id(person, self.accounts.get(person).map_or(0, |account| account.given_away))
    }

    fn stamp(&self, person: usize) -> Stamp {
        let changes = self.accounts.get(person).map_or(0, |account| account.changes);
        Stamp(if self.manner.stamps { changes.to_string() } else { String::new() })
    }

    /// Puts a password into force; `None` is one that was set without rekey.
    pub(crate) fn set(&mut self, person: usize, password: Option<Number>) {
        let Some(account) = self.accounts.get_mut(person) else { return };
        account.old.push(account.password);
        account.password = password;
        account.changes += 1;
        account.changed = Some(Instant::now());
        (account.wrong, account.locked_until) = (0, None);
    }

    fn write(
        &mut self,
        person: usize,
        password: Number,
        in_time: bool,
        expected: Option<&Stamp>,
    ) -> Said {
        if expected.is_some_and(|expected| expected.is_known() && *expected != self.stamp(person)) {
            return Said::Conflict;
        }
        let Manner { min_age, remembers, .. } = self.manner;
        let Some(account) = self.accounts.get_mut(person) else { return Said::Conflict };
        let reused = account.password == Some(password)
            || account.old.iter().rev().take(remembers).any(|old| *old == Some(password));
        if remembers > 0 && reused {
            return Said::Refused { reused: true };
        }
        if account.changed.is_some_and(|at| at.elapsed() < min_age) {
            return Said::Refused { reused: false };
        }
        if in_time && account.password == Some(password) {
            *account.repeats.entry(password).or_default() += 1;
        }
        self.set(person, Some(password));
        Said::Changed
    }

    /// Registers a write that leaves its node. Returns whether it and another write under way, with
    /// another password, were both sent in time.
    fn begin(&mut self, person: usize, password: Number, in_time: bool) -> bool {
        let Some(account) = self.accounts.get_mut(person) else { return false };
        let other =
            account.under_way.iter().any(|(number, in_time)| *number != password && *in_time);
        account.under_way.push((password, in_time));
        in_time && other
    }

    /// Removes a write that arrived from those under way.
    fn end(&mut self, person: usize, password: Number, in_time: bool) {
        let Some(account) = self.accounts.get_mut(person) else { return };
        if let Some(at) = account.under_way.iter().position(|way| *way == (password, in_time)) {
            account.under_way.swap_remove(at);
        }
    }

    /// Tries a sign-in; repeated failures lock the account.
    fn sign_in(&mut self, person: usize, password: Number) -> Verdict {
        let Some(account) = self.accounts.get_mut(person) else { return Verdict::CannotTell };
        if account.locked_until.is_some_and(|until| Instant::now() < until) {
            return Verdict::CannotTell;
        }
        if account.password == Some(password) {
            return Verdict::Yes;
        }
        account.wrong += 1;
        if account.wrong >= LOCK_AFTER {
            account.locked_until = Some(Instant::now() + LOCKED);
        }
        Verdict::No
    }
}

/// The connector from one node to one source.
pub(crate) struct Way {
    pub(crate) world: Arc<World>,
    pub(crate) node: usize,
    pub(crate) source: usize,
}

fn unreachable(what: &str) -> Fault {
    Fault::new(FaultKind::Unreachable, what)
}

fn number_of(change: &Change<'_>) -> Number {
    change.password.expose().trim_start_matches('p').parse().unwrap_or(usize::MAX)
}

/// The stable id of a person's account, or of the `given_away`-th account that had its name later.
pub(crate) fn stable_id(person: usize, given_away: u64) -> String {
    format!("id{person}.{given_away}")
}

fn person_of(native: &str) -> usize {
    native.trim_start_matches('n').parse().unwrap_or(usize::MAX)
}

impl Way {
    fn manner(&self) -> Manner {
        self.world.source(self.source, |source| source.manner.clone())
    }

    /// Simulates a round trip: latency, an outage, or throttling.
    async fn trip(&self) -> Result<(), Fault> {
        let manner = self.manner();
        sleep(self.world.rng.up_to(manner.latency)).await;
        let (from, span) = manner.down;
        let since = self.world.began.elapsed();
        if since >= from && since < from + span {
            return Err(unreachable("connection refused"));
        }
        if self.world.rng.chance(manner.throttled) {
            let mut fault = Fault::new(FaultKind::Throttled, "too many calls");
            fault.retry_after = Some(self.world.rng.up_to(Duration::from_secs(20)));
            return Err(fault);
        }
        Ok(())
    }

    /// Sends a write. It arrives, or is lost, independently of its sender's fate.
    async fn send(
        &self,
        person: usize,
        password: Number,
        observed: &Stamp,
        in_time: bool,
    ) -> (oneshot::Receiver<Said>, bool) {
        let manner = self.manner();
        let rng = &self.world.rng;
        let (tell, told) = oneshot::channel();
        let (mut arrives, mut answered, mut hung_up) = (true, true, false);
        let mut delay = rng.up_to(manner.latency);
        if rng.chance(manner.lost_before) {
            (arrives, answered, hung_up) = (false, false, rng.chance(500));
        } else if rng.chance(manner.lost_after) {
            (answered, hung_up) = (false, rng.chance(500));
        } else if rng.chance(manner.late) {
            (answered, hung_up) = (false, rng.chance(500));
            delay = rng.up_to(LATE);
        } else if rng.chance(manner.slow) {
            delay = rng.up_to(LATE);
        }
        let (world, source, node) = (self.world.clone(), self.source, self.node);
        world.sends(node, source, person, password).await;
        let overlaps =
            arrives && world.source(source, |source| source.begin(person, password, in_time));
        if overlaps {
            world.broke(format!(
                "I6: p{password} was sent to n{person} while another was under way"
            ));
        }
        let expected = manner.atomic.then(|| observed.clone());
        tokio::spawn(async move {
            if arrives {
                sleep(delay).await;
                let (said, is_theirs) = world.source(source, |source| {
                    source.end(person, password, in_time);
                    let is_theirs = source.stable_id(person) == stable_id(person, 0);
                    // A stranger's account takes any password, and the person's account is
                    // unchanged.
                    let said = if is_theirs {
                        source.write(person, password, in_time, expected.as_ref())
                    } else {
                        Said::Changed
                    };
                    (said, is_theirs)
                });
                let changed = is_theirs && matches!(said, Said::Changed);
                world.wrote(source, person, password, changed);
                if answered {
                    let _ = tell.send(said);
                    return;
                }
            }
            // The answer is lost, but the connection stays open until the connector gives up.
            sleep(OPERATION).await;
            drop(tell);
        });
        (told, hung_up)
    }
}

#[async_trait]
impl Connector for Way {
    async fn test(&self) -> Result<(), Fault> {
        self.trip().await
    }

    async fn accounts(&self, _: mpsc::Sender<Listed>) -> Result<(), Fault> {
        self.trip().await
    }

    async fn observe(&self, account: &Named<'_>) -> Result<Observed, Fault> {
        self.trip().await?;
        let person = person_of(account.native_identity);
        let observed = self.world.source(self.source, |source| Observed {
            stamp: source.stamp(person),
            stable_id: Some(source.stable_id(person)),
            correlation: Vec::new(),
        });
        Ok(observed)
    }

    async fn apply(
        &self,
        change: &Change<'_>,
        observed: &Stamp,
        deadline: std::time::Instant,
    ) -> Outcome {
        let (person, password) = (person_of(change.account.native_identity), number_of(change));
        let announced_to = self.world.source(self.source, |source| source.stable_id(person));
        if let Err(fault) = self.trip().await {
            return Outcome::NotApplied(fault);
        }
        let (stamp, id) = self
            .world
            .source(self.source, |source| (source.stamp(person), source.stable_id(person)));
        if change.account.stable_id.is_some_and(|known| known != id) {
            return Outcome::NotApplied(another_account());
        }
        if observed.is_known() && *observed != stamp {
            let mut fault = Fault::new(FaultKind::Conflict, "changed at the same moment");
            fault.retry_after = Some(Duration::from_secs(1));
            return Outcome::NotApplied(fault);
        }
        if Instant::now().into_std() >= deadline {
            return Outcome::NotApplied(unreachable("too late"));
        }
        if self.world.rng.chance(self.manner().stops) {
            self.world.stop_at_the_worst_moment(self.node);
        }
        yield_now().await;
        let in_time = Instant::now().into_std() < deadline;
        if announced_to != stable_id(person, 0) {
            self.world.broke(format!(
                "I9: p{password} of n{person} was sent to an account that was not theirs"
            ));
        }
        let (told, hung_up) = self.send(person, password, observed, in_time).await;
        let said = if hung_up {
            sleep(self.world.rng.up_to(Duration::from_secs(1))).await;
            None
        } else {
            timeout(OPERATION, told).await.ok().and_then(Result::ok)
        };
        match said {
            Some(Said::Changed) => Outcome::Applied,
            Some(Said::Conflict) => Outcome::NotApplied(unreachable("changed meanwhile")),
            Some(Said::Refused { reused }) => {
                let message = if reused { "in history" } else { "too young" }.to_owned();
                Outcome::Rejected(Rejection { message, reused })
            }
            None => Outcome::Unknown(unreachable("no answer")),
        }
    }

    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        let (person, password) = (person_of(change.account.native_identity), number_of(change));
        self.trip().await?;
        if self.world.source(self.source, |source| source.stable_id(person)) != stable_id(person, 0)
        {
            return if change.account.stable_id.is_some() {
                Err(another_account())
            } else {
                Ok(Verdict::No)
            };
        }
        Ok(self.world.source(self.source, |source| match source.manner.verification {
            Verification::Exact if source.manner.stamps => {
                if source.in_force(person) == Some(password) { Verdict::Yes } else { Verdict::No }
            }
            Verification::Exact | Verification::Stamp => source.sign_in(person, password),
        }))
    }
}
