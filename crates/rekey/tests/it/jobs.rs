//! Jobs: one worker at a time, and a lost claim can end nothing.

use std::time::Duration;

use rekey::{
    Error,
    jobs::queue::{LEASE, carry_out},
    source::{
        self,
        aggregation::{Correlator, keep},
    },
    store::Job,
};
use rekey_connectors::Listed;
use serde_json::{Map, json};

use crate::quiet::{Quiet, quiet_on_both_stores};

quiet_on_both_stores!(
    a_source_has_one_aggregation_at_a_time,
    a_lost_claim_of_a_job_can_end_nothing,
    accounts_stay_when_their_source_cannot_be_read,
);

async fn claimed(site: &Quiet, node: &'static str) -> Option<Job> {
    site.app.store.write(move |tx| tx.claim_job(node, LEASE)).await.unwrap()
}

async fn asked(site: &Quiet, source: &rekey::id::SourceId) -> Job {
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
        name: "one".into(),
        attributes: Map::new(),
        disabled: false,
        locked: false,
    };
    let on = id.clone();
    let kept = move |tx: &mut rekey::store::Tx<'_>| -> Result<_, Error> {
        keep(tx, &on, &Correlator::Nothing, std::slice::from_ref(&listed))
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
