//! Clients that send requests without a pause, and judge every answer.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rekey_harness::{Answer, Connection, Info, Result, Server, password::chance, request, text};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::violations::Violations;

/// The running clients.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    accepted: Mutex<Vec<String>>,
    /// The number of requests answered `503` as promised.
    refused: AtomicU64,
    /// The number of requests without an answer: no connection, or no answer in time.
    unanswered: AtomicU64,
    violations: Violations,
}

impl Load {
    /// Starts one client for each person.
    pub(super) fn start(
        server: &Server,
        people: &[Info],
        patience: Duration,
        violations: &Violations,
    ) -> Self {
        let shared = Arc::new(Shared { violations: violations.clone(), ..Shared::default() });
        let client = |info: &Info| {
            let (address, headers) = (server.address.clone(), server.headers());
            tokio::spawn(client(shared.clone(), address, headers, info.clone(), patience))
        };
        let clients = people.iter().map(client).collect();
        Self { shared, clients }
    }

    /// The number of requests accepted so far.
    pub(super) fn accepted(&self) -> usize {
        self.shared.accepted().len()
    }

    /// The numbers of requests that were refused as promised, and that had no answer.
    pub(super) fn troubled(&self) -> (u64, u64) {
        let Shared { refused, unanswered, .. } = &*self.shared;
        (refused.load(Ordering::Relaxed), unanswered.load(Ordering::Relaxed))
    }

    /// Stops the clients, and returns the id of every accepted request.
    pub(super) async fn end(self) -> Result<Vec<String>> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await??;
        }
        Ok(std::mem::take(&mut *self.shared.accepted()))
    }
}

impl Shared {
    fn accepted(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an answer, or records it as a violation.
    fn take(&self, answer: &Answer) -> Result<()> {
        match answer.status {
            202 => {
                let body: Value = serde_json::from_str(&answer.body)?;
                self.accepted().push(text(&body, "requestId"));
            }
            503 if is_clear(answer) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            status => self.violations.blame(&format!("answered {status}: {}", answer.body)),
        }
        Ok(())
    }
}

/// Whether a `503` says when to retry, and has an error body as the contract defines it.
fn is_clear(answer: &Answer) -> bool {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let says = body.pointer("/messages/0/text").and_then(Value::as_str).unwrap_or_default();
    let again = answer.header("retry-after").and_then(|value| value.parse::<u32>().ok());
    again.is_some_and(|seconds| seconds > 0)
        && text(&body, "detailCode").starts_with("503")
        && !text(&body, "trackingId").is_empty()
        && says.contains("send the same request again")
}

/// Sends requests without a pause, and waits at most `patience` for each answer.
async fn client(
    shared: Arc<Shared>,
    address: String,
    headers: String,
    info: Info,
    patience: Duration,
) -> Result<()> {
    let mut connection = None;
    while !shared.is_over.load(Ordering::Relaxed) {
        let asked = request("POST", "/v3/set-password", &headers, &info.change(&chance()?)?);
        let ask = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => Connection::open(&address).await?,
            };
            let answer = open.ask(&asked).await?;
            Ok::<_, rekey_harness::Error>((open, answer))
        };
        if let Ok(Ok((open, answer))) = tokio::time::timeout(patience, ask).await {
            let is_refused = answer.status != 202;
            shared.take(&answer)?;
            // A server without free descriptors fails only on new connections: each tenth request
            // opens one.
            connection = (!shared.accepted().len().is_multiple_of(10)).then_some(open);
            if is_refused {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        } else {
            shared.unanswered.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
