//! Jobs: one worker claims a job at a time, and a worker that lost its claim can end nothing.

use std::time::Duration;

use rekey::{
    Error,
    account::correlation::Correlator,
    jobs::{
        queue::{LEASE, carry_out},
        sweep::sweep,
    },
    model::{
        id::{IdentityId, SourceId},
        job::{Job, Message},
    },
    source::{self, aggregation::reconfirm},
    store::Tx,
};
use rekey_connectors::Listed;
use serde_json::{Map, json};

use crate::{
    directory::{Directory, Manners},
    quiet::{Quiet, keep_all, quiet_on_both_stores},
};

quiet_on_both_stores!(
    a_source_has_one_aggregation_at_a_time,
    one_aggregation_waits_behind_the_one_under_way,
    a_lost_claim_of_a_job_can_end_nothing,
    accounts_stay_when_their_source_cannot_be_read,
    accounts_stay_when_their_source_shows_none_or_few,
    a_source_that_changed_meanwhile_keeps_its_accounts,
    an_aggregation_ends_at_its_bounds_and_removes_nothing,
    a_source_keeps_no_more_than_it_may,
    a_source_keeps_no_more_bytes_than_it_may,
    an_owner_has_half_of_the_places_of_a_node,
    tasks_are_forgotten_after_90_days,
);

async fn claimed(site: &Quiet, node: &'static str) -> Option<Job> {
    site.app.store.write(move |tx| tx.claim_job(node, LEASE)).await.unwrap()
}

async fn asked(site: &Quiet, source: &SourceId) -> Job {
    source::aggregate(&site.app, &site.client, source.clone()).await.unwrap()
}

async fn seen(site: &Quiet, job: &Job) -> Job {
    let id = job.id.clone();
    let found: Result<_, Error> = site.app.store.read(move |tx| Ok(tx.job(&id)?.unwrap())).await;
    found.unwrap()
}

async fn a_source_has_one_aggregation_at_a_time(site: Quiet) {
    let first = asked(&site, &site.login).await;
    assert_eq!(asked(&site, &site.login).await.id, first.id);
    let job = claimed(&site, "one").await.unwrap();
    assert!(claimed(&site, "two").await.is_none());
    assert_eq!(asked(&site, &site.login).await.id, first.id);
    carry_out(&site.app, job).await;
    assert_eq!(seen(&site, &first).await.completion_status.as_deref(), Some("SUCCESS"));
    assert_ne!(asked(&site, &site.login).await.id, first.id);
}

async fn one_aggregation_waits_behind_the_one_under_way(site: Quiet) {
    let first = asked(&site, &site.login).await;
    claimed(&site, "one").await.unwrap();
    for _ in 0..2 {
        let source = site.login.clone();
        site.write(move |tx| reconfirm(tx, &source, "admin")).await;
    }
    let sql = "SELECT count(*) AS value FROM job WHERE completed IS NULL";
    let unfinished = site.app.store.read(move |tx: &mut Tx<'_>| tx.count(sql)).await.unwrap();
    assert_eq!(unfinished, 2);
    assert_ne!(asked(&site, &site.login).await.id, first.id, "the one that waits is returned");
}

async fn a_lost_claim_of_a_job_can_end_nothing(site: Quiet) {
    let asked = asked(&site, &site.login).await;
    let dead = claimed(&site, "dead").await.unwrap();
    site.app.clock.turn(LEASE + Duration::from_secs(1));
    let other = claimed(&site, "other").await.unwrap();
    assert_eq!((dead.id.clone(), other.attempt), (other.id.clone(), 2));
    carry_out(&site.app, dead).await;
    assert_eq!(seen(&site, &asked).await.completed, None);
    carry_out(&site.app, other).await;
    assert!(seen(&site, &asked).await.completed.is_some());
}

async fn accounts_stay_when_their_source_cannot_be_read(site: Quiet) {
    let attributes = json!({
        "host": "127.0.0.1", "port": 1, "bindDn": "cn=rekey", "bindPassword": "s3cret",
        "baseDn": "dc=example,dc=com",
    });
    let id = site.source("Directory", "ldap", attributes).await;
    let listed = Listed {
        native_identity: "cn=1".into(),
        stable_id: None,
        name: "one".into(),
        attributes: Map::new(),
        disabled: false,
        locked: false,
    };
    let on = id.clone();
    let kept = move |tx: &mut Tx<'_>| -> Result<_, Error> {
        let source = tx.source(&on)?.unwrap();
        let correlator = Correlator::new(tx, &source)?;
        keep_all(tx, &source, &correlator, std::slice::from_ref(&listed))
    };
    site.app.store.write(kept).await.unwrap();
    let asked = asked(&site, &id).await;
    let job = claimed(&site, "one").await.unwrap();
    carry_out(&site.app, job).await;
    let ended = seen(&site, &asked).await;
    assert_eq!(ended.completion_status.as_deref(), Some("ERROR"));
    assert_eq!(ended.messages.0.len(), 1);
    let found = site.app.store.read(move |tx| tx.account_on(&id, "cn=1")).await.unwrap();
    assert!(found.is_some());
}

/// Aggregates a source; returns the ended job, and the number of the source's accounts.
async fn aggregated(site: &Quiet, id: &SourceId) -> (Job, usize) {
    let asked = asked(site, id).await;
    let job = claimed(site, "one").await.unwrap();
    carry_out(&site.app, job).await;
    (seen(site, &asked).await, accounts(site, id).await)
}

/// All messages of a task, in full.
fn all_said(job: &Job) -> String {
    job.messages.0.iter().map(Message::full).collect::<Vec<_>>().join("\n")
}

async fn accounts(site: &Quiet, id: &SourceId) -> usize {
    let id = id.clone();
    site.app.store.read(move |tx| tx.accounts_after(&id, "", 1000)).await.unwrap().len()
}

async fn accounts_stay_when_their_source_shows_none_or_few(site: Quiet) {
    let directory = Directory::start().await;
    let id = site.source("Directory", "ldap", directory.attributes()).await;
    for (people, threshold, status, left) in [
        (0..0, None, "SUCCESS", 0),
        (0..100, None, "SUCCESS", 100),
        (0..0, None, "ERROR", 100),
        (0..0, Some(100), "ERROR", 100),
        (0..89, None, "ERROR", 100),
        // The share of missing accounts counts those known before: new accounts do not reduce it.
        (11..300, None, "ERROR", 300),
        (30..300, None, "SUCCESS", 270),
        (200..300, Some(64), "SUCCESS", 100),
        // A few accounts may be removed at any threshold.
        (205..300, Some(0), "SUCCESS", 95),
        (211..300, Some(0), "ERROR", 95),
    ] {
        directory.lists(people.clone());
        let of = id.clone();
        site.write(move |tx| {
            let mut source = tx.source(&of)?.unwrap();
            source.extra.0.clear();
            source.extra.0.extend(threshold.map(|n| ("deleteThreshold".to_owned(), json!(n))));
            Ok(tx.update_source(&source)?)
        })
        .await;
        let (job, accounts) = aggregated(&site, &id).await;
        let ended = job.completion_status.as_deref();
        assert_eq!((ended, accounts), (Some(status), left), "{people:?} {:?}", job.messages);
        let said = job.messages.0.first().map(Message::full).unwrap_or_default();
        assert_eq!(said.contains("nothing was removed"), status == "ERROR", "{said}");
    }
}

async fn a_source_that_changed_meanwhile_keeps_its_accounts(site: Quiet) {
    let directory = Directory::start().await;
    let id = site.source("Directory", "ldap", directory.attributes()).await;
    directory.lists(0..100);
    aggregated(&site, &id).await;
    directory.lists(0..99);
    let changed = id.clone();
    directory.before_listing(site.app.store.clone(), changed);
    let (job, accounts) = aggregated(&site, &id).await;
    assert_eq!(job.messages.0, ["the source was changed meanwhile: aggregate again".into()]);
    assert_eq!((job.completion_status.as_deref(), accounts), (Some("ERROR"), 100));
    assert_eq!(aggregated(&site, &id).await.1, 99);
}

async fn an_aggregation_ends_at_its_bounds_and_removes_nothing(mut site: Quiet) {
    let directory = Directory::start().await;
    let id = site.source("Directory", "ldap", directory.attributes()).await;
    site.set(|config| {
        config.limits.accounts_per_source = 30;
        config.limits.aggregation_time = Duration::from_secs(2);
    })
    .await;
    let normal = Manners::default();
    for (people, manners, left, why) in [
        (0..25, normal, 25, None),
        // Accounts within the limit are kept, and missing ones are not removed.
        (2..33, normal, 30, Some("more than 30 accounts")),
        (2..33, normal, 30, Some("raise limits.accounts_per_source")),
        // The values are exactly at the limit, which is allowed.
        (0..30, Manners { description: 65_000, ..normal }, 30, None),
        (0..30, Manners { description: 65_536, ..normal }, 30, Some("larger than 64 KiB")),
        (0..8, Manners { never_ends: true, ..normal }, 30, Some("raise limits.aggregation_time")),
    ] {
        directory.lists(people.clone());
        directory.behaves(manners);
        let (job, accounts) = aggregated(&site, &id).await;
        let said = all_said(&job);
        let is_success = job.completion_status.as_deref() == Some("SUCCESS");
        assert_eq!((is_success, accounts), (why.is_none(), left), "{people:?}: {said}");
        assert!(why.is_none_or(|why| said.contains(why)), "{people:?}: {said}");
    }
}

/// Each listing has other accounts; it fails, or differs too much from the one before for a
/// removal.
async fn a_source_keeps_no_more_than_it_may(mut site: Quiet) {
    let directory = Directory::start().await;
    let id = site.source("Directory", "ldap", directory.attributes()).await;
    site.set(|config| {
        config.limits.accounts_per_source = 30;
        config.limits.aggregation_time = Duration::from_secs(1);
    })
    .await;
    let (well, badly) = (Manners::default(), Manners { never_ends: true, ..Manners::default() });
    let changed = Manners { description: 10, ..well };
    let (full, some) = (Some("20 new accounts and"), Some("10 new accounts and"));
    for (people, manners, status, left, why) in [
        (0..20, badly, "ERROR", 20, None),
        (20..40, badly, "ERROR", 30, some),
        (40..60, badly, "ERROR", 30, full),
        // Another system seems to answer, so nothing is removed.
        (40..60, well, "ERROR", 30, full),
        // Known accounts are still updated, and missing ones are removed.
        (0..28, changed, "SUCCESS", 28, None),
        (0..30, well, "SUCCESS", 30, None),
        (5..35, well, "ERROR", 25, Some("5 new accounts and")),
        (5..35, well, "SUCCESS", 30, None),
    ] {
        directory.lists(people.clone());
        directory.behaves(manners);
        let (job, accounts) = aggregated(&site, &id).await;
        let ended = job.completion_status.as_deref();
        assert_eq!((ended, accounts), (Some(status), left), "{people:?} {:?}", job.messages);
        let said = all_said(&job);
        let is_about_room = said.contains("rekey keeps 30 accounts and 1024 MiB of a source");
        assert_eq!(is_about_room, why.is_some(), "{people:?}: {said}");
        assert!(said.contains(why.unwrap_or_default()), "{people:?}: {said}");
        if manners == changed {
            let described = descriptions(&site, &id).await;
            assert!(described.iter().all(|length| *length == 10), "{described:?}");
        }
    }
}

/// The lengths of the stored descriptions of a source's accounts.
async fn descriptions(site: &Quiet, id: &SourceId) -> Vec<usize> {
    let id = id.clone();
    let accounts = site.app.store.read(move |tx| tx.accounts_after(&id, "", 1000)).await.unwrap();
    let length = |account: &rekey::model::account::Account| {
        let described = account.attributes.0.get("description");
        described.map_or(0, |value| value.to_string().trim_matches(['[', '"', ']']).len())
    };
    accounts.iter().map(length).collect()
}

/// 30 accounts of 60 KB where 1 MiB may be kept: first as new accounts, then as known ones that
/// grow.
async fn a_source_keeps_no_more_bytes_than_it_may(mut site: Quiet) {
    let directory = Directory::start().await;
    site.set(|config| config.limits.megabytes_per_source = 1).await;
    let large = Manners { description: 60_000, ..Manners::default() };
    let small = Manners { description: 100, ..Manners::default() };
    directory.lists(0..30);
    let id = site.source("New", "ldap", directory.attributes()).await;
    directory.behaves(large);
    let (job, accounts) = aggregated(&site, &id).await;
    assert_eq!((job.completion_status.as_deref(), accounts), (Some("ERROR"), 17));
    assert!(job.messages.0[0].full().contains("13 new accounts"), "{:?}", job.messages);

    let id = site.source("Known", "ldap", directory.attributes()).await;
    directory.behaves(small);
    assert_eq!(aggregated(&site, &id).await.1, 30);
    directory.behaves(large);
    for _ in 0..2 {
        let (job, accounts) = aggregated(&site, &id).await;
        assert_eq!((job.completion_status.as_deref(), accounts), (Some("WARNING"), 30));
        let said = job.messages.0[0].full();
        assert!(said.contains("0 new accounts and the new attributes of 13 known"), "{said}");
        let kept: usize = descriptions(&site, &id).await.iter().sum();
        assert_eq!(kept, 17 * 60_000 + 13 * 100);
    }
    directory.behaves(small);
    assert_eq!(aggregated(&site, &id).await.0.completion_status.as_deref(), Some("SUCCESS"));
}

/// Data that PostgreSQL refuses ends the task without a retry: it would be refused again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_the_store_refuses_ends_the_task() {
    let Some(url) = crate::site::postgres_url().await else { return };
    let site = Quiet::on(&url, tempfile::tempdir().unwrap()).await;
    let directory = Directory::start().await;
    directory.lists(0..3);
    let id = site.source("Directory", "ldap", directory.attributes()).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("ALTER TABLE account ALTER COLUMN name TYPE VARCHAR(3)").await.unwrap();
    let (job, accounts) = aggregated(&site, &id).await;
    assert_eq!((job.completion_status.as_deref(), job.attempt), (Some("ERROR"), 1));
    let said = job.messages.0[0].full();
    assert!(said.contains("the store cannot hold something that the source lists"), "{said}");
    assert_eq!(accounts, 0);
}

async fn an_owner_has_half_of_the_places_of_a_node(site: Quiet) {
    let mut sources = Vec::new();
    let owners = std::iter::repeat_n("one", 9).chain(["two"]);
    for (number, owner) in owners.enumerate() {
        let id = site.source(&format!("Source {number}"), "ldap", json!({})).await;
        let of = id.clone();
        site.write(move |tx| {
            let mut source = tx.source(&of)?.unwrap();
            source.owner_id = IdentityId(owner.into());
            Ok(tx.update_source(&source)?)
        })
        .await;
        asked(&site, &id).await;
        site.app.clock.turn(Duration::from_secs(1));
        sources.push(id);
    }
    let about = |job: &Option<Job>| job.as_ref().and_then(|job| job.source_id.clone());
    let first = claimed(&site, "node").await;
    assert_eq!(about(&first).as_ref(), Some(&sources[0]));
    for source in &sources[1..8] {
        assert_eq!(about(&claimed(&site, "node").await).as_ref(), Some(source));
    }
    // The second source of that owner keeps its place in the queue.
    assert_eq!(about(&claimed(&site, "node").await).as_ref(), Some(&sources[9]));
    assert!(claimed(&site, "node").await.is_none());
    let done = first.unwrap();
    site.write(move |tx| Ok(tx.end_job(&done, "SUCCESS", &[], &Map::new())?)).await;
    // The limits of another node are separate.
    assert_eq!(about(&claimed(&site, "another").await).as_ref(), Some(&sources[8]));
    assert!(claimed(&site, "node").await.is_none());
}

async fn tasks_are_forgotten_after_90_days(site: Quiet) {
    let old = asked(&site, &site.login).await;
    carry_out(&site.app, claimed(&site, "one").await.unwrap()).await;
    let day = Duration::from_hours(24);
    site.app.clock.turn(89 * day);
    sweep(&site.app, 0).await.unwrap();
    assert!(seen(&site, &old).await.completed.is_some());
    let waiting = asked(&site, &site.login).await;
    site.app.clock.turn(2 * day);
    sweep(&site.app, 0).await.unwrap();
    let id = old.id.clone();
    assert!(site.app.store.read(move |tx| tx.job(&id)).await.unwrap().is_none());
    site.app.clock.turn(100 * day);
    sweep(&site.app, 0).await.unwrap();
    assert_eq!(seen(&site, &waiting).await.completed, None);
}
