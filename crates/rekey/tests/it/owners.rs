//! An account whose owner changes while a change of its password is executed, and an account that
//! gets its first owner.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rekey::{
    account::{Correlated, hold, keep_correlated},
    model::{
        change::State,
        id::{AccountId, IdentityId, SourceId},
    },
    source::aggregation::reconfirm,
};
use rekey_connectors::{
    Account as Known, Change, Connector, Fault, Listed, Observed, Outcome, Stamp, Verdict,
    Verification,
};
use rekey_vault::Policy;
use tokio::sync::{Barrier, mpsc};

use crate::{
    correlation::{System, account, owner, read, recorded, source},
    quiet::{Quiet, quiet_on_both_stores},
};

quiet_on_both_stores!(
    an_account_given_away_during_a_look_is_not_written,
    an_account_of_a_new_generation_during_a_look_waits,
    an_account_taken_from_a_privileged_person_during_a_look_is_not_written,
    no_member_of_a_group_is_written_when_one_is_given_away_during_a_look,
    an_account_that_names_its_first_owner_later_waits_for_a_confirmation,
    an_account_whose_person_comes_later_is_theirs,
    an_account_of_nobody_is_remembered_while_it_is_hidden,
    an_attribute_that_was_not_read_before_says_nothing,
);

/// A system that pauses once, after an observation, until the test has acted.
struct Watched {
    system: System,
    pause: Mutex<Option<Arc<Barrier>>>,
}

#[async_trait]
impl Connector for Watched {
    async fn test(&self) -> Result<(), Fault> {
        Ok(())
    }

    async fn accounts(&self, to: mpsc::Sender<Listed>) -> Result<(), Fault> {
        self.system.accounts(to).await
    }

    async fn observe(&self, account: &Known<'_>) -> Result<Observed, Fault> {
        let observed = self.system.observe(account).await;
        let pause = self.pause.lock().unwrap().take();
        if let Some(pause) = pause {
            pause.wait().await;
            pause.wait().await;
        }
        observed
    }

    async fn apply(&self, change: &Change<'_>, stamp: &Stamp, by: std::time::Instant) -> Outcome {
        self.system.apply(change, stamp, by).await
    }

    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        self.system.verify(change).await
    }
}

/// A source with one account, which belongs to abby; the next observation pauses until the barrier
/// is passed twice.
async fn watched(site: &Quiet) -> (SourceId, System, Arc<Barrier>, IdentityId) {
    let (id, system) = source(site, "Directory", "ldap", false).await;
    let abby = site.person("abby", &[]).await;
    system.put("cn=1", "1", &["abby"]);
    read(site, &id, &system).await;
    let barrier = Arc::new(Barrier::new(2));
    let connector = Watched { system: system.clone(), pause: Mutex::new(Some(barrier.clone())) };
    site.app.handles.plug(&id, Verification::Exact, Arc::new(connector));
    (id, system, barrier, abby)
}

/// Executes the changes that are due, and runs `meanwhile` between the observation and the write.
async fn work_with(site: &Quiet, barrier: &Barrier, meanwhile: impl Future<Output = ()>) {
    let between = async {
        barrier.wait().await;
        meanwhile.await;
        barrier.wait().await;
    };
    tokio::join!(site.work(), between);
}

async fn work_later(site: &Quiet) {
    site.app.clock.turn(std::time::Duration::from_mins(2));
    site.work().await;
}

async fn give(site: &Quiet, account: AccountId, to: &IdentityId) {
    let to = to.clone();
    site.write(move |tx| {
        let account = hold(tx, &account)?;
        let wanted = Correlated { identity_id: Some(to.clone()), manually: true };
        keep_correlated(tx, &account, wanted, "test")
    })
    .await;
}

const ANNOUNCED: &str =
    "SELECT COUNT(*) AS value FROM password_change_target WHERE announced IS NOT NULL";

async fn an_account_given_away_during_a_look_is_not_written(site: Quiet) {
    let (id, system, barrier, abby) = watched(&site).await;
    let bob = site.person("bob", &[]).await;
    let held = account(&site, &id, "cn=1").await.id;
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    work_with(&site, &barrier, give(&site, held, &bob)).await;
    assert_eq!(system.password("cn=1"), None, "abby's password is in bob's account");
    assert_eq!(site.count(ANNOUNCED).await, 0);
    work_later(&site).await;
    let errors = site.assert_ended(&change, State::Failed).await;
    assert!(errors.iter().any(|why| why.contains("belongs to someone else now")), "{errors:?}");
}

async fn an_account_of_a_new_generation_during_a_look_waits(site: Quiet) {
    let (id, system, barrier, abby) = watched(&site).await;
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    let of = id.clone();
    let raise = site.write(move |tx| reconfirm(tx, &of, "test"));
    work_with(&site, &barrier, raise).await;
    assert_eq!(system.password("cn=1"), None, "nothing has confirmed whose it is");
    work_later(&site).await;
    site.assert_ended(&change, State::InProgress).await;
    assert_eq!(system.password("cn=1"), None);
    read(&site, &id, &system).await;
    work_later(&site).await;
    site.assert_ended(&change, State::Finished).await;
    assert_eq!(system.password("cn=1").as_deref(), Some("Only-for-abby-1"));
}

async fn an_account_taken_from_a_privileged_person_during_a_look_is_not_written(site: Quiet) {
    let (id, system, barrier, abby) = watched(&site).await;
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    let file = "identities: [{alias: abby, capabilities: [HELPDESK]}]";
    let grant = async {
        let here = std::path::Path::new(".");
        let plan = rekey::ops::apply::plan(&site.app, file, here, false).await.unwrap();
        rekey::ops::apply::run(&site.app, plan).await.unwrap();
    };
    work_with(&site, &barrier, grant).await;
    assert_eq!(owner(&site, &id, "cn=1").await, None);
    assert_eq!(system.password("cn=1"), None, "the account was no longer abby's");
    work_later(&site).await;
    site.assert_ended(&change, State::Failed).await;
}

async fn no_member_of_a_group_is_written_when_one_is_given_away_during_a_look(site: Quiet) {
    let (id, system, barrier, abby) = watched(&site).await;
    let (other, second) = source(&site, "Second", "ldap", false).await;
    second.put("cn=2", "2", &["abby"]);
    read(&site, &other, &second).await;
    site.group(Policy::default(), &[&id, &other]).await;
    let bob = site.person("bob", &[]).await;
    let held = account(&site, &id, "cn=1").await.id;
    let change = site.change(&abby, &other, "Only-for-abby-1").await;
    work_with(&site, &barrier, give(&site, held, &bob)).await;
    assert_eq!((system.password("cn=1"), second.password("cn=2")), (None, None));
    assert_eq!(site.count(ANNOUNCED).await, 0, "the intent of the other member was kept");
    work_later(&site).await;
    site.assert_ended(&change, State::Failed).await;
    assert_eq!((system.password("cn=1"), second.password("cn=2")), (None, None));
}

/// A transaction that is open when the write is announced counts as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_being_changed_is_waited_for() {
    let Some(url) = crate::site::postgres_url().await else { return };
    let site = Quiet::on(&url, tempfile::tempdir().unwrap()).await;
    let (id, system, barrier, abby) = watched(&site).await;
    let bob = site.person("bob", &[]).await;
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let give =
        format!("BEGIN; UPDATE account SET identity_id = '{bob}' WHERE identity_id = '{abby}'");
    let commits = async {
        barrier.wait().await;
        client.batch_execute(&give).await.unwrap();
        barrier.wait().await;
        // Either the announcement waits for this transaction, or it did not wait and is committed.
        let over = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                AND wait_event_type = 'Lock'
            UNION ALL SELECT 1 FROM password_change_target WHERE announced IS NOT NULL OR state > 0";
        while client.query(over, &[]).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        client.batch_execute("COMMIT").await.unwrap();
    };
    tokio::join!(site.work(), commits);
    assert_eq!(system.password("cn=1"), None, "abby's password is in bob's account");
    work_later(&site).await;
    site.assert_ended(&change, State::Failed).await;
}

/// A sync group of the built-in source and a directory, in which the ceo has no account.
async fn lone_ceo(site: &Quiet) -> (SourceId, System, IdentityId) {
    let (id, system) = source(site, "Directory", "ldap", false).await;
    let login = site.login.clone();
    let ceo = site.person("ceo", &[&login]).await;
    site.group(Policy::default(), &[&id, &login]).await;
    (id, system, ceo)
}

/// Whether the ceo's next password of the group reaches the account.
async fn reaches(site: &Quiet, system: &System, ceo: &IdentityId, clear: &str) -> bool {
    let change = site.change(ceo, &site.login, clear).await;
    site.work().await;
    site.assert_ended(&change, State::Finished).await;
    system.password("cn=1").as_deref() == Some(clear)
}

async fn an_account_that_names_its_first_owner_later_waits_for_a_confirmation(site: Quiet) {
    let (id, system, ceo) = lone_ceo(&site).await;
    for (stable, before) in [("1", &["mallory"][..]), ("2", &[])] {
        system.remove("cn=1");
        read(&site, &id, &system).await;
        system.put("cn=1", stable, before);
        read(&site, &id, &system).await;
        // The account's holder writes the ceo's name into it, by way of another name.
        for (name, whose) in [("nobody", None), ("ceo", Some(&ceo))] {
            system.put("cn=1", stable, &[name]);
            read(&site, &id, &system).await;
            assert_eq!(owner(&site, &id, "cn=1").await.as_ref(), whose);
        }
        assert!(account(&site, &id, "cn=1").await.is_unconfirmed(), "{before:?}");
    }
    assert!(!reaches(&site, &system, &ceo, "Only-for-the-ceo-1").await);
    assert_eq!(recorded(&site, "ACCOUNT_OWNER_CHANGE").await, 2);
    give(&site, account(&site, &id, "cn=1").await.id, &ceo).await;
    assert!(reaches(&site, &system, &ceo, "Only-for-the-ceo-2").await);
}

async fn an_account_whose_person_comes_later_is_theirs(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    system.put("cn=1", "1", &["abby", "abigail"]);
    read(&site, &id, &system).await;
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "cn=1").await, None);
    // Another order, other letter case, or one value less adds nothing to the values seen before.
    system.put("cn=1", "1", &["ABIGAIL", "abby"]);
    read(&site, &id, &system).await;
    system.put("cn=1", "1", &["abby"]);
    read(&site, &id, &system).await;
    let login = site.login.clone();
    let abby = site.person("abby", &[&login]).await;
    site.group(Policy::default(), &[&id, &login]).await;
    read(&site, &id, &system).await;
    let found = account(&site, &id, "cn=1").await;
    assert_eq!(found.identity_id.as_ref(), Some(&abby));
    assert!(!found.is_unconfirmed());
    assert!(reaches(&site, &system, &abby, "Only-for-abby-1").await);
}

async fn an_account_of_nobody_is_remembered_while_it_is_hidden(site: Quiet) {
    let (id, system, ceo) = lone_ceo(&site).await;
    system.put("cn=1", "1", &["mallory"]);
    read(&site, &id, &system).await;
    system.remove("cn=1");
    read(&site, &id, &system).await;
    system.put("cn=1", "1", &["ceo"]);
    read(&site, &id, &system).await;
    let back = account(&site, &id, "cn=1").await;
    assert_eq!(back.identity_id.as_ref(), Some(&ceo));
    assert!(back.is_unconfirmed());
    assert!(!reaches(&site, &system, &ceo, "Only-for-the-ceo-1").await);
}

async fn an_attribute_that_was_not_read_before_says_nothing(site: Quiet) {
    let (id, system, ceo) = lone_ceo(&site).await;
    system.put("cn=1", "1", &[]);
    read(&site, &id, &system).await;
    let of = id.clone();
    site.write(move |tx| reconfirm(tx, &of, "test")).await;
    system.put("cn=1", "1", &["ceo"]);
    read(&site, &id, &system).await;
    let found = account(&site, &id, "cn=1").await;
    assert_eq!(found.identity_id, Some(ceo));
    assert!(!found.is_unconfirmed());
}
