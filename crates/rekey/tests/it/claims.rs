//! Claims: a claim takes no more changes of a source than it has permits, and no source delays
//! another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rekey::{
    Error,
    connector::SourceHandle,
    jobs::{
        change_password,
        worker::{Free, Taken, claim},
    },
    model::{
        change::{State, TargetState},
        id::SourceId,
    },
    password::accept::Accepted,
    store::{Room, Tx},
};
use rekey_connectors::{Fault, FaultKind};
use rekey_vault::Policy;
use serde_json::json;

use crate::quiet::{Quiet, quiet_on_both_stores};

quiet_on_both_stores!(
    a_claim_takes_no_more_of_a_source_than_it_has_permits,
    a_group_needs_a_permit_of_every_member,
    a_source_that_failed_gets_one_change_until_it_answers,
    what_has_expired_ends_although_its_source_is_full,
    what_is_left_of_a_group_waits_for_its_own_sources_only,
    ten_thousand_that_wait_are_not_read_by_a_claim,
);

/// More workers than any test here has changes.
const IDLE: Free = Free { workers: 64, ends: 4 };

async fn source(site: &Quiet, name: &str) -> SourceId {
    site.source(name, rekey::model::source::BUILT_IN, json!({})).await
}

/// Accepts one change for each of `count` new people on a source.
async fn changes(site: &Quiet, source: &SourceId, names: &str, count: usize) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    for number in 0..count {
        let who = site.person(&format!("{names}{number}"), &[source]).await;
        accepted.push(site.change(&who, source, "correct horse battery").await);
    }
    accepted
}

/// The number of claimed changes of a source.
fn of(taken: &Taken, source: &SourceId) -> usize {
    taken.changes.iter().filter(|(change, _)| change.source_id == *source).count()
}

async fn a_claim_takes_no_more_of_a_source_than_it_has_permits(site: Quiet) {
    let full = source(&site, "Full").await;
    let waiting = changes(&site, &full, "p", 20).await;
    changes(&site, &site.login, "q", 3).await;
    let most = site.app.config.changes.per_source;
    let first = claim(&site.app, IDLE).await.unwrap();
    assert_eq!((of(&first, &full), of(&first, &site.login)), (most, 3));
    // The changes that have been due longest come first, and the others keep their order.
    let mut ids: Vec<_> = first.changes.iter().map(|(change, _)| change.id.clone()).collect();
    ids.retain(|id| waiting.iter().any(|accepted| accepted.id == *id));
    ids.sort();
    let oldest: Vec<_> = waiting[..most].iter().map(|accepted| accepted.id.clone()).collect();
    assert_eq!(ids, oldest);

    changes(&site, &site.login, "r", 2).await;
    let second = claim(&site.app, IDLE).await.unwrap();
    assert_eq!((of(&second, &full), of(&second, &site.login)), (0, 2));
    assert!(claim(&site.app, IDLE).await.unwrap().changes.is_empty());
    let mut held = first.changes;
    held.truncate(held.len() - 5);
    let third = claim(&site.app, IDLE).await.unwrap();
    let free = most - held.iter().filter(|(change, _)| change.source_id == full).count();
    assert_eq!(of(&third, &full), free);
    drop((held, second, third));

    // All changes end as usual.
    site.app.clock.turn(change_password::LEASE + Duration::from_secs(1));
    loop {
        let taken = claim(&site.app, IDLE).await.unwrap();
        if taken.changes.is_empty() {
            break;
        }
        for (change, permit) in taken.changes {
            change_password::run(&site.app, change, permit).await;
        }
    }
    for accepted in &waiting {
        site.assert_ended(accepted, State::Finished).await;
    }
}

async fn a_group_needs_a_permit_of_every_member(site: Quiet) {
    let (one, two) = (source(&site, "One").await, source(&site, "Two").await);
    changes(&site, &two, "t", 8).await;
    let full = claim(&site.app, IDLE).await.unwrap();
    assert_eq!(of(&full, &two), 8);
    site.group(Policy::default(), &[&one, &two]).await;
    let both = site.person("both", &[&one, &two]).await;
    let waits = site.change(&both, &one, "correct horse battery").await;
    changes(&site, &one, "o", 10).await;
    // The group waits for its second member; changes behind it do not wait for the group.
    let others = claim(&site.app, IDLE).await.unwrap();
    assert_eq!(of(&others, &one), 7);
    assert!(others.changes.iter().all(|(change, _)| change.id != waits.id));
    drop(full);
    let group = claim(&site.app, IDLE).await.unwrap();
    assert_eq!(group.changes.len(), 1);
    for (change, permit) in group.changes {
        assert_eq!(change.id, waits.id);
        change_password::run(&site.app, change, permit).await;
    }
    site.assert_ended(&waits, State::Finished).await;
}

/// The handle of a source that changes use.
async fn link(site: &Quiet, source: &SourceId) -> Arc<SourceHandle> {
    let id = source.clone();
    let source = site.app.store.read(move |tx| tx.source(&id)).await.unwrap().unwrap();
    site.app.handles.get(&source).unwrap()
}

async fn a_source_that_failed_gets_one_change_until_it_answers(site: Quiet) {
    let down = source(&site, "Down").await;
    changes(&site, &down, "p", 20).await;
    let link = link(&site, &down).await;
    let fault = |pause| {
        let mut fault = Fault::new(FaultKind::Unreachable, "it does not answer");
        fault.retry_after = Some(pause);
        fault
    };
    for _ in 0..5 {
        link.failed(&fault(Duration::from_hours(1)));
    }
    changes(&site, &site.login, "q", 1).await;
    let open = claim(&site.app, IDLE).await.unwrap();
    assert_eq!((of(&open, &down), open.changes.len()), (0, 1));
    link.failed(&fault(Duration::ZERO));
    let probe = claim(&site.app, IDLE).await.unwrap();
    assert_eq!(probe.changes.len(), 1);
    assert!(claim(&site.app, IDLE).await.unwrap().changes.is_empty());
    link.answered();
    let most = site.app.config.changes.per_source;
    let all = claim(&site.app, IDLE).await.unwrap();
    assert_eq!(all.changes.len(), most - 1);
}

async fn what_has_expired_ends_although_its_source_is_full(site: Quiet) {
    let full = source(&site, "Full").await;
    let waiting = changes(&site, &full, "p", 20).await;
    let held = claim(&site.app, IDLE).await.unwrap();
    site.app.clock.turn(site.app.config.changes.deadline);
    let ends = claim(&site.app, IDLE).await.unwrap();
    // The claims under way have lapsed by now, and are taken over.
    assert_eq!(ends.changes.len(), 20);
    for (change, permit) in ends.changes {
        assert!(permit.is_none());
        change_password::run(&site.app, change, permit).await;
    }
    for accepted in &waiting {
        site.assert_ended(accepted, State::Failed).await;
    }
    drop(held);
}

async fn what_is_left_of_a_group_waits_for_its_own_sources_only(site: Quiet) {
    let (one, two) = (source(&site, "One").await, source(&site, "Two").await);
    site.group(Policy::default(), &[&one, &two]).await;
    let who = site.person("both", &[&one, &two]).await;
    site.change(&who, &one, "correct horse battery").await;
    let claimed = site.claim("node").await.remove(0);
    let mut both = [one.to_string(), two.to_string()];
    both.sort();
    assert_eq!(claimed.source_set, both.join(" "));
    let (ended, left) = (one.clone(), two.clone());
    site.write(move |tx| {
        let (targets, _) = tx.change_context(&claimed)?;
        let settled: Vec<_> = targets
            .into_iter()
            .map(|(target, _)| rekey::store::TargetResult {
                state: if target.source_id == ended {
                    TargetState::Applied
                } else {
                    TargetState::Queued
                },
                account_id: target.account_id,
                source_id: target.source_id,
                announced: None,
                error: None,
                is_new: true,
            })
            .collect();
        Ok(tx.record_results("node", &claimed, &settled, Duration::ZERO)?)
    })
    .await;
    let (queues, _) =
        site.app.store.read(|tx: &mut rekey::store::Tx<'_>| tx.due_queues()).await.unwrap();
    let names: Vec<_> = queues.into_iter().map(|queue| queue.source_set).collect();
    assert_eq!(names, [left.to_string()]);
}

/// Inserts many changes that wait for a source, as after an outage.
async fn fill(site: &Quiet, source: &SourceId, from: usize, count: usize) {
    let (id, now) = (source.clone(), site.app.clock.now());
    let deadline = now.plus(Duration::from_mins(15));
    let (from, until) = (i64::try_from(from).unwrap(), i64::try_from(from + count).unwrap());
    site.write(move |tx: &mut Tx<'_>| -> Result<(), Error> {
        let digest = if tx.is_postgres() {
            "convert_to('d' || n, 'UTF8')"
        } else {
            "CAST('d' || n AS BLOB)"
        };
        let numbers = "WITH RECURSIVE number AS (
            SELECT CAST($1 AS BIGINT) AS n UNION ALL SELECT n + 1 FROM number WHERE n + 1 < $2)";
        let sql = format!(
            "{numbers} INSERT INTO password_change (seq, id, digest, caller, identity_id, source_id,
                 account_id, key_id, state, errors, attempt, due, deadline, created, source_set)
             SELECT 1000000 + n, 'id' || n, {digest}, 'x', 'x', $3, 'account' || n, 'x', 0, '[]', 0,
                 $4, $5, $4, $3 FROM number"
        );
        tx.run(&sql, &[&from, &until, &id, &now, &deadline])?;
        let sql = format!(
            "{numbers} INSERT INTO password_change_target (change_seq, account_id, source_id, state)
             SELECT 1000000 + n, 'account' || n, $3, 0 FROM number"
        );
        tx.run(&sql, &[&from, &until, &id])?;
        Ok(())
    })
    .await;
}

/// The shortest time, over 20 rounds, of a worker's claim while a source is full and another source
/// has one change.
async fn shortest_claim(site: &Quiet, full: &SourceId, other: &SourceId) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..20 {
        let begun = Instant::now();
        let (queues, _) =
            site.app.store.read(|tx: &mut rekey::store::Tx<'_>| tx.due_queues()).await.unwrap();
        let names: Vec<_> = queues.iter().map(|queue| queue.source_set.as_str()).collect();
        assert!(names.contains(&full.as_str()) && names.contains(&other.as_str()), "{names:?}");
        let room = Room { queues: vec![(other.to_string(), 8)], expired: 0 };
        let claimed = site
            .write(move |tx| {
                let claimed = tx.claim("node", Duration::from_secs(25), &room)?;
                for change in &claimed {
                    tx.release("node", change, Duration::ZERO)?;
                }
                Ok(claimed)
            })
            .await;
        shortest = shortest.min(begun.elapsed());
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].source_set, other.as_str());
    }
    shortest
}

async fn ten_thousand_that_wait_are_not_read_by_a_claim(site: Quiet) {
    let (full, other) = (source(&site, "Full").await, source(&site, "Other").await);
    fill(&site, &full, 0, 10).await;
    fill(&site, &other, 10, 1).await;
    let few = shortest_claim(&site, &full, &other).await;
    fill(&site, &full, 100, 10_000).await;
    // PostgreSQL makes new plans once a second, from the table's size at that time.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let many = shortest_claim(&site, &full, &other).await;
    println!("a claim beside 10 waiting changes: {few:?}, beside 10,010: {many:?}");
    assert!(many < few * 5, "{many:?} is more than five times {few:?}");
}
