//! The metrics of this node, for Prometheus.
//!
//! Labels hold kinds, ids of sources, route templates and the like: never a person's name or id,
//! nor any other content of a request.

use std::time::{Duration, Instant};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

mod process;
mod scrape;

pub use self::scrape::{Current, text};

/// The content type of the text that [`text()`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics that are updated as events happen.
pub struct Metrics {
    registry: Registry,
    /// Accepted changes.
    accepted: Counter,
    /// Repeated requests for changes that were accepted before.
    resent: Counter,
    /// The time to accept a change, including its durable commit.
    accept: Histogram,
    /// Changes that ended on this node.
    ended: Family<Ended, Counter>,
    /// The time from a change's acceptance to its end.
    change: Histogram,
    /// Claims taken by this node's workers.
    pub attempts: Counter,
    /// The time of a private-key operation and the judging after it.
    private_operation: Histogram,
    /// The time of each observation of a target, write to it, and verification.
    target: Family<Target, Histogram, Seconds>,
    /// Tasks in one group commit.
    commit_deeds: Histogram,
    /// The time of a group commit, including the tasks in it.
    commit: Histogram,
    /// SQL statements, except those that begin and end a transaction.
    pub statements: Counter,
    /// Answered requests.
    requests: Family<Request, Counter>,
    /// The time to answer a request.
    request: Family<Route, Histogram, Seconds>,
    /// Source keys made, rotated and destroyed.
    keys: Family<KeyDeed, Counter>,
    /// Sign-ins, by success or failure.
    sign_ins: Family<SignIn, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    state: &'static str,
    source_kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Target {
    operation: &'static str,
    source_kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KeyDeed {
    deed: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SignIn {
    result: &'static str,
}

/// The constructor of the histograms of a family.
#[derive(Clone)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        seconds()
    }
}

/// A histogram with buckets from 100 µs to 52 s, each twice the previous one.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 20))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("rekey"),
            accepted: Counter::default(),
            resent: Counter::default(),
            accept: seconds(),
            ended: Family::default(),
            change: seconds(),
            attempts: Counter::default(),
            private_operation: seconds(),
            target: Family::new_with_constructor(Seconds),
            commit_deeds: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit: seconds(),
            statements: Counter::default(),
            requests: Family::default(),
            request: Family::new_with_constructor(Seconds),
            keys: Family::default(),
            sign_ins: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let to = &mut self.registry;
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "The version of rekey", build);
        to.register("changes_accepted", "Password changes accepted", self.accepted.clone());
        let text = "Password changes that were accepted before and came again";
        to.register("changes_resent", text, self.resent.clone());
        let text = "Time to accept a password change durably";
        to.register_with_unit("accept", text, Unit::Seconds, self.accept.clone());
        let text = "Password changes that this node ended";
        to.register("changes_ended", text, self.ended.clone());
        let text = "Time from the acceptance of a password change to its end by a worker";
        to.register_with_unit("change", text, Unit::Seconds, self.change.clone());
        let text = "Attempts to carry out a password change";
        to.register("attempts", text, self.attempts.clone());
        let text = "Time to decrypt and judge a password";
        to.register_with_unit(
            "private_operation",
            text,
            Unit::Seconds,
            self.private_operation.clone(),
        );
        let text = "Time to look at a target system, to write to it, or to verify that";
        to.register_with_unit("target", text, Unit::Seconds, self.target.clone());
        let text = "Deeds that shared a commit of the store";
        to.register("commit_deeds", text, self.commit_deeds.clone());
        let text = "Time of a commit of the store, with the deeds in it";
        to.register_with_unit("commit", text, Unit::Seconds, self.commit.clone());
        to.register("statements", "SQL statements run in the store", self.statements.clone());
        to.register("http_requests", "Requests answered", self.requests.clone());
        let text = "Time to answer a request";
        to.register_with_unit("http_request", text, Unit::Seconds, self.request.clone());
        let text = "Keys of sources made, rotated and destroyed";
        to.register("source_keys", text, self.keys.clone());
        to.register("sign_ins", "Sign-ins, by their result", self.sign_ins.clone());
    }

    /// Counts a repeated request for a change that was accepted before.
    pub fn resent(&self) {
        self.resent.inc();
    }

    /// Counts an accepted change and the time since `since`.
    pub fn accepted(&self, since: Instant) {
        self.accepted.inc();
        self.accept.observe(since.elapsed().as_secs_f64());
    }

    /// Runs `work` and records its time as one private-key operation.
    pub fn judged<T>(&self, work: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let done = work();
        self.private_operation.observe(since.elapsed().as_secs_f64());
        done
    }

    /// Records a group commit of this number of tasks that began at `since`. A commit without tasks
    /// is not recorded.
    pub fn committed(&self, deeds: usize, since: Instant) {
        if deeds == 0 {
            return;
        }
        self.commit_deeds.observe(f64::from(u32::try_from(deeds).unwrap_or(u32::MAX)));
        self.commit.observe(since.elapsed().as_secs_f64());
    }

    /// Records that a worker ended a change, `after` its acceptance by so much.
    pub fn ended(&self, source_kind: &str, state: &'static str, after: Duration) {
        self.counted(source_kind, state);
        self.change.observe(after.as_secs_f64());
    }

    /// Counts a change that ended with this label, with or without a worker.
    pub fn counted(&self, source_kind: &str, state: &'static str) {
        let source_kind = source_kind.to_owned();
        self.ended.get_or_create(&Ended { state, source_kind }).inc();
    }

    /// Records an observation, a write or a verification of a target.
    pub fn target(&self, operation: &'static str, source_kind: &str, took: Duration) {
        let source_kind = source_kind.to_owned();
        let labels = Target { operation, source_kind };
        self.target.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts an answered request and the time since `since`.
    pub fn answered(&self, method: &'static str, route: &str, status: u16, since: Instant) {
        let route = route.to_owned();
        self.requests.get_or_create(&Request { method, route: route.clone(), status }).inc();
        self.request.get_or_create(&Route { route }).observe(since.elapsed().as_secs_f64());
    }

    /// Counts keys of a source that were made, rotated or destroyed.
    pub fn keys(&self, deed: &'static str, how_many: usize) {
        let how_many = u64::try_from(how_many).unwrap_or(u64::MAX);
        self.keys.get_or_create(&KeyDeed { deed }).inc_by(how_many);
    }

    /// Counts a sign-in, successful or not.
    pub fn sign_in(&self, well: bool) {
        let result = if well { "success" } else { "failure" };
        self.sign_ins.get_or_create(&SignIn { result }).inc();
    }
}
