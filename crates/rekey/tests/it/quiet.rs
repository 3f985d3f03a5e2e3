//! A rekey without background workers: the test itself executes the changes.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey::{
    App, Error,
    access::Caller,
    account::correlation::Correlator,
    config::{Config, Limits},
    connector::built_in::BuiltIn,
    jobs::change_password,
    keys,
    model::{
        account::Account,
        change::State,
        column::Json,
        id::{ClientId, IdentityId, PolicyId, SourceId, SyncGroupId},
        identity::Identity,
        policy::PasswordPolicy,
        source::{BUILT_IN, IDENTITY_NOW, Source},
        source_key::KeyPadding,
        sync_group::SyncGroup,
        time::Clock,
    },
    password::{
        accept::{self, Accepted, Ask},
        status::{self, Status},
    },
    source::{
        aggregation::{Counted, keep},
        room::Room,
    },
    store::{self, Claimed, Store, Tx},
};
use rekey_connectors::Listed;
use rekey_vault::{Kek, Padding, Password, Policy, PublicKey, Sealer};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch};

use crate::site::Site;

/// Runs each test twice: with the store in SQLite and in PostgreSQL.
macro_rules! quiet_on_both_stores {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let folder = tempfile::tempdir().unwrap();
                let url = folder.path().join("rekey.db").display().to_string();
                super::$test($crate::quiet::Quiet::on(&url, folder).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(url) = $crate::site::postgres_url().await {
                    let folder = tempfile::tempdir().unwrap();
                    super::$test($crate::quiet::Quiet::on(&url, folder).await).await;
                }
            }
        }
    )*};
}
pub(crate) use quiet_on_both_stores;

/// Stores accounts as an aggregation does, within the default limits.
pub(crate) fn keep_all(
    tx: &mut Tx<'_>,
    source: &Source,
    correlator: &Correlator,
    listed: &[Listed],
) -> Result<Counted, Error> {
    let mut room = Room::of(tx, &source.id, &Limits::default())?;
    keep(tx, source, correlator, listed, &mut room)
}

/// An API client with its own authority.
pub(crate) fn api_client() -> Caller {
    Caller {
        client_id: ClientId::new(),
        identity_id: None,
        name: "portal".into(),
        levels: vec![],
        scope: vec![rekey::access::ALL.into(), rekey::access::ENDPOINT.into()],
        signed_in: None,
    }
}

pub(crate) struct Quiet {
    pub(crate) app: App,
    pub(crate) login: SourceId,
    pub(crate) client: Caller,
    folder: Arc<TempDir>,
    pub(crate) url: String,
}

impl Quiet {
    pub(crate) async fn on(url: &str, folder: TempDir) -> Self {
        let clock = Clock::default();
        let store = Store::open(url, clock.clone()).await.unwrap();
        let sealer = Sealer::new(Kek::create(&folder.path().join("master.key")).unwrap());
        let app = App::new(Config::default(), store, sealer, clock).await.unwrap();
        let client = api_client();
        let mut quiet = Self {
            app,
            login: SourceId::new(),
            client,
            folder: Arc::new(folder),
            url: url.to_owned(),
        };
        quiet.login = quiet.source(IDENTITY_NOW, BUILT_IN, json!({})).await;
        quiet
    }

    /// Replaces the app by one with other settings on the same store.
    pub(crate) async fn set(&mut self, change: impl FnOnce(&mut Config)) {
        let mut config = self.app.config.clone();
        change(&mut config);
        let (store, sealer) = (self.app.store.clone(), self.app.sealer.clone());
        self.app = App::new(config, store, sealer, self.app.clock.clone()).await.unwrap();
    }

    /// Serves the API of this rekey, also without background workers.
    pub(crate) async fn door(&self) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(false);
        let router = rekey::http::api::router(self.app.clone());
        tokio::spawn(rekey::http::serve::answer(
            router,
            listener,
            rekey::http::serve::Bounds::default(),
            stopped,
        ));
        Site::behind(base, self.app.clone(), self.url.clone(), self.folder.clone(), stop)
    }

    pub(crate) async fn source(&self, name: &str, connector: &str, attributes: Value) -> SourceId {
        let now = self.app.clock.now();
        let source = Source {
            id: SourceId::new(),
            name: name.into(),
            description: None,
            connector: connector.into(),
            owner_id: IdentityId::new(),
            features: Json(vec!["PASSWORD".into()]),
            connector_attributes: Json(attributes.as_object().unwrap().clone()),
            extra: Json::default(),
            policy_id: None,
            deadline: None,
            version: 1,
            generation: 1,
            healthy: true,
            status: "SOURCE_STATE_HEALTHY".into(),
            created: now,
            modified: now,
        };
        let id = source.id.clone();
        let pair = keys::generate(&self.app.sealer, &id, Padding::Pkcs1v15, now).unwrap();
        self.write(move |tx| {
            tx.insert_source(&source, "test")?;
            Ok(tx.insert_source_key(&pair)?)
        })
        .await;
        id
    }

    pub(crate) async fn person(&self, alias: &str, sources: &[&SourceId]) -> IdentityId {
        let now = self.app.clock.now();
        let identity = Identity {
            id: IdentityId::new(),
            alias: alias.into(),
            name: alias.to_uppercase(),
            email: None,
            capabilities: Json::default(),
            attributes: Json(Map::new()),
            enabled: true,
            generation: 0,
            created: now,
            modified: now,
        };
        let id = identity.id.clone();
        self.write(move |tx| Ok(tx.insert_identity(&identity)?)).await;
        for source in sources {
            self.account(&id, source, alias).await;
        }
        id
    }

    pub(crate) async fn account(&self, who: &IdentityId, source: &SourceId, native: &str) {
        let now = self.app.clock.now();
        let account =
            Account { identity_id: Some(who.clone()), ..Account::new(source.clone(), native, now) };
        self.write(move |tx| Ok(tx.insert_account(&account)?)).await;
    }

    pub(crate) async fn group(&self, policy: Policy, sources: &[&SourceId]) {
        let now = self.app.clock.now();
        let policy = PasswordPolicy {
            id: PolicyId::new(),
            name: "Group".into(),
            description: None,
            members: Json(policy),
            default_policy: false,
            created: now,
            modified: now,
        };
        let group = SyncGroup {
            id: SyncGroupId::new(),
            name: "Group".into(),
            policy_id: policy.id.clone(),
            created: now,
            modified: now,
        };
        let sources: Vec<_> = sources.iter().map(|source| (*source).clone()).collect();
        self.write(move |tx| {
            tx.insert_policy(&policy)?;
            tx.insert_group(&group)?;
            Ok(tx.set_group_sources(&group.id, &sources)?)
        })
        .await;
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        deed: impl Fn(&mut rekey::store::Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> T {
        self.app.store.write(deed).await.unwrap()
    }

    pub(crate) async fn ciphertext(
        &self,
        source: &SourceId,
        clear: &[u8],
    ) -> (rekey::model::id::KeyId, String) {
        let source = source.clone();
        let key = self
            .write(move |tx| {
                let padding = KeyPadding(Padding::Pkcs1v15);
                Ok(tx.active_source_key(&source, padding)?.unwrap())
            })
            .await;
        let public = PublicKey::from_spki(&key.spki).unwrap();
        let bytes = public.encrypt(Padding::Pkcs1v15, clear).unwrap();
        (key.id, BASE64_STANDARD.encode(bytes))
    }

    pub(crate) async fn ask(&self, who: &IdentityId, source: &SourceId, clear: &[u8]) -> Ask {
        let (public_key_id, encrypted_password) = self.ciphertext(source, clear).await;
        Ask {
            identity_id: who.clone(),
            source_id: source.clone(),
            account_id: None,
            public_key_id,
            encrypted_password,
            idempotency_key: None,
        }
    }

    pub(crate) async fn change(
        &self,
        who: &IdentityId,
        source: &SourceId,
        clear: &str,
    ) -> Accepted {
        let ask = self.ask(who, source, clear.as_bytes()).await;
        accept::accept(&self.app, &self.client, ask).await.unwrap()
    }

    pub(crate) async fn claim(&self, node: &str) -> Vec<Claimed> {
        let node = node.to_owned();
        self.write(move |tx| {
            let (due, _) = tx.due_queues()?;
            let queues = due.into_iter().map(|queue| (queue.source_set, 10)).collect();
            Ok(tx.claim(&node, change_password::LEASE, &store::Room { queues, expired: 10 })?)
        })
        .await
    }

    /// Executes a claimed change.
    pub(crate) async fn carry_out(&self, change: Claimed) {
        let permit = self.app.handles.hold(&change.source_set);
        change_password::run(&self.app, change, Some(permit)).await;
    }

    /// Claims and executes the changes that are due; returns their number.
    pub(crate) async fn work(&self) -> usize {
        let claimed = self.claim(&self.app.node).await;
        let count = claimed.len();
        for change in claimed {
            self.carry_out(change).await;
        }
        count
    }

    pub(crate) async fn status(&self, accepted: &Accepted) -> Status {
        status::status(&self.app, &self.client, accepted.id.clone()).await.unwrap()
    }

    pub(crate) async fn assert_ended(&self, accepted: &Accepted, state: State) -> Vec<String> {
        let status = self.status(accepted).await;
        assert_eq!(status.state, state, "{:?}", status.errors);
        status.errors
    }

    pub(crate) async fn signs_in(&self, source: &SourceId, native: &str, clear: &str) -> bool {
        let link = BuiltIn::new(self.app.store.clone(), source.clone());
        link.compare(native, &Password::new(clear.into()), ()).await.unwrap().0
    }

    /// The number that a query returns.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        self.write(move |tx| Ok(tx.count(sql)?)).await
    }
}
