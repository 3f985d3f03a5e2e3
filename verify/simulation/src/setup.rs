//! The data that all histories share: three people with an account on each of three sources, and
//! one sync group.

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey::model::source_key::SourceKey;
use rekey::{
    Error,
    access::{ALL, Caller},
    keys,
    model::{
        account::Account,
        column::Json,
        id::{AccountId, ClientId, IdentityId, KeyId, PolicyId, SourceId, SyncGroupId},
        identity::Identity,
        policy::PasswordPolicy,
        source::Source,
        sync_group::SyncGroup,
        time::Clock,
    },
    password::accept::Ask,
    store::Store,
};
use rekey_vault::{Kek, Padding, Policy, Sealer};
use tempfile::TempDir;

use crate::{history::Number, source::stable_id, world::BEGIN};

pub(crate) const PEOPLE: usize = 3;
pub(crate) const SOURCES: usize = 3;
/// The smallest number used as a ciphertext: RSA maps 0 and 1 to themselves.
const FIRST: u64 = 2;

/// A store with all the data that no history changes.
pub(crate) struct Setup {
    pub(crate) store: Store,
    pub(crate) sealer: Sealer,
    _folder: TempDir,
}

impl Setup {
    pub(crate) async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let sealer = Sealer::new(Kek::create(&folder.path().join("master.key"))?);
        let store = Store::in_memory(Clock::with_the_runtime(BEGIN)).await?;
        let key = keys::generate(&sealer, &Self::source_id(0), Padding::Pkcs1v15, BEGIN)?;
        store
            .write(move |tx| -> Result<(), Error> {
                for person in 0..PEOPLE {
                    tx.insert_identity(&identity(person))?;
                }
                for number in 0..SOURCES {
                    tx.insert_source(&source(number), "simulation")?;
                    let (id, source_id) = (Self::key_id(number), Self::source_id(number));
                    tx.insert_source_key(&SourceKey { id, source_id, ..key.clone() })?;
                    for person in 0..PEOPLE {
                        tx.insert_account(&account(number, person))?;
                    }
                }
                let policy_id = PolicyId("policy".into());
                tx.insert_policy(&PasswordPolicy {
                    id: policy_id.clone(),
                    name: "Group".into(),
                    description: None,
                    members: Json(Policy::default()),
                    default_policy: false,
                    created: BEGIN,
                    modified: BEGIN,
                })?;
                Ok(tx.insert_group(&SyncGroup {
                    id: Self::group_id(),
                    name: "Group".into(),
                    policy_id,
                    created: BEGIN,
                    modified: BEGIN,
                })?)
            })
            .await?;
        Ok(Self { store, sealer, _folder: folder })
    }

    /// Resets the store for the next history, with the group's members and the statements of a
    /// control.
    pub(crate) async fn renew(
        &self,
        group: usize,
        triggers: &'static [&'static str],
    ) -> Result<(), Error> {
        self.store
            .write(move |tx| {
                for table in
                    ["password_change_target", "password_change", "audit", "idempotency_key"]
                {
                    tx.run(&format!("DELETE FROM {table}"), &[])?;
                }
                for name in ["control_a", "control_b"] {
                    tx.run(&format!("DROP TRIGGER IF EXISTS {name}"), &[])?;
                }
                for person in 0..PEOPLE {
                    let sql = "UPDATE account SET stable_id = $1 WHERE native_identity = $2";
                    tx.run(sql, &[&stable_id(person, 0), &format!("n{person}")])?;
                }
                for trigger in triggers {
                    tx.run(trigger, &[])?;
                }
                let members: Vec<_> = (0..group).map(Self::source_id).collect();
                Ok(tx.set_group_sources(&Self::group_id(), &members)?)
            })
            .await
    }

    pub(crate) fn source_id(source: usize) -> SourceId {
        SourceId(format!("source{source}"))
    }

    pub(crate) fn account_id(source: usize, person: usize) -> AccountId {
        AccountId(format!("account{source}{person}"))
    }

    fn key_id(source: usize) -> KeyId {
        KeyId(format!("key{source}"))
    }

    fn group_id() -> SyncGroupId {
        SyncGroupId("group".into())
    }

    fn identity_id(person: usize) -> IdentityId {
        IdentityId(format!("person{person}"))
    }

    /// The client that sends all requests.
    pub(crate) fn caller() -> Caller {
        Caller {
            client_id: ClientId("client".into()),
            identity_id: None,
            name: "client".into(),
            levels: vec![],
            scope: vec![ALL.into()],
            signed_in: None,
        }
    }

    /// The stand-in for an encrypted password: its number at the end of a block as long as an RSA
    /// modulus of 2048 bits.
    pub(crate) fn ciphertext(number: Number) -> Vec<u8> {
        let mut block = vec![0; 248];
        block.extend((number as u64 + FIRST).to_be_bytes());
        block
    }

    /// Recovers the number of a password from the stand-in for its ciphertext.
    pub(crate) fn number_in(ciphertext: &[u8]) -> Option<u64> {
        let tail = ciphertext.get(248..)?.try_into().ok()?;
        u64::from_be_bytes(tail).checked_sub(FIRST)
    }

    pub(crate) fn ask(person: usize, source: usize, number: Number) -> Ask {
        Ask {
            identity_id: Self::identity_id(person),
            source_id: Self::source_id(source),
            account_id: None,
            public_key_id: Self::key_id(source),
            encrypted_password: BASE64_STANDARD.encode(Self::ciphertext(number)),
            idempotency_key: None,
        }
    }
}

fn identity(person: usize) -> Identity {
    Identity {
        id: Setup::identity_id(person),
        alias: format!("n{person}"),
        name: format!("N{person}"),
        email: None,
        capabilities: Json::default(),
        attributes: Json::default(),
        enabled: true,
        generation: 0,
        created: BEGIN,
        modified: BEGIN,
    }
}

fn source(source: usize) -> Source {
    Source {
        id: Setup::source_id(source),
        name: format!("S{source}"),
        description: None,
        connector: "ldap".into(),
        owner_id: IdentityId("owner".into()),
        features: Json(vec!["PASSWORD".into()]),
        connector_attributes: Json::default(),
        extra: Json::default(),
        policy_id: None,
        deadline: None,
        version: 1,
        generation: 1,
        healthy: true,
        status: "SOURCE_STATE_HEALTHY".into(),
        created: BEGIN,
        modified: BEGIN,
    }
}

fn account(source: usize, person: usize) -> Account {
    Account {
        id: Setup::account_id(source, person),
        identity_id: Some(Setup::identity_id(person)),
        stable_id: Some(stable_id(person, 0)),
        ..Account::new(Setup::source_id(source), &format!("n{person}"), BEGIN)
    }
}
