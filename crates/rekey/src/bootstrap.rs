//! The first start of a new installation: the administrator, the source that people sign in to, the
//! default policy and the first credentials, in one transaction and one file.

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

/// The setting that records that the first start was made, and on which node.
const FIRST_START: &str = "first_start";
/// The setting with the id of the person whose first password is in [`FILE`].
const FIRST_PASSWORD: &str = "first_password";
/// The file of the first credentials.
pub const FILE: &str = "bootstrap.json";
/// The administrator's login name.
pub const ADMIN: &str = "admin";

/// The content of [`FILE`].
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// The URL that clients use.
    pub base_url: String,
    /// The id of the administrator's personal access token.
    pub client_id: String,
    /// The secret of the personal access token.
    pub client_secret: String,
    /// The id of an API client that may change anyone's password and configure any source.
    pub api_client_id: String,
    /// The secret of the API client.
    pub api_client_secret: String,
    /// The administrator's login name.
    pub admin_user: String,
    /// The administrator's first password.
    pub admin_password: String,
}

/// Returns the path of the file with the first credentials.
pub fn file(app: &App) -> PathBuf {
    app.config.store.folder.join(FILE)
}

/// Initializes a new store and writes [`FILE`]. `None` if this node or another one has done so
/// before.
pub async fn first_start(app: &App) -> Result<Option<Bootstrap>, Error> {
    if let Some(node) = app.store.read(|tx| tx.setting(FIRST_START)).await? {
        finish(app, &node);
        return Ok(None);
    }
    let first = First::new(app).await?;
    let bootstrap = first.bootstrap.clone();
    // The credentials are written to a draft before the transaction, and the draft is renamed after
    // it: so neither a crash nor a race with another node loses them.
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

/// Whether the person's password is still the one in [`FILE`].
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

/// Whether the transaction may have been committed although it returned an error: the answer to the
/// commit was lost.
fn may_be_done(error: &Error) -> bool {
    error.store().is_some_and(store::Error::may_be_done)
}

/// Whether this node's credentials are in the store, after the answer to the commit was lost. The
/// draft is deleted only if they are certainly not: the commit may still be under way.
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

/// Renames the draft of the first credentials to its final name, if that was not done yet.
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

/// The data that the first start writes to the store.
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

    /// Writes the data, in the caller's transaction. Returns false if another node was first.
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

/// The built-in source that people sign in to.
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

/// The rules that ISC's own user interface gives a new policy: eight characters, among them a
/// letter and a digit.
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

/// Returns a password of twenty characters that are hard to confuse, in groups of five: 100 random
/// bits. It contains letters and digits.
pub fn generated_password() -> Result<String, Error> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    loop {
        let mut text = String::with_capacity(23);
        for (at, byte) in rekey_vault::random::<20>()?.into_iter().enumerate() {
            if at > 0 && at % 5 == 0 {
                text.push('-');
            }
            // 256 is a multiple of 32, so every character is equally likely.
            text.push(char::from(*LETTERS.get(usize::from(byte % 32)).unwrap_or(&b'x')));
        }
        let (letter, digit) = (|c: char| c.is_ascii_lowercase(), |c: char| c.is_ascii_digit());
        if text.contains(letter) && text.contains(digit) {
            return Ok(text);
        }
    }
}
