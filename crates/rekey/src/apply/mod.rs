//! `rekey apply`: makes the store say what a file says.
//!
//! [`plan`] compares and changes nothing; [`run`] carries the plan out in one transaction.

use std::path::Path;

use rekey_vault::Password;

use crate::{
    ACTOR, App, Error,
    client::{Client, Created, Wanted},
    error::BadRequest,
    id::SourceId,
    identity::{self, Identity},
    keys, policy,
    policy::PasswordPolicy,
    source::{self, Source, Update},
    store::{Audit, SyncGroup, Tx},
    sync_group,
};

mod clients;
mod file;
mod groups;
mod now;
mod people;
mod policies;
mod sources;

/// What would be done, in the order in which it would be.
#[derive(Default)]
pub struct Plan {
    steps: Vec<Step>,
}

/// One line of a plan.
pub struct Step {
    /// What becomes of it.
    pub verb: Verb,
    /// `identity`, `policy`, `dictionary`, `source`, `syncGroup` or `client`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The members that change; never their values.
    pub members: Vec<&'static str>,
    deed: Deed,
}

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// It differs.
    Change,
    /// It is not there yet.
    Create,
    /// It is not in the file.
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

/// How a step is done.
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

/// A person as they are and as they shall be.
struct People {
    old: Option<Identity>,
    new: Identity,
    differs: bool,
    password: Option<Password>,
}

/// What is left of a step once everything slow is done.
type Work = Box<dyn Fn(&mut Tx<'_>) -> Result<(), Error> + Send>;

/// Compares the file with the store. Files it names are relative to `folder`; `prune` removes
/// what is not in a list that is there.
pub async fn plan(app: &App, text: &str, folder: &Path, prune: bool) -> Result<Plan, Error> {
    let site = file::parse(text)?;
    let mut now = now::Now::read(app).await?;
    let mut plan = Plan::default();
    let mut removed = Vec::new();
    removed.append(&mut policies::plan(&mut plan, &mut now, site.policies, prune)?);
    removed.append(&mut people::plan(&mut plan, &mut now, site.identities, folder, prune)?);
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
    // What needs another goes before it.
    plan.steps.extend(removed.into_iter().rev());
    Ok(plan)
}

/// Carries a plan out: all of it, or nothing. Says the names and the credentials of the clients it
/// made: their secrets are never to be had again.
pub async fn run(app: &App, plan: Plan) -> Result<Vec<(String, Created)>, Error> {
    let mut work = Vec::with_capacity(plan.steps.len());
    let mut clients = Vec::new();
    for step in plan.steps {
        if let (Verb::Create, Deed::Client(wanted)) = (step.verb, &step.deed) {
            clients.push((step.name, wanted.as_ref().clone().created()));
        }
        work.push(prepare(app, step.deed).await?);
    }
    app.store
        .write(move |tx| -> Result<(), Error> { work.iter().try_for_each(|work| work(tx)) })
        .await?;
    Ok(clients)
}

/// Does what is too slow for a transaction.
async fn prepare(app: &App, deed: Deed) -> Result<Work, Error> {
    Ok(match deed {
        Deed::AddSource(source) => {
            let keys = keys::generate_both(app, &source.id).await?;
            Box::new(move |tx| source::insert(tx, source.clone(), &keys, ACTOR).map(|_| ()))
        }
        Deed::ChangeSource(mut update) => {
            update.make_keys(app).await?;
            Box::new(move |tx| {
                update.write(tx, ACTOR)?.map(|_| ()).ok_or_else(|| meanwhile(&update.old().name))
            })
        }
        Deed::Client(wanted) => Box::new(move |tx| wanted.upsert(tx).map(|_| ())),
        Deed::Dictionary(text) => Box::new(move |tx| policy::keep_dictionary(tx, &text, ACTOR)),
        Deed::Group(group, sources) => {
            Box::new(move |tx| sync_group::keep(tx, group.clone(), &sources, ACTOR).map(|_| ()))
        }
        Deed::Person(person) => {
            let People { old, new, differs, password } = *person;
            let verifier = match &password {
                Some(password) => Some(identity::first_verifier(password).await?),
                None => None,
            };
            Box::new(move |tx| keep_person(tx, old.as_ref(), &new, differs, verifier.as_deref()))
        }
        Deed::Policy(policy) => {
            Box::new(move |tx| policy::keep(tx, policy.clone(), ACTOR).map(|_| ()))
        }
        Deed::RemoveClient(client) => Box::new(move |tx| {
            tx.delete_client(&client.id)?;
            let (object, detail) = (client.id.as_str(), serde_json::json!({"name": client.name}));
            Ok(tx.audit(Audit { actor: ACTOR, action: "API_CLIENT_DELETED", object, detail })?)
        }),
        Deed::RemoveGroup(group) => Box::new(move |tx| sync_group::remove(tx, &group, ACTOR)),
        Deed::RemovePerson(identity) => Box::new(move |tx| identity::remove(tx, &identity, ACTOR)),
        Deed::RemovePolicy(policy) => Box::new(move |tx| policy::remove(tx, &policy, ACTOR)),
        Deed::RemoveSource(source) => Box::new(move |tx| source::remove(tx, &source, ACTOR)),
    })
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
    /// Every step, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether the store says already what the file says.
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
        self.steps.push(Step { verb, kind, name, members, deed });
    }
}

impl Step {
    fn line(&self) -> String {
        let (sign, kind, name) = (self.verb.sign(), self.kind, &self.name);
        match (self.kind, self.members.is_empty()) {
            ("dictionary", _) => format!("{sign} dictionary"),
            (_, true) => format!("{sign} {kind} {name}"),
            (_, false) => format!("{sign} {kind} {name}: {}", self.members.join(", ")),
        }
    }

    fn remove(kind: &'static str, name: &str, deed: Deed) -> Self {
        Self { verb: Verb::Remove, kind, name: name.to_owned(), members: Vec::new(), deed }
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
