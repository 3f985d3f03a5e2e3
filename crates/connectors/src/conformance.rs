//! A conformance suite: the behaviour that every connector must show against a real server.
//!
//! A test provides a [`Bench`], which controls one server without the connector, and runs
//! [`CASES`]. A case that fails panics with a text that states the expected behaviour.

#![expect(clippy::panic, reason = "a suite of tests: what is wrong is a panic")]

use std::{
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rekey_vault::Password;
use serde_json::Value;

use crate::{Account, Change, Connector, Egress, Entry, Fault, FaultKind, Outcome, Stamp, Verdict};

mod broken;
mod changes;
mod listing;
mod nasty;
mod proxy;
mod whose;

pub use self::{
    nasty::passwords,
    proxy::{Moment, Proxy, Trouble, Write},
};

/// Control of a server by a path independent of the connector under test.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The kind under test.
    fn kind(&self) -> &'static Entry;

    /// Connector attributes that work, including `host` and `port`.
    fn attributes(&self) -> Value;

    /// The PEM text of a certificate authority that has signed no certificate of the server.
    fn wrong_authority(&self) -> String;

    /// Creates an account that can sign in with `password`; returns its native identity.
    async fn create(&self, name: &str, password: &str) -> String;

    /// The native identity of an account that does not exist.
    fn missing(&self, name: &str) -> String;

    /// Removes an account.
    async fn remove(&self, native_identity: &str);

    /// Locks an account in such a way that a change must not unlock it; returns the fault that a
    /// change must then report.
    async fn lock(&self, native_identity: &str) -> FaultKind;

    /// Whether the account can sign in with the password; the client shares no code with rekey.
    async fn logs_in(&self, native_identity: &str, password: &str) -> bool;

    /// Creates accounts that no connector of this kind may change, whatever the source's
    /// configuration; returns their native identities.
    async fn privileged(&self, _name: &str) -> Vec<String> {
        Vec::new()
    }

    /// Passwords that the server refuses, each with a word that the rejection must contain.
    fn refused(&self) -> Vec<(String, &'static str)>;

    /// Whether the server refuses a password that the account had before.
    fn keeps_history(&self) -> bool;

    /// The path of the server's log, if it can be read.
    fn log(&self) -> Option<PathBuf>;
}

/// The name of a case and the case.
pub type Case = (&'static str, for<'a> fn(&'a Suite<'a>) -> Running<'a>);

/// A case that is running.
pub type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// Every case, in the order in which they must run: the last one reads the log of all
        /// others.
        pub const CASES: &[Case] = &[$((stringify!($name), |suite| Box::pin($module::$name(suite)))),*];
    };
}

cases![
    changes::sets_exactly_the_password,
    changes::moves_the_stamp_with_every_change,
    changes::refuses_a_change_that_somebody_else_overtook,
    changes::sends_nothing_after_the_deadline,
    changes::names_the_rule_a_refused_password_breaks,
    changes::tells_a_password_it_had_before,
    changes::knows_no_unknown_account,
    changes::leaves_a_locked_account_alone,
    changes::never_changes_its_own_account,
    changes::sets_many_at_once,
    changes::sets_nasty_passwords_or_refuses_them,
    broken::says_denied_when_its_own_password_is_wrong,
    broken::trusts_no_unknown_authority,
    broken::trusts_no_other_name,
    broken::says_unreachable_when_the_server_is_down,
    broken::does_not_wait_for_a_silent_server,
    broken::survives_a_restart_of_the_server,
    broken::is_never_wrong_when_requests_are_cut,
    broken::is_never_wrong_when_answers_are_cut,
    whose::changes_no_account_that_was_given_the_name,
    whose::returns_what_accounts_are_correlated_by,
    whose::never_changes_a_protected_account,
    listing::lists_every_account_once,
    listing::stops_when_nobody_listens,
    listing::leaves_no_password_in_the_log,
];

/// One run of the cases against one server.
pub struct Suite<'a> {
    bench: &'a dyn Bench,
    connector: Arc<dyn Connector>,
    /// A prefix of account names that keeps several runs on one server apart.
    run: String,
    made: Mutex<usize>,
    /// Every password that was sent to the server.
    sent: Mutex<Vec<String>>,
    /// The length of the server's log at the start of this run, in bytes.
    log_before: usize,
}

impl<'a> Suite<'a> {
    /// Opens the connector. `run` distinguishes this run from others on the same server; it
    /// consists of a few lower-case letters and digits.
    pub fn new(bench: &'a dyn Bench, run: &str) -> Self {
        Self {
            bench,
            connector: open(bench.kind(), bench.attributes()),
            run: run.to_owned(),
            made: Mutex::default(),
            sent: Mutex::default(),
            log_before: bench.log().map_or(0, |path| read(&path).len()),
        }
    }

    /// The part of the server's log that was written since the start of this run.
    fn log_since_start(&self) -> String {
        let log = self.bench.log().map(|path| read(&path)).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_before..).unwrap_or_default()).into_owned()
    }

    fn name(&self) -> String {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        *made += 1;
        format!("{}x{made}", self.run)
    }

    /// Creates an account with the password `INITIAL`; returns its native identity.
    async fn account(&self) -> String {
        self.bench.create(&self.name(), INITIAL).await
    }

    /// Returns a new password that every server accepts.
    fn password(&self) -> String {
        format!("Fresh-{}-Passw0rd!", self.name())
    }

    async fn apply(
        &self,
        connector: &dyn Connector,
        account: &str,
        password: &str,
        observed: &Stamp,
    ) -> Outcome {
        self.note(password);
        let password = Password::new(password.to_owned());
        connector.apply(&change(account, &password), observed, soon()).await
    }

    async fn verify(&self, connector: &dyn Connector, account: &str, password: &str) -> Verdict {
        let password = Password::new(password.to_owned());
        succeeded("verify", connector.verify(&change(account, &password)).await)
    }

    /// Sets a password: observes the account, applies the change and requires that it was applied.
    async fn set(&self, account: &str, password: &str) {
        let observed = self.observe(account).await;
        let outcome = self.apply(&*self.connector, account, password, &observed).await;
        assert!(matches!(outcome, Outcome::Applied), "{account}: not applied: {outcome:?}");
    }

    async fn observe(&self, account: &str) -> Stamp {
        succeeded("observe", self.connector.observe(&named(account)).await).stamp
    }

    fn note(&self, password: &str) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(password.to_owned());
    }

    /// The working attributes with `changes` applied.
    fn attributes_with<const N: usize>(&self, changes: [(&str, Value); N]) -> Value {
        let mut attributes = self.bench.attributes();
        for (name, value) in changes {
            if let Some(attributes) = attributes.as_object_mut() {
                attributes.insert(name.to_owned(), value);
            }
        }
        attributes
    }

    /// A proxy to the server, and a connector that connects through it.
    async fn behind_proxy(&self) -> (Proxy, Arc<dyn Connector>) {
        let attributes = self.bench.attributes();
        let host = attributes.get("host").and_then(Value::as_str).unwrap_or_default();
        let port = attributes.get("port").and_then(Value::as_u64).unwrap_or_default();
        let proxy = Proxy::start("127.0.0.1", format!("{host}:{port}")).await;
        let attributes = self.attributes_with([("port", Value::from(proxy.port()))]);
        let connector = open(self.bench.kind(), attributes);
        (proxy, connector)
    }
}

/// The password with which accounts are created.
const INITIAL: &str = "Initial-Passw0rd-0";

fn open(kind: &Entry, attributes: Value) -> Arc<dyn Connector> {
    succeeded("open", kind.open(attributes, &Egress::default()))
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn change<'a>(native_identity: &'a str, password: &'a Password) -> Change<'a> {
    Change { account: named(native_identity), password, salt: *b"0123456789abcdef" }
}

/// An account of which only the native identity is known.
fn named(native_identity: &str) -> Account<'_> {
    Account { native_identity, stable_id: None, correlated_by: None }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn succeeded<T>(what: &str, result: Result<T, Fault>) -> T {
    result.unwrap_or_else(|fault| panic!("{what}: {fault:?}"))
}

fn failed<T: Debug>(what: &str, result: Result<T, Fault>) -> Fault {
    match result {
        Ok(value) => panic!("{what}: succeeded with {value:?}"),
        Err(fault) => fault,
    }
}
