//! The very first start: the administrator, the source people sign in to, the default policy,
//! and the first credentials, in one transaction and one file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rekey_vault::{Password, Policy};
use serde::Serialize;
use serde_json::{Map, json};

use crate::{
    App, Error,
    access::{ALL, ENDPOINT},
    client::{NewToken, VALIDITY, Wanted},
    identity::{self, NewIdentity},
    keys,
    model::{
        audit::ACTOR,
        client::GrantType,
        column::Json,
        id::PolicyId,
        identity::Identity,
        level::Level,
        policy::PasswordPolicy,
        source::{BUILT_IN, IDENTITY_NOW, Source},
        source_key::SourceKey,
        time::Micros,
    },
    policy,
    source::{self, NewSource},
    store::{self, Audit, Fail, Tx},
};

/// The setting that says the first start has been, and on which node.
const FIRST_START: &str = "first_start";
/// The setting that names the person whose first password stands in [`FILE`].
const FIRST_PASSWORD: &str = "first_password";
/// The file of the first credentials.
pub const FILE: &str = "bootstrap.json";
/// The administrator's login name.
pub const ADMIN: &str = "admin";

/// What [`FILE`] says.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// Where it is reached.
    pub base_url: String,
    /// The administrator's personal access token.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// An API client, which may change anyone's password and configure any source.
    pub api_client_id: String,
    /// Its secret.
    pub api_client_secret: String,
    /// The administrator's login name.
    pub admin_user: String,
    /// Their first password.
    pub admin_password: String,
}

/// Where the first credentials stand.
pub fn file(app: &App) -> PathBuf {
    app.config.store.folder.join(FILE)
}

/// Makes what a new store needs and writes [`FILE`]; nothing if that has been done, here or on
/// another node.
pub async fn first_start(app: &App) -> Result<Option<Bootstrap>, Error> {
    if let Some(node) = app.store.read(|tx| tx.setting(FIRST_START)).await? {
        finish(app, &node);
        return Ok(None);
    }
    let first = First::new(app).await?;
    let bootstrap = first.bootstrap.clone();
    // The credentials are on disk before the store knows them, and get their name afterwards: so
    // they are lost in no crash, and in no race with another node's.
    let draft = draft(app, &app.node);
    write(&draft, &bootstrap).map_err(|error| {
        Error::Setup(format!(
            "the first credentials cannot be written to {}: {error}; make the folder writable",
            draft.display()
        ))
    })?;
    let node = app.node.clone();
    let entered = app.store.write(move |tx| first.enter(tx, &node)).await;
    let entered = match entered {
        Err(error) if may_be_done(&error) => after_all(app, &draft, &error).await?,
        entered => entered.inspect_err(|_| drop(fs::remove_file(&draft)))?,
    };
    if !entered {
        drop(fs::remove_file(&draft));
        return Ok(None);
    }
    finish(app, &app.node);
    Ok(Some(bootstrap))
}

/// Whether the person signs in with the password that stands in [`FILE`].
pub async fn is_first_password(app: &App, who: &Identity) -> Result<bool, Error> {
    let who = who.clone();
    app.store
        .read(move |tx: &mut Tx<'_>| {
            if tx.setting(FIRST_PASSWORD)?.as_deref() != Some(who.id.as_str()) {
                return Ok(false);
            }
            let Some(source) = tx.source_named(IDENTITY_NOW)? else { return Ok(false) };
            let password = tx.builtin_password(&source.id, &who.alias)?;
            Ok(password.is_some_and(|(_, changes)| changes == 1))
        })
        .await
}

/// Whether the store may have kept the deed all the same: the answer to its commit was lost.
fn may_be_done(error: &Error) -> bool {
    error.store().is_some_and(store::Error::may_be_done)
}

/// Whether this node's credentials are the store's, after an answer that was lost. They are thrown
/// away only where they are certainly not: a commit may still be under way.
async fn after_all(app: &App, draft: &Path, error: &Error) -> Result<bool, Error> {
    match app.store.read(|tx: &mut Tx<'_>| tx.setting(FIRST_START)).await {
        Ok(Some(node)) => Ok(node == app.node),
        Ok(None) | Err(_) => Err(Error::Setup(format!(
            "the connection to the store ended in the first start ({error}), and it is not known whether the first credentials are in force: they stay in {}; start again",
            draft.display()
        ))),
    }
}

fn draft(app: &App, node: &str) -> PathBuf {
    app.config.store.folder.join(format!("{FILE}.{node}"))
}

/// Gives the first credentials their name, if that is still to be done.
fn finish(app: &App, node: &str) {
    let draft = draft(app, node);
    if draft.exists() {
        let named = fs::rename(&draft, file(app)).and_then(|()| sync(&app.config.store.folder));
        if let Err(error) = named {
            tracing::error!(%error, file = %draft.display(), "the first credentials stay in this file");
        }
    }
}

fn write(path: &Path, bootstrap: &Bootstrap) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    serde_json::to_writer_pretty(&mut file, bootstrap)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    sync(path.parent().unwrap_or(Path::new(".")))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Everything the first start enters into the store.
struct First {
    policy: PasswordPolicy,
    admin: Identity,
    verifier: String,
    source: Source,
    keys: Vec<SourceKey>,
    token: NewToken,
    client: Wanted,
    bootstrap: Bootstrap,
}

impl First {
    async fn new(app: &App) -> Result<Self, Error> {
        let password = generated_password()?;
        let admin = administrator()?;
        let source = source::prepare(app, identity_now(&admin))?;
        let token = NewToken::new(app, &admin, "bootstrap", vec![], VALIDITY, None)?;
        let grants = vec![GrantType::ClientCredentials];
        let scope = vec![ALL.to_owned(), ENDPOINT.to_owned()];
        let client = Wanted::new(app, "bootstrap", grants, vec![], scope, VALIDITY, false)?;
        let (by_token, by_client) = (token.clone().created(), client.clone().created());
        Ok(Self {
            policy: default_policy(),
            verifier: identity::first_verifier(&Password::new(password.clone())).await?,
            keys: keys::generate_needed(&app.keys, &source).await?,
            bootstrap: Bootstrap {
                base_url: app.config.base_url(),
                client_id: by_token.id.0,
                client_secret: by_token.secret,
                api_client_id: by_client.id.0,
                api_client_secret: by_client.secret,
                admin_user: admin.alias.clone(),
                admin_password: password,
            },
            admin,
            source,
            token,
            client,
        })
    }

    /// Whether it was this node that did it.
    fn enter(&self, tx: &mut Tx<'_>, node: &str) -> Result<bool, Error> {
        if tx.settle_setting(FIRST_START, node)? != node {
            return Ok(false);
        }
        policy::keep(tx, self.policy.clone(), ACTOR)?;
        let admin = identity::insert(tx, self.admin.clone(), ACTOR)?;
        source::insert(tx, self.source.clone(), &self.keys, ACTOR)?;
        identity::insert_first_password(tx, &admin, &self.verifier, ACTOR)?;
        tx.set_setting(FIRST_PASSWORD, admin.id.as_str())?;
        self.token.insert(tx)?;
        self.client.upsert(tx)?;
        let detail = json!({ "personal": { "adminUser": admin.alias } });
        tx.audit(Audit { actor: ACTOR, action: "FIRST_START", object: admin.id.as_str(), detail })?;
        Ok(true)
    }
}

fn administrator() -> Result<Identity, Error> {
    identity::prepare(NewIdentity {
        alias: ADMIN.into(),
        name: "Administrator".into(),
        capabilities: vec![Level::OrgAdmin],
        ..NewIdentity::default()
    })
}

/// The source people sign in to.
fn identity_now(owner: &Identity) -> NewSource {
    NewSource {
        name: IDENTITY_NOW.into(),
        description: Some("What people sign in to rekey with".into()),
        connector: BUILT_IN.into(),
        owner_id: owner.id.clone(),
        features: vec!["AUTHENTICATE".into(), "PASSWORD".into()],
        connector_attributes: Map::new(),
        extra: Map::new(),
        policy_id: None,
        deadline: None,
    }
}

/// What a new policy asks in ISC's own user interface: eight characters, among them a letter and
/// a digit.
fn default_policy() -> PasswordPolicy {
    PasswordPolicy {
        id: PolicyId::new(),
        name: "Default".into(),
        description: Some("In force where no other policy is".into()),
        members: Json(Policy { min_length: 8, min_alpha: 1, min_numeric: 1, ..Policy::default() }),
        default_policy: true,
        created: Micros(0),
        modified: Micros(0),
    }
}

/// Twenty characters that are hard to confuse, 100 random bits, in groups of five: letters and
/// digits are both among them.
pub fn generated_password() -> Result<String, Error> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    loop {
        let mut text = String::with_capacity(23);
        for (at, byte) in rekey_vault::random::<20>()?.into_iter().enumerate() {
            if at > 0 && at % 5 == 0 {
                text.push('-');
            }
            text.push(char::from(*LETTERS.get(usize::from(byte % 32)).unwrap_or(&b'x')));
        }
        let (letter, digit) = (|c: char| c.is_ascii_lowercase(), |c: char| c.is_ascii_digit());
        if text.contains(letter) && text.contains(digit) {
            return Ok(text);
        }
    }
}
