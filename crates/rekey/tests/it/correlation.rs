//! Ownership of accounts, with connected systems and account holders that are not to be trusted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use async_trait::async_trait;
use hyper::{Method, StatusCode};
use rekey::{
    account::{Correlated, correlation::Correlator},
    model::{
        account::Account,
        change::State,
        column::Json,
        id::{IdentityId, SourceId},
        level::Level,
        source::Source,
    },
    source::{
        aggregation::{count_unseen, reconfirm, remove_unseen, settle},
        seen::Seen,
    },
};
use rekey_connectors::{
    Account as Known, Change, Connector, Fault, Listed, Observed, Outcome, Stamp, Verdict,
    Verification, another_account,
};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::quiet::{Quiet, keep_all, quiet_on_both_stores};

quiet_on_both_stores!(
    a_reused_name_is_another_account,
    a_renamed_account_stays_its_persons,
    an_account_that_no_longer_names_its_person_is_refused,
    values_are_compared_as_the_system_compares_them,
    two_accounts_that_name_one_person_are_nobodys,
    an_account_that_was_theirs_before_stays_theirs,
    nothing_becomes_that_of_a_person_with_capabilities,
    several_accounts_are_nobodys_when_they_no_longer_may,
    a_correlation_with_null_members_is_read,
    who_gains_capabilities_loses_accounts,
    an_account_that_changed_hands_waits_for_a_confirmation,
    a_new_generation_waits_for_an_aggregation,
    an_upgraded_store_waits_for_an_aggregation,
    an_account_that_hides_its_id_waits,
    an_account_that_comes_back_is_the_one_it_was,
    a_manual_owner_comes_back_with_the_same_id_only,
    a_cluster_made_anew_is_no_loss,
    a_name_is_compared_by_one_rule,
);

/// A system whose accounts have ids and attributes that anybody may change at any time.
#[derive(Clone, Default)]
pub(crate) struct System(Arc<Mutex<BTreeMap<String, Entry>>>);

#[derive(Clone)]
struct Entry {
    /// Empty if the system hides the id.
    id: String,
    uid: Vec<String>,
    password: Option<String>,
}

impl System {
    pub(crate) fn put(&self, native: &str, id: &str, uid: &[&str]) {
        let uid = uid.iter().map(|&uid| uid.to_owned()).collect();
        let entry = Entry { id: id.to_owned(), uid, password: None };
        self.0.lock().unwrap().insert(native.to_owned(), entry);
    }

    pub(crate) fn remove(&self, native: &str) {
        self.0.lock().unwrap().remove(native);
    }

    pub(crate) fn password(&self, native: &str) -> Option<String> {
        self.0.lock().unwrap().get(native).and_then(|entry| entry.password.clone())
    }

    fn entry(&self, native: &str) -> Result<Entry, Fault> {
        self.0.lock().unwrap().get(native).cloned().ok_or_else(another_account)
    }
}

#[async_trait]
impl Connector for System {
    async fn test(&self) -> Result<(), Fault> {
        Ok(())
    }

    async fn accounts(&self, to: mpsc::Sender<Listed>) -> Result<(), Fault> {
        let all = self.0.lock().unwrap().clone();
        for (native, entry) in all {
            let mut attributes = Map::new();
            attributes.insert("uid".into(), json!(entry.uid));
            let listed = Listed {
                stable_id: Some(entry.id).filter(|id| !id.is_empty()),
                name: native.clone(),
                native_identity: native,
                attributes,
                disabled: false,
                locked: false,
            };
            let _ = to.send(listed).await;
        }
        Ok(())
    }

    async fn observe(&self, account: &Known<'_>) -> Result<Observed, Fault> {
        let entry = self.entry(account.native_identity)?;
        let correlation = match account.correlated_by {
            Some("nativeIdentity") => vec![account.native_identity.to_owned()],
            Some(attribute) => {
                assert_eq!(attribute, "uid");
                entry.uid
            }
            None => Vec::new(),
        };
        Ok(Observed {
            stamp: Stamp(entry.password.unwrap_or_else(|| "none".into())),
            stable_id: Some(entry.id).filter(|id| !id.is_empty()),
            correlation,
        })
    }

    async fn apply(&self, change: &Change<'_>, _: &Stamp, _: Instant) -> Outcome {
        let mut all = self.0.lock().unwrap();
        let Some(entry) = all.get_mut(change.account.native_identity) else {
            return Outcome::NotApplied(another_account());
        };
        if change.account.stable_id != Some(entry.id.as_str()) {
            return Outcome::NotApplied(another_account());
        }
        entry.password = Some(change.password.expose().to_owned());
        Outcome::Applied
    }

    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        let right = self.password(change.account.native_identity).as_deref()
            == Some(change.password.expose());
        Ok(if right { Verdict::Yes } else { Verdict::No })
    }
}

/// A source of this kind, correlated by `uid`, with the system behind it.
pub(crate) async fn source(
    site: &Quiet,
    name: &str,
    kind: &str,
    privileged: bool,
) -> (SourceId, System) {
    let mut attributes = json!({
        "host": "127.0.0.1", "port": 1,
        "correlation": { "accountAttribute": "uid", "identityAttribute": "alias" },
    });
    if privileged {
        attributes["correlation"]["privileged"] = json!(true);
    }
    let id = site.source(name, kind, attributes).await;
    let system = System::default();
    let connector = Arc::new(system.clone());
    site.app.handles.plug(&id, Verification::Exact, connector);
    (id, system)
}

/// Aggregates all accounts; returns the messages about those that lost their owner.
pub(crate) async fn read(site: &Quiet, id: &SourceId, system: &System) -> Vec<String> {
    let (sender, mut receiver) = mpsc::channel(100);
    system.accounts(sender).await.unwrap();
    let mut listed = Vec::new();
    receiver.recv_many(&mut listed, 100).await;
    let id = id.clone();
    site.write(move |tx| {
        let source = tx.source(&id)?.unwrap();
        let correlator = Correlator::new(tx, &source)?;
        let mut seen = Seen::default();
        for one in &listed {
            seen.add(&one.native_identity);
        }
        keep_all(tx, &source, &correlator, &listed)?;
        remove_unseen(tx, &source.id, &seen, "", 100)?;
        Ok(settle(tx, &source, &correlator, &seen, "", 100)?.1)
    })
    .await
}

pub(crate) async fn account(site: &Quiet, id: &SourceId, native: &'static str) -> Account {
    let id = id.clone();
    site.write(move |tx| Ok(tx.account_on(&id, native)?.unwrap())).await
}

pub(crate) async fn owner(site: &Quiet, id: &SourceId, native: &'static str) -> Option<IdentityId> {
    account(site, id, native).await.identity_id
}

/// The number of audit rows with this action.
pub(crate) async fn recorded(site: &Quiet, action: &'static str) -> usize {
    let rows = site.write(|tx| Ok(tx.unchained(0, 1000)?)).await;
    rows.iter().filter(|row| row.action == action).count()
}

async fn a_reused_name_is_another_account(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let abby = site.person("abby", &[]).await;
    system.put("uid=abby", "1", &["abby"]);
    read(&site, &id, &system).await;
    let first = account(&site, &id, "uid=abby").await;
    assert_eq!(first.identity_id.as_ref(), Some(&abby));
    assert_eq!(first.stable_id.as_deref(), Some("1"));

    // Another person has the name now, and no aggregation has run since.
    system.put("uid=abby", "2", &["abby"]);
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    site.work().await;
    let errors = site.assert_ended(&change, State::Failed).await;
    assert!(errors[0].contains("belongs to another account now"), "{errors:?}");
    assert_eq!(system.password("uid=abby"), None);

    system.put("uid=abby", "2", &["stranger"]);
    read(&site, &id, &system).await;
    let second = account(&site, &id, "uid=abby").await;
    assert_ne!(second.id, first.id);
    assert_eq!(second.identity_id, None);
}

async fn a_renamed_account_stays_its_persons(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let (abby, bob) = (site.person("abby", &[]).await, site.person("bob", &[]).await);
    system.put("cn=a", "1", &["abby"]);
    system.put("cn=b", "2", &["bob"]);
    read(&site, &id, &system).await;
    let before = account(&site, &id, "cn=a").await.id;
    // The two accounts exchange their names.
    system.put("cn=a", "2", &["bob"]);
    system.put("cn=b", "1", &["abby"]);
    assert!(read(&site, &id, &system).await.is_empty());
    assert_eq!(account(&site, &id, "cn=b").await.id, before);
    assert_eq!(owner(&site, &id, "cn=b").await, Some(abby.clone()));
    assert_eq!(owner(&site, &id, "cn=a").await, Some(bob));
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    site.work().await;
    site.assert_ended(&change, State::Finished).await;
    assert_eq!(system.password("cn=b").as_deref(), Some("Only-for-abby-1"));
    assert_eq!(system.password("cn=a"), None);
}

async fn an_account_that_no_longer_names_its_person_is_refused(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let abby = site.person("abby", &[]).await;
    system.put("uid=abby", "1", &["abby"]);
    read(&site, &id, &system).await;
    system.put("uid=abby", "1", &["bob"]);
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    site.work().await;
    let errors = site.assert_ended(&change, State::Failed).await;
    assert!(errors[0].contains("no longer names its person"), "{errors:?}");
    assert_eq!(system.password("uid=abby"), None);
}

async fn values_are_compared_as_the_system_compares_them(site: Quiet) {
    site.person("ceo", &[]).await;
    let blank = site.person("blank", &[]).await;
    site.write(move |tx| {
        let mut person = tx.identity(&blank)?.unwrap();
        person.attributes.0.insert("badge".into(), json!("  "));
        Ok(tx.update_identity(&person)?)
    })
    .await;
    let (roles, system) = source(&site, "Roles", "postgresql", false).await;
    for (number, role) in ["CEO", " ceo", "ceo\u{a0}", "\u{212a}eo"].into_iter().enumerate() {
        system.put(role, &number.to_string(), &[role]);
    }
    system.put("ceo", "9", &["ceo"]);
    assert!(read(&site, &roles, &system).await.is_empty());
    assert!(owner(&site, &roles, "ceo").await.is_some());
    for role in ["CEO", " ceo", "ceo\u{a0}"] {
        assert_eq!(owner(&site, &roles, role).await, None, "{role:?}");
    }
    // A directory compares ASCII letters without case, and everything else exactly.
    let (entries, system) = source(&site, "Directory", "ldap", false).await;
    system.put("cn=1", "1", &["CEO"]);
    system.put("cn=2", "2", &["\u{212a}EO", " ceo"]);
    assert!(read(&site, &entries, &system).await.is_empty());
    assert!(owner(&site, &entries, "cn=1").await.is_some());
    assert_eq!(owner(&site, &entries, "cn=2").await, None);
    // A blank value names nobody, and neither do values that name two people.
    let blanks = json!({
        "host": "127.0.0.1", "port": 1,
        "correlation": { "accountAttribute": "uid", "identityAttribute": "badge" },
    });
    let blanks = site.source("Badges", "ldap", blanks).await;
    let system = System::default();
    system.put("cn=1", "1", &["  "]);
    read(&site, &blanks, &system).await;
    assert_eq!(owner(&site, &blanks, "cn=1").await, None);
    let (several, system) = source(&site, "Several", "ldap", false).await;
    system.put("cn=1", "1", &["ceo", "blank"]);
    read(&site, &several, &system).await;
    assert_eq!(owner(&site, &several, "cn=1").await, None);
}

async fn two_accounts_that_name_one_person_are_nobodys(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let ceo = site.person("ceo", &[]).await;
    system.put("cn=1", "1", &["ceo"]);
    system.put("cn=2", "2", &["ceo"]);
    for _ in 0..2 {
        let said = read(&site, &id, &system).await;
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(owner(&site, &id, "cn=1").await, None);
        assert_eq!(owner(&site, &id, "cn=2").await, None);
    }
    system.remove("cn=1");
    assert!(read(&site, &id, &system).await.is_empty());
    assert_eq!(owner(&site, &id, "cn=2").await, Some(ceo.clone()));
    // If the source allows several accounts for a person, both belong to them.
    system.put("cn=1", "1", &["ceo"]);
    let of = id.clone();
    site.write(move |tx| {
        let mut source = tx.source(&of)?.unwrap();
        source.extra.0.insert("severalAccounts".into(), Value::Bool(true));
        Ok(tx.update_source(&source)?)
    })
    .await;
    assert!(read(&site, &id, &system).await.is_empty());
    assert_eq!(owner(&site, &id, "cn=1").await, Some(ceo));
}

async fn an_account_that_was_theirs_before_stays_theirs(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let ceo = site.person("ceo", &[]).await;
    system.put("cn=mine", "1", &["ceo"]);
    read(&site, &id, &system).await;
    system.put("cn=attacker", "2", &["ceo"]);
    let said = read(&site, &id, &system).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("cn=attacker"), "{said:?}");
    assert_eq!(owner(&site, &id, "cn=mine").await, Some(ceo));
    assert_eq!(owner(&site, &id, "cn=attacker").await, None);
}

async fn nothing_becomes_that_of_a_person_with_capabilities(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let (open, allowed) = source(&site, "Allowed", "ldap", true).await;
    let admin = site.person("admin", &[]).await;
    grant(&site, &admin).await;
    for system in [&system, &allowed] {
        system.put("cn=1", "1", &["admin"]);
    }
    read(&site, &id, &system).await;
    read(&site, &open, &allowed).await;
    let refused = account(&site, &id, "cn=1").await;
    assert_eq!(refused.identity_id, None);
    assert!(refused.uncorrelated_because.unwrap().contains("capabilities"));
    assert_eq!(owner(&site, &open, "cn=1").await, Some(admin));
}

async fn grant(site: &Quiet, who: &IdentityId) {
    let who = who.clone();
    site.write(move |tx| {
        let mut person = tx.identity(&who)?.unwrap();
        person.capabilities = Json(vec![Level::Helpdesk]);
        rekey::identity::update(tx, person, "test")
    })
    .await;
}

async fn several_accounts_are_nobodys_when_they_no_longer_may(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let ceo = site.person("ceo", &[]).await;
    let allow = async |several: bool| {
        let of = id.clone();
        site.write(move |tx| {
            let mut source = tx.source(&of)?.unwrap();
            source.extra.0.insert("severalAccounts".into(), several.into());
            tx.update_source(&source)?;
            reconfirm(tx, &of, "test")
        })
        .await;
    };
    allow(true).await;
    system.put("cn=1", "1", &["ceo"]);
    system.put("cn=2", "2", &["ceo"]);
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "cn=2").await, Some(ceo));
    allow(false).await;
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "cn=1").await, None);
    assert_eq!(owner(&site, &id, "cn=2").await, None);
}

async fn a_correlation_with_null_members_is_read(site: Quiet) {
    let attributes = json!({
        "host": "127.0.0.1", "port": 1,
        "correlation": {
            "accountAttribute": "uid", "identityAttribute": "alias", "privileged": null,
        },
    });
    site.source("Null", "ldap", attributes).await;
    site.source("None", "ldap", json!({"correlation": null})).await;
    let bob = site.person("bob", &[]).await;
    grant(&site, &bob).await;
    let read = site.write(|tx| {
        let sources = tx.sources()?;
        Ok(sources.iter().map(Source::correlation).collect::<Result<Vec<_>, _>>()?)
    });
    let read = read.await;
    assert_eq!(read.iter().flatten().count(), 1);
    assert!(read.iter().flatten().all(|correlation| !correlation.privileged));
}

async fn who_gains_capabilities_loses_accounts(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let bob = site.person("bob", &[]).await;
    system.put("cn=1", "1", &["bob"]);
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "cn=1").await, Some(bob.clone()));
    let file = "identities: [{alias: bob, capabilities: [HELPDESK]}]";
    let plan =
        rekey::ops::apply::plan(&site.app, file, std::path::Path::new("."), false).await.unwrap();
    assert_eq!(plan.lines(), ["~ identity bob: capabilities (loses cn=1 on Directory)"]);
    rekey::ops::apply::run(&site.app, plan).await.unwrap();
    assert_eq!(owner(&site, &id, "cn=1").await, None);
    assert_eq!(recorded(&site, "ACCOUNT_OWNER_CHANGE").await, 1);
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "cn=1").await, None);
}

async fn an_account_that_changed_hands_waits_for_a_confirmation(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let login = site.login.clone();
    let abby = site.person("abby", &[&login]).await;
    let ceo = site.person("ceo", &[&login]).await;
    site.group(rekey_vault::Policy::default(), &[&id, &login]).await;
    system.put("cn=1", "1", &["abby"]);
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "cn=1").await, Some(abby));
    // The holder of the entry writes another person's name into it.
    system.put("cn=1", "1", &["ceo"]);
    read(&site, &id, &system).await;
    let moved = account(&site, &id, "cn=1").await;
    assert_eq!(moved.identity_id.as_ref(), Some(&ceo));
    assert!(moved.is_unconfirmed());
    // The account lost its first owner, and later got the second one.
    assert_eq!(recorded(&site, "ACCOUNT_OWNER_CHANGE").await, 2);
    let change = site.change(&ceo, &login, "Only-for-the-ceo-1").await;
    site.work().await;
    site.assert_ended(&change, State::Finished).await;
    assert_eq!(system.password("cn=1"), None, "the group's password reached it");

    let door = site.door().await;
    let patch = json!([{"op": "replace", "path": "/manuallyCorrelated", "value": true}]);
    let account_path = format!("/v2025/accounts/{}", moved.id);
    for (level, status) in
        [(Level::SourceSubadmin, StatusCode::FORBIDDEN), (Level::OrgAdmin, StatusCode::ACCEPTED)]
    {
        let person = door.person(&format!("{level:?}"), &[level]).await;
        let token = door.token_of(&door.personal_access_token(&person).await).await;
        let asked = door.ask(Method::PATCH, &account_path).token(&token);
        asked.text("application/json-patch+json", patch.to_string()).send().await.assert(status);
    }
    assert!(!account(&site, &id, "cn=1").await.is_unconfirmed());
    let change = site.change(&ceo, &login, "Only-for-the-ceo-2").await;
    site.work().await;
    site.assert_ended(&change, State::Finished).await;
    assert_eq!(system.password("cn=1").as_deref(), Some("Only-for-the-ceo-2"));
    // An aggregation does not change the manual owner.
    system.put("cn=1", "1", &["nobody"]);
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "cn=1").await, Some(ceo));
}

async fn a_new_generation_waits_for_an_aggregation(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let abby = site.person("abby", &[]).await;
    system.put("cn=1", "1", &["abby"]);
    read(&site, &id, &system).await;
    let of = id.clone();
    site.write(move |tx| reconfirm(tx, &of, "test")).await;
    assert_eq!(site.count("SELECT COUNT(*) AS value FROM job").await, 1);
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    site.work().await;
    site.assert_ended(&change, State::InProgress).await;
    let waits = "SELECT COUNT(*) AS value FROM password_change_target WHERE error LIKE 'waiting for an aggregation%'";
    assert_eq!(site.count(waits).await, 1);
    assert_eq!(system.password("cn=1"), None);
    read(&site, &id, &system).await;
    site.app.clock.turn(std::time::Duration::from_mins(2));
    site.work().await;
    site.assert_ended(&change, State::Finished).await;
}

async fn an_upgraded_store_waits_for_an_aggregation(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let (abby, ceo) = (site.person("abby", &[]).await, site.person("ceo", &[]).await);
    // The state in which the schema change leaves the accounts of a store without stable ids.
    let now = site.app.clock.now();
    for (native, who) in [("cn=1", &abby), ("cn=2", &ceo), ("cn=3", &ceo)] {
        let old = Account {
            identity_id: Some(who.clone()),
            generation: 0,
            ..Account::new(id.clone(), native, now)
        };
        site.write(move |tx| Ok(tx.insert_account(&old)?)).await;
    }
    rekey::source::aggregation::confirm_waiting(&site.app).await.unwrap();
    rekey::source::aggregation::confirm_waiting(&site.app).await.unwrap();
    assert_eq!(site.count("SELECT COUNT(*) AS value FROM job").await, 1);
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    site.work().await;
    site.assert_ended(&change, State::InProgress).await;

    system.put("cn=1", "1", &["abby"]);
    system.put("cn=2", "2", &["ceo"]);
    system.put("cn=3", "3", &["ceo"]);
    let said = read(&site, &id, &system).await;
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(account(&site, &id, "cn=1").await.stable_id.as_deref(), Some("1"));
    assert_eq!(owner(&site, &id, "cn=2").await, None);
    assert_eq!(owner(&site, &id, "cn=3").await, None);
    site.app.clock.turn(std::time::Duration::from_mins(2));
    site.work().await;
    site.assert_ended(&change, State::Finished).await;
}

async fn an_account_that_hides_its_id_waits(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let abby = site.person("abby", &[]).await;
    system.put("cn=1", "1", &["abby"]);
    read(&site, &id, &system).await;
    for (native, others) in [("cn=1", &[][..]), ("cn=2", &["cn=2"][..])] {
        system.put("cn=1", "", &["abby"]);
        for other in others {
            system.put(other, "2", &["abby"]);
        }
        read(&site, &id, &system).await;
        let hidden = account(&site, &id, "cn=1").await;
        assert_eq!(hidden.identity_id.as_ref(), Some(&abby), "{native}");
        assert!(hidden.uncorrelated_because.unwrap().contains("no longer shows its id"));
        assert!(hidden.generation < 1, "it does not wait");
    }
    // The person gets no other account meanwhile.
    assert_eq!(owner(&site, &id, "cn=2").await, None);
    let change = site.change(&abby, &id, "Only-for-abby-1").await;
    site.work().await;
    site.assert_ended(&change, State::InProgress).await;
    assert_eq!(system.password("cn=1"), None);

    system.remove("cn=2");
    system.put("cn=1", "1", &["abby"]);
    read(&site, &id, &system).await;
    assert_eq!(account(&site, &id, "cn=1").await.uncorrelated_because, None);
    site.app.clock.turn(std::time::Duration::from_mins(2));
    site.work().await;
    site.assert_ended(&change, State::Finished).await;
    assert_eq!(system.password("cn=1").as_deref(), Some("Only-for-abby-1"));
}

async fn an_account_that_comes_back_is_the_one_it_was(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let (abby, ceo) = (site.person("abby", &[]).await, site.person("ceo", &[]).await);
    system.put("cn=1", "1", &["abby"]);
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "cn=1").await, Some(abby));
    // The account is absent from one aggregation, and returns with another person's name.
    system.remove("cn=1");
    read(&site, &id, &system).await;
    system.put("cn=1", "1", &["ceo"]);
    read(&site, &id, &system).await;
    let back = account(&site, &id, "cn=1").await;
    assert_eq!(back.identity_id, Some(ceo));
    assert!(back.is_unconfirmed(), "it takes part in sync groups");
    assert_eq!(recorded(&site, "ACCOUNT_OWNER_CHANGE").await, 1);
    assert_eq!(site.count("SELECT COUNT(*) AS value FROM account_removed").await, 0);
}

async fn a_manual_owner_comes_back_with_the_same_id_only(site: Quiet) {
    let (id, system) = source(&site, "Directory", "ldap", false).await;
    let abby = site.person("abby", &[]).await;
    site.person("bob", &[]).await;
    system.put("cn=1", "1", &["nobody"]);
    read(&site, &id, &system).await;
    let (held, who) = (account(&site, &id, "cn=1").await.id, abby.clone());
    site.write(move |tx| {
        let account = rekey::account::hold(tx, &held)?;
        let wanted = Correlated { identity_id: Some(who.clone()), manually: true };
        rekey::account::keep_correlated(tx, &account, wanted, "test")
    })
    .await;
    // An administrator chose the owner, so the account's attribute does not matter.
    for (native, stable, theirs) in [("cn=1", "1", true), ("cn=2", "1", true), ("cn=2", "2", false)]
    {
        system.0.lock().unwrap().clear();
        read(&site, &id, &system).await;
        system.put(native, stable, &["nobody"]);
        read(&site, &id, &system).await;
        let back = account(&site, &id, native).await;
        assert_eq!(back.manually_correlated, theirs, "{native} {stable}");
        assert_eq!(back.identity_id.is_some(), theirs, "{native} {stable}");
        assert_eq!(back.confirmed_owner.is_some(), theirs, "{native} {stable}");
    }
}

async fn a_cluster_made_anew_is_no_loss(site: Quiet) {
    const ROLES: [&str; 8] = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"];
    let (id, system) = source(&site, "Roles", "postgresql", false).await;
    for role in ROLES {
        site.person(role, &[]).await;
        system.put(role, &format!("1/{role}"), &[role]);
    }
    read(&site, &id, &system).await;
    let first = owner(&site, &id, "r0").await;
    for role in ROLES {
        system.put(role, &format!("2/{role}"), &[role]);
    }
    let seen = Seen::default();
    let (of, all) = (id.clone(), seen.clone());
    let lost = site.write(move |tx| count_unseen(tx, &of, &all, "", 100)).await;
    assert_eq!((lost.0, lost.1), (8, 8), "a source that lists nothing");
    // Each role of the new cluster has the name of an old one, and none counts as removed.
    let of = id.clone();
    let listed: Vec<_> = ROLES.iter().map(|role| another(role)).collect();
    let lost = site.write(move |tx| {
        let source = tx.source(&of)?.unwrap();
        let correlator = Correlator::new(tx, &source)?;
        keep_all(tx, &source, &correlator, &listed)?;
        let mut seen = Seen::default();
        for role in ROLES {
            seen.add(role);
        }
        count_unseen(tx, &of, &seen, "", 100)
    });
    assert_eq!(lost.await.0, 0);
    assert!(read(&site, &id, &system).await.is_empty());
    assert_eq!(account(&site, &id, "r0").await.stable_id.as_deref(), Some("2/r0"));
    assert_eq!(owner(&site, &id, "r0").await, first);
    assert_eq!(site.count("SELECT COUNT(*) AS value FROM account_removed").await, 8);
}

/// A role of the same name in another cluster.
fn another(role: &str) -> Listed {
    let mut attributes = Map::new();
    attributes.insert("uid".into(), json!(role));
    Listed {
        native_identity: role.into(),
        stable_id: Some(format!("2/{role}")),
        name: role.into(),
        attributes,
        disabled: false,
        locked: false,
    }
}

async fn a_name_is_compared_by_one_rule(site: Quiet) {
    let attributes = json!({
        "host": "127.0.0.1", "port": 1,
        "correlation": { "accountAttribute": "nativeIdentity", "identityAttribute": "badge" },
    });
    let id = site.source("Badges", "postgresql", attributes).await;
    let system = System::default();
    let connector = Arc::new(system.clone());
    site.app.handles.plug(&id, Verification::Exact, connector);
    let abby = site.person("abby", &[]).await;
    let badge = async |badge: &'static str| {
        let who = abby.clone();
        site.write(move |tx| {
            let mut person = tx.identity(&who)?.unwrap();
            person.attributes.0.insert("badge".into(), json!(badge));
            Ok(tx.update_identity(&person)?)
        })
        .await;
    };
    badge("n1").await;
    system.put("n1", "1", &[]);
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "n1").await.as_ref(), Some(&abby));
    // The next aggregation would take the account from its owner, so a change must not reach it
    // either.
    badge("N1").await;
    let change = site.change(&abby, &id, "Only-for-n1-1").await;
    site.work().await;
    let errors = site.assert_ended(&change, State::Failed).await;
    assert!(errors[0].contains("no longer names its person"), "{errors:?}");
    assert_eq!(system.password("n1"), None);
    read(&site, &id, &system).await;
    assert_eq!(owner(&site, &id, "n1").await, None);
}
