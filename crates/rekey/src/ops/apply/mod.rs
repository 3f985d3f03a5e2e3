//! `rekey apply`: makes the store match a site file.
//!
//! [`plan`] compares and changes nothing; [`run`] carries out the plan in one transaction.

use std::path::Path;

use rekey_vault::Password;

use crate::{
    App, Error,
    client::{self, Created, Wanted},
    error::BadRequest,
    identity, keys,
    model::{
        audit::ACTOR, client::Client, id::SourceId, identity::Identity, policy::PasswordPolicy,
        source::Source, sync_group::SyncGroup,
    },
    policy,
    source::{self, Update},
    store::{self, Tx},
    sync_group,
};

mod clients;
mod file;
mod groups;
mod now;
mod people;
mod policies;
mod sources;

/// Whether a text parses as a site file; a fuzzing target.
pub(crate) fn is_readable(text: &str) -> bool {
    file::parse(text).is_ok()
}

/// The steps that make the store match a file, in execution order.
#[derive(Default)]
pub struct Plan {
    steps: Vec<Step>,
}

/// One line of a plan: one object to create, change or remove.
pub struct Step {
    /// Whether the object is created, changed or removed.
    pub verb: Verb,
    /// `identity`, `policy`, `dictionary`, `source`, `syncGroup` or `client`.
    pub kind: &'static str,
    /// The object's name.
    pub name: String,
    /// The members that change; never their values.
    pub members: Vec<&'static str>,
    /// Further effects as texts, such as an account that the person loses.
    pub effects: Vec<String>,
    deed: Deed,
}

/// The kind of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The object differs from the file.
    Change,
    /// The object is not in the store yet.
    Create,
    /// The object is not in the file.
    Remove,
}

impl Verb {
    /// `~`, `+` or `-`.
    pub fn sign(self) -> char {
        match self {
            Self::Change => '~',
            Self::Create => '+',
            Self::Remove => '-',
        }
    }
}

/// The change that a step makes, with its data.
enum Deed {
    AddSource(Source),
    ChangeSource(Box<Update>),
    Client(Box<Wanted>),
    Dictionary(String),
    Group(SyncGroup, Vec<SourceId>),
    Person(Box<People>),
    Policy(PasswordPolicy),
    RemoveClient(Client),
    RemoveGroup(SyncGroup),
    RemovePerson(Identity),
    RemovePolicy(PasswordPolicy),
    RemoveSource(Source),
}

/// A person before and after a step.
struct People {
    old: Option<Identity>,
    new: Identity,
    differs: bool,
    password: Option<Password>,
}

/// A step inside the transaction, which may run twice. Returns whether it created a client.
type Work = Box<dyn Fn(&mut Tx<'_>) -> Result<bool, Error> + Send>;
/// The names and credentials of the clients that were created.
type Made = Vec<(String, Created)>;

/// Compares a site file with the store; its relative paths start at `folder`. With `prune`, objects
/// are removed if their list is in the file and does not name them.
pub async fn plan(app: &App, text: &str, folder: &Path, prune: bool) -> Result<Plan, Error> {
    let site = file::parse(text)?;
    let mut now = now::Now::read(app).await?;
    let mut plan = Plan::default();
    let mut removed = Vec::new();
    removed.append(&mut policies::plan(&mut plan, &mut now, site.policies, prune)?);
    removed.append(&mut people::plan(&mut plan, &mut now, site.identities, folder, prune)?);
    people::name_lost_accounts(app, &mut plan).await?;
    if let Some(dictionary) = site.dictionary {
        let text = file::text(&dictionary, folder, "dictionary")?;
        policy::check_dictionary(&text)?;
        if now.dictionary.as_ref() != Some(&text) {
            let verb = if now.dictionary.is_some() { Verb::Change } else { Verb::Create };
            plan.add(verb, "dictionary", "dictionary".into(), vec![], Deed::Dictionary(text));
        }
    }
    removed.append(&mut sources::plan(app, &mut plan, &mut now, site.sources, folder, prune)?);
    removed.append(&mut groups::plan(&mut plan, &mut now, site.sync_groups, prune)?);
    removed.append(&mut clients::plan(app, &mut plan, &now, site.clients, prune)?);
    // Removals come last and in reverse: an object that refers to another is removed before it.
    plan.steps.extend(removed.into_iter().rev());
    Ok(plan)
}

/// Carries out a plan in one transaction. Returns the names and credentials of the clients that it
/// created: their secrets cannot be shown again.
pub async fn run(app: &App, plan: Plan) -> Result<Made, Error> {
    carry_out(app, plan, false).await
}

/// Fails where [`run`] would fail, and changes nothing: it rolls the same transaction back.
pub async fn rehearse(app: &App, plan: Plan) -> Result<(), Error> {
    carry_out(app, plan, true).await.map(|_| ())
}

async fn carry_out(app: &App, plan: Plan, rehearsal: bool) -> Result<Made, Error> {
    let mut work = Vec::with_capacity(plan.steps.len());
    let mut clients = Vec::with_capacity(plan.steps.len());
    for step in plan.steps {
        let made = if let Deed::Client(wanted) = &step.deed {
            Some((step.name, wanted.as_ref().clone().created()))
        } else {
            None
        };
        clients.push(made);
        work.push(prepare(app, step.deed).await?);
    }
    let deed = move |tx: &mut Tx<'_>| -> Result<Vec<bool>, End> {
        let new = work.iter().map(|work| work(tx)).collect::<Result<_, _>>()?;
        if rehearsal { Err(End::Rehearsed) } else { Ok(new) }
    };
    let new = match app.store.write(deed).await {
        Ok(new) => new,
        Err(End::Failed(error)) => return Err(error),
        Err(End::Rehearsed) => Vec::new(),
    };
    Ok(clients.into_iter().zip(new).filter_map(|(made, new)| made.filter(|_| new)).collect())
}

/// The reasons for which a plan's transaction is rolled back.
enum End {
    Failed(Error),
    Rehearsed,
}

impl<E: Into<Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl store::Fail for End {
    fn store(&self) -> Option<&store::Error> {
        if let Self::Failed(error) = self { error.store() } else { None }
    }
}

/// Does the slow part of a step, such as key generation, before the transaction.
async fn prepare(app: &App, deed: Deed) -> Result<Work, Error> {
    Ok(match deed {
        Deed::AddSource(source) => {
            let keys = keys::generate_needed(&app.keys, &source).await?;
            plain(move |tx| source::insert(tx, source.clone(), &keys, ACTOR))
        }
        Deed::ChangeSource(mut update) => {
            update.make_keys(app).await?;
            plain(move |tx| {
                update.write(tx, ACTOR, ACTOR)?.ok_or_else(|| meanwhile(&update.old().name))
            })
        }
        Deed::Client(wanted) => Box::new(move |tx| wanted.upsert(tx)),
        Deed::Dictionary(text) => plain(move |tx| policy::keep_dictionary(tx, &text, ACTOR)),
        Deed::Group(group, sources) => {
            plain(move |tx| sync_group::keep(tx, group.clone(), &sources, ACTOR))
        }
        Deed::Person(person) => {
            let People { old, new, differs, password } = *person;
            let verifier = match &password {
                Some(password) => Some(identity::first_verifier(password).await?),
                None => None,
            };
            plain(move |tx| keep_person(tx, old.as_ref(), &new, differs, verifier.as_deref()))
        }
        Deed::Policy(policy) => plain(move |tx| policy::keep(tx, policy.clone(), ACTOR)),
        Deed::RemoveClient(client) => plain(move |tx| client::remove(tx, &client, ACTOR)),
        Deed::RemoveGroup(group) => plain(move |tx| sync_group::remove(tx, &group, ACTOR)),
        Deed::RemovePerson(identity) => plain(move |tx| identity::remove(tx, &identity, ACTOR)),
        Deed::RemovePolicy(policy) => plain(move |tx| policy::remove(tx, &policy, ACTOR)),
        Deed::RemoveSource(source) => plain(move |tx| source::remove(tx, &source, ACTOR)),
    })
}

/// The work of a step that creates no client.
fn plain<T>(deed: impl Fn(&mut Tx<'_>) -> Result<T, Error> + Send + 'static) -> Work {
    Box::new(move |tx| deed(tx).map(|_| false))
}

fn keep_person(
    tx: &mut Tx<'_>,
    old: Option<&Identity>,
    new: &Identity,
    differs: bool,
    verifier: Option<&str>,
) -> Result<(), Error> {
    match old {
        None => {
            identity::insert(tx, new.clone(), ACTOR)?;
        }
        Some(old) if differs => {
            let current = tx.identity(&old.id)?;
            if current.is_none_or(|current| current.modified != old.modified) {
                return Err(meanwhile(&old.alias));
            }
            identity::update(tx, new.clone(), ACTOR)?;
        }
        Some(_) => {}
    }
    if let Some(verifier) = verifier {
        identity::insert_first_password(tx, new, verifier, ACTOR)?;
    }
    Ok(())
}

fn meanwhile(name: &str) -> Error {
    Error::bad(
        BadRequest::Conflict,
        format!("{name} was changed meanwhile: nothing was done, apply again"),
    )
}

impl Plan {
    /// All steps, in the order of execution.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether the store already matches the file.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// One line for each step: `+ source Warehouse`, `~ identity abby.smith: email, name`.
    pub fn lines(&self) -> Vec<String> {
        self.steps.iter().map(Step::line).collect()
    }

    /// The steps as JSON.
    pub fn json(&self) -> serde_json::Value {
        let steps = self.steps.iter().map(|step| {
            serde_json::json!({
                "change": step.verb.word(),
                "kind": step.kind,
                "name": step.name,
                "members": step.members,
                "effects": step.effects,
            })
        });
        serde_json::Value::Array(steps.collect())
    }

    fn add(
        &mut self,
        verb: Verb,
        kind: &'static str,
        name: String,
        members: Vec<&'static str>,
        deed: Deed,
    ) {
        self.steps.push(Step { verb, kind, name, members, effects: Vec::new(), deed });
    }
}

impl Step {
    fn line(&self) -> String {
        let (sign, kind, name) = (self.verb.sign(), self.kind, &self.name);
        let line = match (self.kind, self.members.is_empty()) {
            ("dictionary", _) => format!("{sign} dictionary"),
            (_, true) => format!("{sign} {kind} {name}"),
            (_, false) => format!("{sign} {kind} {name}: {}", self.members.join(", ")),
        };
        if self.effects.is_empty() { line } else { format!("{line} ({})", self.effects.join("; ")) }
    }

    fn remove(kind: &'static str, name: &str, deed: Deed) -> Self {
        Self {
            verb: Verb::Remove,
            kind,
            name: name.to_owned(),
            members: Vec::new(),
            effects: Vec::new(),
            deed,
        }
    }
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Change => "changed",
            Self::Create => "created",
            Self::Remove => "removed",
        }
    }
}
