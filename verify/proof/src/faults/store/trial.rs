//! A trial: a fault that begins and ends under load.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use rekey_harness::{Info, Place, Result, Server};

use super::load::Load;
use crate::{faults::client::Client, violations::Violations};

/// How soon requests must be accepted again after a fault has ended.
const RECOVERY: Duration = Duration::from_secs(30);
/// The duration of a fault.
const FAULT: Duration = Duration::from_secs(4);
/// How soon after the last fault every accepted request must have ended; the deadline is far
/// longer.
const END: Duration = Duration::from_mins(2);

/// A server under test, the people whose passwords are changed, and the settings for starting it
/// again.
pub(super) struct Trial<'a> {
    pub(super) place: &'a Place,
    pub(super) server: Server,
    pub(super) people: Vec<Info>,
    pub(super) settings: &'a [(&'a str, &'a str)],
    pub(super) violations: &'a Violations,
    /// The ids of the requests that were accepted in all trials.
    pub(super) accepted: Vec<String>,
}

/// How clients notice a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Felt {
    /// Requests are answered `503`.
    Refused,
    /// Some requests have no answer.
    Unanswered,
}

impl Felt {
    /// How long a client waits for an answer. An unreachable store is noticed after 5 s, so a `503`
    /// arrives in time.
    fn patience(self) -> Duration {
        Duration::from_secs(if self == Self::Refused { 20 } else { 1 })
    }
}

impl Trial<'_> {
    /// Runs one fault under load. `begin` causes the fault; `end` removes it, and replaces the
    /// server if it cannot continue.
    pub(super) async fn run(
        &mut self,
        name: &str,
        felt: Felt,
        begin: impl AsyncFnOnce(&Server) -> Result<()>,
        end: impl AsyncFnOnce(&mut Server) -> Result<()>,
    ) -> Result<()> {
        let patience = felt.patience();
        let load = Load::start(&self.server, &self.people, patience, self.violations);
        while load.accepted() < self.people.len() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begin(&self.server).await?;
        tokio::time::sleep(FAULT).await;
        let (before, (refused, unanswered)) = (load.accepted(), load.troubled());
        end(&mut self.server).await?;
        let relieved = Instant::now();
        let mut recovered = None;
        // More than the requests in flight when the fault ended: those are at most one for each
        // person.
        while recovered.is_none() && relieved.elapsed() < RECOVERY {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let is_back = load.accepted() > before + self.people.len();
            recovered = is_back.then(|| relieved.elapsed());
        }
        let accepted = load.end().await?;
        match recovered {
            Some(after) => println!(
                "{name}: {} accepted, {refused} refused and {unanswered} unanswered meanwhile, served again after {after:.1?}",
                accepted.len()
            ),
            None => self.blame(name, "was not served again within 30 s after it"),
        }
        if if felt == Felt::Refused { refused } else { unanswered } == 0 {
            self.blame(name, "nothing was felt of it: this proved nothing");
        }
        self.kill_and_count(name, accepted).await
    }

    /// Kills the server, starts it again, and checks that it knows every accepted request.
    async fn kill_and_count(&mut self, name: &str, accepted: Vec<String>) -> Result<()> {
        self.server.kill()?;
        let address = self.server.address.clone();
        self.server = Server::start_at(self.place, &address, self.settings).await?;
        let mut client = Client::open(&address, &self.server.headers()).await?;
        for id in &accepted {
            if let Err(error) = client.state(id).await {
                self.blame(name, &format!("accepted and lost: {id}: {error}"));
            }
        }
        self.accepted.extend(accepted);
        Ok(())
    }

    /// Checks that every accepted request ends.
    pub(super) async fn end(&self) -> Result<()> {
        let mut client = Client::open(&self.server.address, &self.server.headers()).await?;
        let all = async {
            for id in &self.accepted {
                client.ended(id).await?;
            }
            Ok::<_, rekey_harness::Error>(())
        };
        match tokio::time::timeout(END, all).await {
            Ok(Ok(())) => println!("all {} that were accepted have ended", self.accepted.len()),
            Ok(Err(error)) => self.blame("in the end", &error.to_string()),
            Err(_) => self.blame("in the end", "not everything that was accepted has ended"),
        }
        Ok(())
    }

    fn blame(&self, name: &str, what: &str) {
        self.violations.blame(&format!("{name}: {what}"));
    }
}

/// Runs a program, and returns its error output as an error if it fails.
pub(super) fn run(program: &str, words: &[&str]) -> Result<()> {
    let out = Command::new(program).args(words).output()?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!("{program} {words:?}: {}", String::from_utf8_lossy(&out.stderr).trim_end()).into())
}
