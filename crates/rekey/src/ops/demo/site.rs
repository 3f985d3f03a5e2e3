//! The initial state of the demo. All secrets are generated at its start.

use std::{io::ErrorKind, net::SocketAddr, path::Path, sync::Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    App, Error,
    bootstrap::{self, Bootstrap, generated_password},
    config::Config,
    model::{source::IDENTITY_NOW, time::Clock},
    ops::{apply, open},
};

/// The second source in the sync group.
pub(super) const WORKSHOP: &str = "Workshop";
/// The name of the sync group.
pub(super) const GROUP: &str = "Desk";
/// The name of the sync group's policy.
pub(super) const POLICY: &str = "Strong";
/// The redirect URI of the application that people sign in for; nothing needs to listen there.
pub(super) const REDIRECT: &str = "http://127.0.0.1:9/signed-in";

const PEOPLE: [(&str, &str); 3] =
    [("abby.smith", "Abby Smith"), ("ben.jones", "Ben Jones"), ("carla.diaz", "Carla Diaz")];

/// The address to listen on.
pub enum Listen {
    /// This address only.
    At(SocketAddr),
    /// The default address, or a free port if its port is taken.
    Usual,
}

/// An installation that is ready to serve.
pub(super) struct Site {
    pub(super) app: App,
    pub(super) listener: TcpListener,
    pub(super) facts: Facts,
    /// The folder of the store; removed with all its content when the demo ends.
    _folder: TempDir,
}

/// The facts that the guide shows.
pub(super) struct Facts {
    pub(super) bootstrap: Bootstrap,
    pub(super) people: Vec<Person>,
    /// The id of the public client of the application that people sign in for.
    pub(super) application: String,
}

/// A person of the demo, with the current password.
pub(super) struct Person {
    pub(super) alias: &'static str,
    pub(super) name: &'static str,
    password: Mutex<String>,
}

impl Site {
    pub(super) async fn build(listen: Listen) -> Result<Self, Error> {
        let listener = match listen {
            Listen::At(address) => crate::http::serve::listen(address, "--listen")?,
            Listen::Usual => usual().await?,
        };
        let folder = tempfile::Builder::new().prefix("rekey-demo-").tempdir().map_err(|error| {
            Error::Setup(format!("no temporary folder can be made: {error}; set TMPDIR"))
        })?;
        let mut config = Config::default();
        config.server.listen =
            listener.local_addr().map_err(|error| Error::Internal(error.to_string()))?;
        folder.path().join("data").clone_into(&mut config.store.folder);
        let app = open::or_create(config, Clock::default()).await?;
        let bootstrap = bootstrap::first_start(&app).await?;
        let bootstrap = bootstrap.ok_or_else(|| Error::Internal("the store is not new".into()))?;
        let people = PEOPLE
            .into_iter()
            .map(|(alias, name)| {
                Ok(Person { alias, name, password: Mutex::new(generated_password()?) })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let file = file(&people).to_string();
        let plan = apply::plan(&app, &file, Path::new("."), false).await?;
        let made = apply::run(&app, plan).await?;
        let application = made.into_iter().next().map(|(_, created)| created.id.0);
        let application =
            application.ok_or_else(|| Error::Internal("there is no application".into()))?;
        let facts = Facts { bootstrap, people, application };
        Ok(Self { app, listener, facts, _folder: folder })
    }
}

impl Person {
    /// The current password.
    pub(super) fn password(&self) -> String {
        self.password.lock().map(|password| password.clone()).unwrap_or_default()
    }

    /// Records that the password was changed.
    pub(super) fn now_has(&self, new: String) {
        if let Ok(mut password) = self.password.lock() {
            *password = new;
        }
    }
}

/// A site file as anyone would write it for `rekey apply`; JSON is also YAML.
fn file(people: &[Person]) -> Value {
    let people: Vec<_> = people
        .iter()
        .map(|person| {
            json!({
                "alias": person.alias,
                "name": person.name,
                "email": format!("{}@example.com", person.alias),
                "attributes": { "uid": person.alias, "department": "Workshop" },
                "password": person.password(),
            })
        })
        .collect();
    json!({
        "identities": people,
        "policies": [{
            "name": POLICY, "minLength": 12, "minAlpha": 1, "minNumeric": 1,
            "maxRepeatedChars": 3, "useIdentityAttributes": true,
        }],
        "sources": [{
            "name": WORKSHOP, "connector": crate::model::source::BUILT_IN, "owner": "abby.smith",
            "description": "A second system of rekey's own, for the demonstration",
            "features": ["PASSWORD"],
        }],
        "syncGroups": [{ "name": GROUP, "policy": POLICY, "sources": [IDENTITY_NOW, WORKSHOP] }],
        "clients": [{
            "name": "Demo portal", "grantTypes": ["AUTHORIZATION_CODE"],
            "redirectUris": [REDIRECT], "public": true,
        }],
    })
}

async fn usual() -> Result<TcpListener, Error> {
    let mut address = Config::default().server.listen;
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => address.set_port(0),
        Err(_) => {}
        Ok(listener) => return Ok(listener),
    }
    crate::http::serve::listen(address, "--listen")
}
