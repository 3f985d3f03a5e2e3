//! No change starves, whether behind changes that wait for others or behind hanging sources.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rekey::{
    jobs::{
        change_password,
        worker::{self, Free, claim},
    },
    model::{change::State, id::SourceId},
    password::accept::Accepted,
};
use rekey_connectors::{
    Account, Change, Connector, Fault, FaultKind, Listed, Observed, Outcome, Rejection, Stamp,
    Verdict, Verification,
};
use rekey_vault::Policy;
use serde_json::json;
use tokio::{sync::watch, time::timeout};

use crate::quiet::{Quiet, quiet_on_both_stores};

quiet_on_both_stores!(
    a_source_whose_changes_are_all_blocked_holds_no_worker,
    what_has_expired_ends_although_every_worker_hangs,
    a_verification_that_hangs_ends_before_the_claim,
    two_accounts_on_a_source_with_one_permit_are_changed,
);

const ONE: Free = Free { workers: 1, ends: 0 };

async fn source(site: &Quiet, name: &str) -> SourceId {
    site.source(name, rekey::model::source::BUILT_IN, json!({})).await
}

async fn a_source_whose_changes_are_all_blocked_holds_no_worker(site: Quiet) {
    let (one, two) = (source(&site, "One").await, source(&site, "Two").await);
    let mut blocked = Vec::new();
    for (name, source) in [("o", &one), ("p", &one), ("t", &two)] {
        let who = site.person(name, &[source]).await;
        site.change(&who, source, "correct horse battery").await;
        blocked.push((who, source));
    }
    // Another node executes these changes. The next changes of the same accounts wait for them, and
    // have been due longest.
    assert_eq!(site.claim("another").await.len(), 3);
    for (who, source) in &blocked {
        site.change(who, source, "correct horse staple").await;
    }
    let healthy = source(&site, "Healthy").await;
    let who = site.person("healthy", &[&healthy]).await;
    let waits = site.change(&who, &healthy, "correct horse battery").await;
    let taken = claim(&site.app, ONE).await.unwrap();
    let ids: Vec<_> = taken.changes.iter().map(|(change, _)| change.id.clone()).collect();
    assert_eq!(ids, [waits.id]);
    assert!(claim(&site.app, ONE).await.unwrap().changes.is_empty());
}

/// A source that hangs, except where the test makes it answer.
#[derive(Default)]
struct Hostile {
    /// Whether the source answers observations.
    observes: bool,
    writes: AtomicUsize,
    hangs: Arc<Hangs>,
}

/// The numbers of calls that hung, and of those that the caller gave up.
#[derive(Default)]
struct Hangs {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

struct GivenUp(Arc<Hangs>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Hostile {
    async fn hang<T>(&self) -> T {
        let _given_up = GivenUp(self.hangs.clone());
        self.hangs.begun.fetch_add(1, Ordering::SeqCst);
        pending().await
    }
}

#[async_trait]
impl Connector for Hostile {
    async fn test(&self) -> Result<(), Fault> {
        self.hang().await
    }

    async fn accounts(&self, _: tokio::sync::mpsc::Sender<Listed>) -> Result<(), Fault> {
        self.hang().await
    }

    async fn observe(&self, _: &Account<'_>) -> Result<Observed, Fault> {
        if !self.observes {
            return self.hang().await;
        }
        Ok(Observed { stamp: Stamp("same".into()), stable_id: None, correlation: Vec::new() })
    }

    /// The first write gets no answer; each later one is rejected as a reused password.
    async fn apply(&self, _: &Change<'_>, _: &Stamp, _: Instant) -> Outcome {
        if self.writes.fetch_add(1, Ordering::SeqCst) == 0 {
            return Outcome::Unknown(Fault::new(FaultKind::Unreachable, "it hung up"));
        }
        Outcome::Rejected(Rejection { message: "used before".into(), reused: true })
    }

    async fn verify(&self, _: &Change<'_>) -> Result<Verdict, Fault> {
        self.hang().await
    }
}

fn plug(site: &Quiet, source: &SourceId, hostile: Hostile) -> Arc<Hangs> {
    let hangs = hostile.hangs.clone();
    site.app.handles.plug(source, Verification::Exact, Arc::new(hostile));
    hangs
}

async fn until(reached: impl Fn() -> bool) {
    while !reached() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn what_has_expired_ends_although_every_worker_hangs(mut site: Quiet) {
    site.set(|config| config.changes.workers = 3).await;
    let hung = source(&site, "Hung").await;
    let hangs = plug(&site, &hung, Hostile::default());
    let mut accepted: Vec<Accepted> = Vec::new();
    for number in 0..6 {
        let who = site.person(&format!("p{number}"), &[&hung]).await;
        accepted.push(site.change(&who, &hung, "correct horse battery").await);
    }
    let (stop, stopped) = watch::channel(false);
    let working = tokio::spawn(worker::run(site.app.clone(), stopped));
    until(|| hangs.begun.load(Ordering::SeqCst) == 3).await;
    site.app.clock.turn(site.app.config.changes.deadline);
    for accepted in &accepted {
        while site.status(accepted).await.state == State::InProgress {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let given_up = hangs.ended.load(Ordering::SeqCst);
        assert_eq!(given_up, 0, "it ended only after a worker had been given back");
        site.assert_ended(accepted, State::Failed).await;
    }
    drop(stop);
    working.abort();
}

async fn a_verification_that_hangs_ends_before_the_claim(site: Quiet) {
    let source = source(&site, "Hostile").await;
    let hangs = plug(&site, &source, Hostile { observes: true, ..Hostile::default() });
    let who = site.person("abby", &[&source]).await;
    let accepted = site.change(&who, &source, "correct horse battery").await;
    assert_eq!(site.work().await, 1);
    // The first write can no longer arrive by then.
    site.app.clock.turn(change_password::LEASE + Duration::from_secs(1));
    let again = timeout(change_password::LEASE, site.work()).await;
    assert_eq!(again.expect("the worker never comes back"), 1);
    assert_eq!(hangs.begun.load(Ordering::SeqCst), 1);
    assert_eq!(hangs.ended.load(Ordering::SeqCst), 1);
    // Whether the password is in force is unknown, so the change stays open for a later
    // verification.
    let status = site.status(&accepted).await;
    assert_eq!(status.state, State::InProgress, "{:?}", status.errors);
}

async fn two_accounts_on_a_source_with_one_permit_are_changed(mut site: Quiet) {
    site.set(|config| config.changes.per_source = 1).await;
    let (one, two) = (source(&site, "One").await, source(&site, "Two").await);
    site.group(Policy::default(), &[&one, &two]).await;
    let who = site.person("abby", &[&one, &two]).await;
    site.account(&who, &two, "abby-admin").await;
    let accepted = site.change(&who, &one, "correct horse battery").await;
    for (change, permit) in claim(&site.app, ONE).await.unwrap().changes {
        change_password::run(&site.app, change, permit).await;
    }
    site.assert_ended(&accepted, State::Finished).await;
    for (source, native) in [(&one, "abby"), (&two, "abby"), (&two, "abby-admin")] {
        assert!(site.signs_in(source, native, "correct horse battery").await, "{native}");
    }
}
