//! A rekey under attack, with one person and one source.

use std::{fs, time::Duration};

use rekey_harness::{Connection, Info, Place, Result, Server, request, text};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// The person, and the name of their account.
pub(super) const PERSON: &str = "somebody";
/// The source's name.
const SOURCE: &str = "Hostile";
/// The memory that an attack may cost, in KiB.
const ROOM: u64 = 64 * 1024;
/// The time by which any task and any change must have ended.
const PATIENCE: Duration = Duration::from_secs(150);

/// A rekey, the id of its source, and its peak memory before the attack, in KiB.
pub(super) struct Victim {
    server: Server,
    source: String,
    before: u64,
    place: Place,
}

impl Victim {
    /// Starts a rekey with these settings and a source of this kind.
    pub(super) async fn start(
        settings: &[(&str, &str)],
        connector: &str,
        attributes: Value,
    ) -> Result<Self> {
        let place = Place::new(None)?;
        let site = json!({
            "identities": [{"alias": PERSON, "name": PERSON}],
            "sources": [{
                "name": SOURCE, "connector": connector, "owner": "admin", "deadline": "1m",
                "features": ["PASSWORD"], "connectorAttributes": attributes,
            }],
        });
        let file = place.folder().join("site.yaml");
        // JSON is valid YAML.
        fs::write(&file, site.to_string())?;
        place.rekey(&["apply", "-f", &file.display().to_string()])?;
        let server = Server::start(&place, settings).await?;
        let mut connection = Connection::open(&server.address).await?;
        let path = format!("/v3/sources?filters=name+eq+%22{SOURCE}%22");
        let found = connection.ask(&request("GET", &path, &server.headers(), "")).await?;
        let found: Vec<Value> = serde_json::from_str(&found.body)?;
        let source = found.first().map(|source| text(source, "id")).ok_or("no source")?;
        let before = peak(&server)?;
        Ok(Self { server, source, before, place })
    }

    /// Aggregates the source; returns the error of the task, or an empty text.
    pub(super) async fn aggregate(&self) -> Result<String> {
        timeout(PATIENCE, self.aggregated()).await.map_err(|_| "the task does not end")?
    }

    async fn aggregated(&self) -> Result<String> {
        let path = format!("/v2024/sources/{}/load-accounts", self.source);
        let authorization = format!("Authorization: Bearer {}\r\n", self.server.token);
        let begun = self.ask("POST", &path, &authorization, "").await?;
        let id = begun.get("task").map(|task| text(task, "id")).ok_or("no task")?;
        loop {
            let path = format!("/v2024/task-status/{id}");
            let task = self.ask("GET", &path, &self.server.headers(), "").await?;
            if task.get("completed").is_some_and(|completed| !completed.is_null()) {
                let said = task.pointer("/messages/0/localizedText/message");
                return Ok(said.and_then(Value::as_str).unwrap_or_default().to_owned());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Counts the accounts of the source that rekey keeps.
    pub(super) async fn accounts(&self) -> Result<usize> {
        let mut all = 0;
        loop {
            let source = &self.source;
            let path =
                format!("/v3/accounts?limit=10&offset={all}&filters=sourceId+eq+%22{source}%22");
            let page = self.ask("GET", &path, &self.server.headers(), "").await?;
            let found = page.as_array().map_or(0, Vec::len);
            all += found;
            if found == 0 {
                return Ok(all);
            }
        }
    }

    /// Changes the person's password; returns the status in which the change ended.
    pub(super) async fn change(&self) -> Result<String> {
        timeout(PATIENCE, self.changed()).await.map_err(|_| "the change does not end")?
    }

    async fn changed(&self) -> Result<String> {
        let mut connection = Connection::open(&self.server.address).await?;
        let headers = self.server.headers();
        let info = Info::ask(&mut connection, &headers, PERSON, SOURCE).await?;
        let body = info.change(&rekey_harness::password::chance()?)?;
        let accepted = self.ask("POST", "/v3/set-password", &headers, &body).await?;
        let path = format!("/v3/password-change-status/{}", text(&accepted, "requestId"));
        loop {
            let status = self.ask("GET", &path, &headers, "").await?;
            match text(&status, "state").as_str() {
                "IN_PROGRESS" => sleep(Duration::from_millis(100)).await,
                _ => return Ok(status.to_string()),
            }
        }
    }

    /// Fails unless the process is alive, answers within 5 s, and has taken at most `ROOM` KiB more
    /// memory.
    pub(super) async fn is_well(&mut self) -> Result<()> {
        if let Some(status) = self.server.ended()? {
            return Err(format!("the process ended: {status}").into());
        }
        let asked = async {
            let mut connection = Connection::open(&self.server.address).await?;
            connection.ask(&request("GET", "/healthz", "", "")).await
        };
        timeout(Duration::from_secs(5), asked).await.map_err(|_| "/healthz does not answer")??;
        let took = peak(&self.server)?.saturating_sub(self.before);
        if took > ROOM {
            return Err(format!("it took {} MiB", took / 1024).into());
        }
        Ok(())
    }

    /// Fails if the store or the log contains this text.
    pub(super) fn holds_nowhere(&self, text: &str) -> Result<()> {
        let mut folders = vec![self.place.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for file in fs::read_dir(folder)? {
                let path = file?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if fs::read(&path)?.windows(text.len()).any(|part| part == text.as_bytes()) {
                    return Err(format!("{} repeats what the system said", path.display()).into());
                }
            }
        }
        Ok(())
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Result<Value> {
        let mut connection = Connection::open(&self.server.address).await?;
        let answer = connection.ask(&request(method, path, headers, body)).await?;
        serde_json::from_str(&answer.body).map_err(|_| answer.body.into())
    }
}

/// The peak of the resident memory, in KiB.
fn peak(server: &Server) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).ok_or("no VmHWM")?.parse().map_err(Into::into)
}
