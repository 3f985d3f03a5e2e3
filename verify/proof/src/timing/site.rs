//! A rekey with people who may learn nothing about each other.

use std::fs;

use rekey_harness::{Connection, Info, Place, Result, Server, password::chance, request, text};
use serde_json::Value;

/// People on the built-in source, and a directory on which nobody has an account.
const PEOPLE: &str = "
identities:
  - {alias: abby.plain, name: Abby Plain, password: {env: ABBYS}}
  - {alias: boris.other, name: Boris Other, password: {env: BORIS}}
  - {alias: carla.admin, name: Carla Admin, capabilities: [SOURCE_SUBADMIN]}
sources:
  - {name: Elsewhere, connector: ldap, owner: boris.other, features: [PASSWORD],
     connectorAttributes: {host: 127.0.0.1, port: 1, tls: none, allowInsecure: true,
                           bindDn: cn=rekey, bindPassword: {env: BORIS}, baseDn: dc=example}}
";

/// The person who sends the requests, and whose password is changed.
pub(crate) const ABBY: &str = "abby.plain";
/// The person about whom the others may learn nothing.
pub(crate) const BORIS: &str = "boris.other";

pub(crate) struct Site {
    place: Place,
    pub(crate) server: Server,
}

impl Site {
    pub(crate) async fn start() -> Result<Self> {
        let place = Place::new(None)?;
        fs::write(place.folder().join("site.yaml"), PEOPLE)?;
        let mut apply = place.command();
        apply.args(["apply", "-f", "site.yaml"]);
        for name in ["ABBYS", "BORIS"] {
            apply.env(name, chance()?);
        }
        let done = apply.output()?;
        if !done.status.success() {
            return Err(format!("apply: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
        let server = Server::start(&place, &[]).await?;
        Ok(Self { place, server })
    }

    /// The first credentials, as `rekey init` printed them.
    pub(crate) fn bootstrap(&self) -> &Value {
        &self.place.bootstrap
    }

    pub(crate) async fn connection(&self) -> Result<Connection> {
        Connection::open(&self.server.address).await
    }

    /// The headers of a JSON request by this person, with a personal access token.
    pub(crate) async fn headers_of(&self, alias: &str) -> Result<String> {
        let made = self.client_of(alias)?;
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            text(&made, "clientId"),
            text(&made, "clientSecret")
        );
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        let asked = request("POST", "/oauth/token", kind, &body);
        let answer: Value =
            serde_json::from_str(&self.connection().await?.ask(&asked).await?.body)?;
        Ok(format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\n",
            text(&answer, "access_token")
        ))
    }

    /// Creates a personal access token of this person.
    pub(crate) fn client_of(&self, alias: &str) -> Result<Value> {
        let words = ["--json", "token", "create", "--name", "timing", "--identity", alias];
        Ok(serde_json::from_str(&self.place.rekey(&words)?)?)
    }

    /// Requests a change of this person's password as the API client; returns the `requestId`.
    pub(crate) async fn change_of(&self, alias: &str) -> Result<String> {
        let mut connection = self.connection().await?;
        let headers = self.server.headers();
        let info = Info::ask(&mut connection, &headers, alias, "IdentityNow").await?;
        let asked = request("POST", "/v3/set-password", &headers, &info.change(&chance()?)?);
        let answer: Value = serde_json::from_str(&connection.ask(&asked).await?.body)?;
        Ok(text(&answer, "requestId"))
    }

    /// The id of an account, as listed for the API client.
    pub(crate) async fn any_account(&self) -> Result<String> {
        let asked = request("GET", "/v3/accounts?limit=1", &self.server.headers(), "");
        let answer: Value =
            serde_json::from_str(&self.connection().await?.ask(&asked).await?.body)?;
        let id = answer.get(0).map(|account| text(account, "id")).unwrap_or_default();
        if id.is_empty() { Err("there is no account".into()) } else { Ok(id) }
    }
}
