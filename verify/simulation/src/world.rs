//! The world around the nodes: the store, the sources, the people, and the observer of them all.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rekey::{
    App, Error,
    config::Config,
    model::time::{Clock, Micros},
    store::{Store, Tx},
};
use rekey_vault::{Sealer, sha256};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::{
    Control,
    check::Count,
    client::Asked,
    history::{Effect, History, Number, Request},
    seeded_rng::SeededRng,
    setup::{PEOPLE, SOURCES, Setup},
    source::{Manner, Source, Way},
};

/// The start time of every history.
pub(crate) const BEGIN: Micros = Micros(1_800_000_000_000_000);

/// The parameters that a seed draws at the start.
pub(crate) struct Mood {
    pub(crate) nodes: usize,
    pub(crate) deadline: Duration,
    /// The rates of steps, out of a thousand, before which a node stops or dies.
    pub(crate) stops: u64,
    pub(crate) dies: u64,
    /// The rate, out of a thousand, of password changes that somebody makes without rekey.
    pub(crate) meddles: u64,
    /// The rate of histories, out of a thousand, in which the changes of a source are cancelled
    /// once.
    pub(crate) cancels: u64,
    /// The number of sources in the sync group.
    pub(crate) group: usize,
    pub(crate) requests: usize,
    /// The span within which all requests are sent.
    pub(crate) spread: Duration,
}

pub(crate) struct World {
    pub(crate) rng: SeededRng,
    /// The generator for reusing the name of an account, in one of ten histories. It is separate
    /// from `rng` so that the draws of all other events are unchanged by it.
    pub(crate) reuse: Option<SeededRng>,
    pub(crate) began: Instant,
    pub(crate) mood: Mood,
    pub(crate) control: Option<Control>,
    /// Notified when something happened that others may be waiting for.
    pub(crate) changed: Notify,
    /// Set once nodes run undisturbed.
    pub(crate) calm: AtomicBool,
    pub(crate) ways_in: Mutex<BTreeMap<usize, mpsc::UnboundedSender<Asked>>>,
    store: Store,
    sealer: Sealer,
    clock: Clock,
    clocks: Vec<Clock>,
    sources: Mutex<Vec<Source>>,
    history: Mutex<History>,
    /// The nodes that must stop before their next step, and for how long.
    to_stop: Mutex<BTreeMap<usize, Duration>>,
    running: Mutex<(usize, Micros)>,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(
        setup: &Setup,
        seed: u64,
        control: Option<Control>,
        story: bool,
    ) -> Arc<Self> {
        let rng = SeededRng::new(seed);
        let seconds = |of: &[u64]| Duration::from_secs(rng.one_of(of).unwrap_or(60));
        let mood = Mood {
            nodes: 1 + rng.below(5),
            deadline: seconds(&[60, 60, 120, 300]),
            stops: rng.one_of(&[0, 0, 2, 10]).unwrap_or(0),
            dies: rng.one_of(&[0, 0, 2, 10]).unwrap_or(0),
            meddles: rng.one_of(&[0, 0, 200]).unwrap_or(0),
            cancels: 300,
            group: rng.one_of(&[0, 0, 2, 3]).unwrap_or(0),
            requests: 2 + rng.below(9),
            spread: seconds(&[2, 30, 90, 240]),
        };
        let clock = Clock::with_the_runtime(BEGIN);
        let clocks: Vec<_> = (0..mood.nodes).map(|_| Clock::with_the_runtime(BEGIN)).collect();
        for node in &clocks {
            if rng.chance(500) {
                jump(node, &rng, Duration::from_mins(3));
            }
        }
        let manners: Vec<_> = (0..SOURCES).map(|_| Manner::random(&rng)).collect();
        let sources = manners.into_iter().map(|manner| Source::new(manner, PEOPLE)).collect();
        let history = History { story: story.then(Vec::new), ..History::default() };
        Arc::new(Self {
            reuse: (seed % 10 == 4).then(|| SeededRng::new(!seed)),
            began: Instant::now(),
            control,
            changed: Notify::new(),
            calm: AtomicBool::new(false),
            ways_in: Mutex::default(),
            store: setup.store.timed_by(clock.clone()),
            sealer: setup.sealer.clone(),
            clock,
            clocks,
            sources: Mutex::new(sources),
            history: Mutex::new(history),
            to_stop: Mutex::default(),
            running: Mutex::new((mood.nodes, BEGIN)),
            rng,
            mood,
        })
    }

    /// The time on the store's clock.
    pub(crate) fn now(&self) -> Micros {
        self.clock.now()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Starts a node and returns two instances: one that accepts and one that executes. They are
    /// the same, except in the controls `NodeOrder` and `NodeLease`.
    pub(crate) async fn start(self: &Arc<Self>, node: usize) -> Result<(App, App), Error> {
        let own = self.clocks.get(node).cloned().unwrap_or_default();
        let here = self.store.timed_by(own.clone());
        let front = matches!(self.control, Some(Control::NodeOrder));
        let back = matches!(self.control, Some(Control::NodeLease));
        let back = self.app(node, if back { &here } else { &self.store }, &own).await?;
        let front = if front { self.app(node, &here, &own).await? } else { back.clone() };
        Ok((front, back))
    }

    async fn app(self: &Arc<Self>, node: usize, store: &Store, own: &Clock) -> Result<App, Error> {
        let mut config = Config::default();
        config.changes.deadline = self.mood.deadline;
        config.changes.per_source = 1 + self.rng.below(4);
        config.limits.changes_per_account_per_day = 0;
        let app = App::new(config, store.clone(), self.sealer.clone(), own.clone()).await?;
        app.jitter.seed(self.rng.next());
        for source in 0..SOURCES {
            let verification = self.source(source, |source| source.manner.verification);
            let way = Way { world: self.clone(), node, source };
            app.handles.plug(&Setup::source_id(source), verification, Arc::new(way));
        }
        Ok(app)
    }

    /// Sets a node's clock up to two minutes forward or back.
    pub(crate) fn jump(&self, node: usize) {
        if let Some(clock) = self.clocks.get(node) {
            jump(clock, &self.rng, Duration::from_mins(2));
        }
    }

    pub(crate) fn source<T>(&self, source: usize, look: impl FnOnce(&mut Source) -> T) -> T {
        look(&mut locked(&self.sources)[source])
    }

    pub(crate) fn history<T>(&self, look: impl FnOnce(&mut History) -> T) -> T {
        look(&mut locked(&self.history))
    }

    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        let now = self.now();
        self.history(|history| history.tell(now, what));
    }

    pub(crate) fn broke(&self, what: String) {
        let now = self.now();
        self.history(|history| history.broke(now, what));
    }

    /// Records that a write leaves a node, and checks I5: its intent must be committed by then.
    pub(crate) async fn sends(&self, node: usize, source: usize, person: usize, password: Number) {
        self.tell(|| format!("node {node} sends p{password} for n{person} to source {source}"));
        let digest = self.history(|h| h.requests.get(password).map(|r| r.digest.clone()));
        let account = Setup::account_id(source, person);
        let look = move |tx: &mut Tx<'_>| -> Result<bool, Error> {
            let Some(digest) = digest else { return Ok(false) };
            let sql = "SELECT count(*) AS value FROM password_change c
                       JOIN password_change_target t ON t.change_seq = c.seq
                       WHERE c.digest = $1 AND t.account_id = $2 AND t.salt IS NOT NULL";
            let Count(count) = tx.one(sql, &[&digest, &account])?;
            Ok(count == 1)
        };
        if !matches!(self.store.read(look).await, Ok(true)) {
            self.broke(format!("I5: p{password} was sent to n{person} without an intent"));
        }
    }

    /// Records that a write arrived, and its effect if it changed the password.
    pub(crate) fn wrote(&self, source: usize, person: usize, password: Number, changed: bool) {
        self.tell(|| {
            let what = if changed { "takes" } else { "refuses" };
            format!("source {source} {what} p{password} for n{person}")
        });
        if changed {
            self.effect(source, person, Some(password));
        }
    }

    pub(crate) fn effect(&self, source: usize, person: usize, password: Option<Number>) {
        let at = self.now();
        self.history(|history| history.effects.push(Effect { at, source, person, password }));
    }

    /// Sets a password on a source without rekey.
    pub(crate) fn meddle(&self, source: usize, person: usize) {
        self.tell(|| format!("somebody sets another password for n{person} on source {source}"));
        self.source(source, |source| source.set(person, None));
        self.effect(source, person, None);
    }

    /// Registers the new request of a client, and returns its number.
    pub(crate) fn request(&self, person: usize, source: usize) -> Number {
        self.history(|history| {
            let sent = history.next();
            let number = history.requests.len();
            let digest = sha256(&Setup::ciphertext(number)).to_vec();
            history.requests.push(Request { person, source, digest, sent, promised: None });
            number
        })
    }

    pub(crate) fn stop_at_the_worst_moment(&self, node: usize) {
        if !self.calm.load(Ordering::Relaxed) {
            let span = Duration::from_secs(1) + self.rng.up_to(Duration::from_secs(48));
            locked(&self.to_stop).insert(node, span);
        }
    }

    pub(crate) fn must_stop(&self, node: usize) -> Option<Duration> {
        locked(&self.to_stop).remove(&node)
    }

    /// Records that one node fewer is running, or one more.
    pub(crate) fn runs(&self, more: bool) {
        let now = self.now();
        let mut running = locked(&self.running);
        if more {
            running.0 += 1;
            if running.0 == 1 {
                let from = running.1;
                self.history(|history| history.dark.push((from, now)));
            }
        } else {
            self.history(|history| history.lost.push(now));
            running.0 -= 1;
            if running.0 == 0 {
                running.1 = now;
            }
        }
    }
}

fn jump(clock: &Clock, rng: &SeededRng, most: Duration) {
    let far = i64::try_from(rng.up_to(most).as_micros()).unwrap_or(0);
    clock.jump(if rng.chance(500) { far } else { -far });
}
