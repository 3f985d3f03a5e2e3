//! All callers, and the objects that belong to them.

use hyper::StatusCode;
use rekey::{
    access::ALL,
    client::create_api_client,
    identity::{self, NewIdentity},
    model::{
        account::Account,
        client::{Client, GrantType},
        column::Json,
        id::{AccountId, IdentityId, JobId, PolicyId, SourceId, SyncGroupId},
        identity::Identity,
        job::Job,
        level::Level,
        policy::PasswordPolicy,
        source::Source,
        sync_group::SyncGroup,
    },
    source::aggregation::AGGREGATION,
    token::Grant,
};
use serde_json::{Map, Value, json};

use super::table::column;
use crate::site::{Site, change_body, encrypt};

/// All levels. [`column`] does not compile when a level is added: add it here too.
pub(super) const LEVELS: [Level; 14] = [
    Level::CertAdmin,
    Level::CloudGovAdmin,
    Level::CloudGovUser,
    Level::Helpdesk,
    Level::Internal,
    Level::OrgAdmin,
    Level::PolicyAdmin,
    Level::ReportAdmin,
    Level::RoleAdmin,
    Level::RoleSubadmin,
    Level::SaasManagementAdmin,
    Level::SaasManagementReader,
    Level::SourceAdmin,
    Level::SourceSubadmin,
];

pub(super) struct World {
    pub(super) site: Site,
    pub(super) actors: Vec<Actor>,
    /// The objects of a person without a level, who sends no requests.
    pub(super) other: Objects,
    pub(super) policy: PolicyId,
    pub(super) group: SyncGroupId,
    /// The answer of `query-password-info` about a person on the source on which everyone has an
    /// account.
    info: Value,
    /// A key of a source on which no person has an account.
    pub(super) other_key: Value,
}

/// A caller.
pub(super) struct Actor {
    pub(super) name: String,
    /// The columns that apply to the caller: with two, the better cell counts.
    pub(super) columns: Vec<&'static str>,
    pub(super) own: Objects,
    /// An access token with every scope.
    pub(super) token: String,
    client: Client,
    identity: Option<Identity>,
}

/// One object of each kind that belongs to a person.
#[derive(Clone)]
pub(super) struct Objects {
    pub(super) alias: String,
    pub(super) identity: IdentityId,
    pub(super) source: SourceId,
    /// A source that belongs to a sync group.
    pub(super) member: SourceId,
    /// An account on the source, of another person.
    pub(super) account: AccountId,
    pub(super) task: JobId,
    /// A password change of this person.
    pub(super) change: String,
}

impl World {
    /// The world with persons of each single level, of each pair of levels that grant something,
    /// and without a level.
    pub(super) async fn whole(site: Site) -> Self {
        let mut world = Self::small(site, &[]).await;
        let mut given: Vec<Vec<Level>> = LEVELS.iter().map(|level| vec![*level]).collect();
        // Pairs with an organization administrator grant nothing more.
        let tells = |level: &&Level| !["user", "OA"].contains(&column(**level));
        let telling: Vec<_> = LEVELS.iter().filter(tells).collect();
        for (at, one) in telling.iter().enumerate() {
            given.extend(telling[at + 1..].iter().map(|two| vec![**one, **two]));
        }
        for levels in given {
            world.add_person(&levels).await;
        }
        world
    }

    /// The world with one person for each of these levels, one without a level, and API clients.
    pub(super) async fn small(site: Site, levels: &[Level]) -> Self {
        let first = NewIdentity { alias: "first".into(), ..NewIdentity::default() };
        let first = identity::create(&site.app, first, "test").await.unwrap();
        rekey::source::ensure_identity_now(&site.app).await.unwrap();
        let (policy, group) = policy_and_group(&site).await;
        let admin = client(&site).await;
        let admin = token(&site, &admin, None, ALL);
        let ask = json!({ "userName": first.alias, "sourceName": "IdentityNow" });
        let info = site.post("/v3/query-password-info").token(&admin).json(ask).send().await;
        info.assert(StatusCode::OK);
        let other_key = other_key(&site, &first.id).await;
        let mut world = Self {
            site,
            actors: Vec::new(),
            other: nothing(),
            policy,
            group,
            info: info.body,
            other_key,
        };
        let other = world.person("other", &[]).await;
        world.other = world.objects(&other, &admin).await;
        for levels in [&[] as &[Level]].into_iter().chain(levels.iter().map(std::slice::from_ref)) {
            world.add_person(levels).await;
        }
        world.add_clients().await;
        world
    }

    async fn add_person(&mut self, levels: &[Level]) {
        let names: Vec<_> = levels.iter().map(|level| format!("{level:?}")).collect();
        let name = if names.is_empty() { "Nobody".to_owned() } else { names.join(" and ") };
        let alias = name.replace(' ', "-");
        let person = self.person(&alias, levels).await;
        let made = self.site.personal_access_token(&person).await;
        let client = self.site.write(move |tx| Ok(tx.client(&made.id)?.unwrap())).await;
        let columns: Vec<_> = levels.iter().map(|level| column(*level)).collect();
        let columns = if columns.is_empty() { vec!["user"] } else { columns };
        let token = token(&self.site, &client, Some(&person), ALL);
        let own = self.objects(&person, &token).await;
        self.actors.push(Actor { name, columns, own, token, client, identity: Some(person) });
    }

    /// Adds an API client with its own authority, and a client that acts for a person who signed
    /// in.
    async fn add_clients(&mut self) {
        let client = client(&self.site).await;
        for (name, column) in [("API client", "API"), ("application of a person", "user")] {
            let person = self.person(&name.replace(' ', "-"), &[]).await;
            let identity = (column == "user").then(|| person.clone());
            let token = token(&self.site, &client, identity.as_ref(), ALL);
            let own = self.objects(&person, &token).await;
            let (name, columns, client) = (name.into(), vec![column], client.clone());
            self.actors.push(Actor { name, columns, own, token, client, identity });
        }
    }

    async fn person(&self, alias: &str, levels: &[Level]) -> Identity {
        let (alias, capabilities) = (alias.to_owned(), levels.to_vec());
        let new = NewIdentity { alias, capabilities, ..NewIdentity::default() };
        identity::create(&self.site.app, new, "test").await.unwrap()
    }

    /// Creates one object of each kind for a person.
    async fn objects(&self, person: &Identity, token: &str) -> Objects {
        let body = self.change(&person.id, &person.alias);
        let accepted = self.site.post("/v3/set-password").token(token).json(body).send().await;
        self.site.ended(token, &accepted).await;
        let now = self.site.app.clock.now();
        let (source, member) =
            (source(&self.site, person, "rekey"), source(&self.site, person, "ldap"));
        let account = Account::new(member.id.clone(), "someone", now);
        let task = Job {
            id: JobId::new(),
            kind: AGGREGATION.into(),
            payload: Json(Map::new()),
            source_id: Some(source.id.clone()),
            launcher: "test".into(),
            attempt: 1,
            claimed_by: None,
            due: now,
            created: now,
            launched: Some(now),
            completed: Some(now),
            completion_status: Some("SUCCESS".into()),
            messages: Json(Vec::new()),
            result: Json(Map::new()),
        };
        let objects = Objects {
            alias: person.alias.clone(),
            identity: person.id.clone(),
            source: source.id.clone(),
            member: member.id.clone(),
            account: account.id.clone(),
            task: task.id.clone(),
            change: accepted.body["requestId"].as_str().unwrap().to_owned(),
        };
        let group = self.group.clone();
        self.site
            .write(move |tx| {
                tx.insert_source(&source, "test")?;
                tx.insert_source(&member, "test")?;
                tx.insert_account(&account)?;
                let mut members = tx.group_sources(&group)?;
                members.push(member.id.clone());
                tx.set_group_sources(&group, &members)?;
                Ok(tx.insert_job(&task)?)
            })
            .await;
        objects
    }

    /// The body of `set-password` for a person's account on the source on which everyone has an
    /// account.
    pub(super) fn change(&self, identity: &IdentityId, account: &str) -> Value {
        let mut body = change_body(&self.info, &encrypt(&self.info, b"Correct-horse-1"));
        body["identityId"] = json!(identity);
        body["accountId"] = json!(account);
        body
    }
}

impl Actor {
    /// The caller's token with these scopes only, separated by blanks.
    pub(super) fn token_with(&self, site: &Site, scopes: &str) -> String {
        token(site, &self.client, self.identity.as_ref(), scopes)
    }
}

fn token(site: &Site, client: &Client, identity: Option<&Identity>, scopes: &str) -> String {
    let scope = scopes.split(' ').map(str::to_owned).collect();
    let (grant, now) = (Grant { client, identity, scope, code: None }, site.app.clock.now());
    site.app.tokens.issue(grant, site.app.config.base_url(), now).unwrap().0
}

async fn client(site: &Site) -> Client {
    let grants = vec![GrantType::ClientCredentials];
    let made = create_api_client(&site.app, "client", grants, vec![], vec![], 750, false);
    let id = made.await.unwrap().id;
    site.write(move |tx| Ok(tx.client(&id)?.unwrap())).await
}

fn source(site: &Site, owner: &Identity, connector: &str) -> Source {
    let now = site.app.clock.now();
    let attributes = if connector == "ldap" {
        json!({ "host": "a.example.com", "bindDn": "cn=rekey", "bindPassword": "s3cret", "baseDn": "dc=example" })
    } else {
        json!({})
    };
    Source {
        id: SourceId::new(),
        name: format!("{connector} of {}", owner.alias),
        description: None,
        connector: connector.into(),
        owner_id: owner.id.clone(),
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
    }
}

async fn policy_and_group(site: &Site) -> (PolicyId, SyncGroupId) {
    let now = site.app.clock.now();
    let policy = PasswordPolicy {
        id: PolicyId::new(),
        name: "Policy".into(),
        description: None,
        members: Json::default(),
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
    let ids = (policy.id.clone(), group.id.clone());
    site.write(move |tx| {
        tx.insert_policy(&policy)?;
        Ok(tx.insert_group(&group)?)
    })
    .await;
    ids
}

/// The id of a key of another source.
async fn other_key(site: &Site, owner: &IdentityId) -> Value {
    let new = rekey::source::NewSource {
        name: "Elsewhere".into(),
        description: None,
        connector: "ldap".into(),
        owner_id: owner.clone(),
        features: vec!["PASSWORD".into()],
        connector_attributes: json!({ "host": "a.example.com", "bindDn": "cn=rekey", "bindPassword": "s3cret", "baseDn": "dc=example" })
            .as_object()
            .unwrap()
            .clone(),
        extra: Map::new(),
        policy_id: None,
        deadline: None,
    };
    let source = rekey::source::create(&site.app, new, "test").await.unwrap();
    let padding = rekey::model::source_key::KeyPadding(rekey_vault::Padding::Pkcs1v15);
    let key = site.write(move |tx| Ok(tx.active_source_key(&source.id, padding)?.unwrap())).await;
    json!({ "sourceId": key.source_id, "publicKeyId": key.id })
}

fn nothing() -> Objects {
    Objects {
        alias: String::new(),
        identity: IdentityId::new(),
        source: SourceId::new(),
        member: SourceId::new(),
        account: AccountId::new(),
        task: JobId::new(),
        change: String::new(),
    }
}
