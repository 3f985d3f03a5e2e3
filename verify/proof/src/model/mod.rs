//! A model of the promises: the requests and answers of clients, the state in the end, and whether
//! it is as promised.
//!
//! 1. Clients change passwords continuously, resend unanswered requests, and try the ciphertexts of
//!    other people: [`load`].
//! 2. The [`Model`] records what they sent and received.
//! 3. In the end, [`facts`] are read from the store and from the target systems' own records, and
//!    [`check`] compares them with the promises.

pub(crate) mod check;
pub(crate) mod facts;
pub(crate) mod load;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rekey_harness::{Result, Rows};

/// One ciphertext that was sent for one person, once or repeatedly.
pub(crate) struct Asked {
    /// The person and source: an index into the subjects.
    pub(crate) subject: usize,
    /// The password in the ciphertext.
    pub(crate) password: String,
    pub(crate) ciphertext: Vec<u8>,
    /// The SHA-256 of the ciphertext, in the store's form.
    pub(crate) digest: String,
    /// Whether the request was refused because the ciphertext is another person's.
    pub(crate) refused: bool,
    /// When the request was first sent.
    pub(crate) sent: Instant,
    /// When the request was first accepted, and its `requestId`.
    pub(crate) accepted: Option<(Instant, String)>,
}

/// The record of all requests so far, shared by all clients.
#[derive(Default)]
pub(crate) struct Model(Mutex<Known>);

#[derive(Default)]
pub(crate) struct Known {
    pub(crate) asked: Vec<Asked>,
    /// The violations, in words.
    pub(crate) wrong: Vec<String>,
    /// The number of bodies that were sent again.
    pub(crate) resent: usize,
    /// The number of requests without an answer.
    pub(crate) unanswered: usize,
    /// The number of requests answered with a status of 500 or more, which count as unanswered,
    /// too.
    pub(crate) turned_away: usize,
}

impl Model {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_wrong(&self, what: String) {
        self.lock().wrong.push(what);
    }
}

impl Known {
    /// Records the answer to the request `number`.
    pub(crate) fn answered(&mut self, number: usize, status: u16, body: &str, id: Option<&str>) {
        let Some(asked) = self.asked.get_mut(number) else { return };
        match (status, id, &asked.accepted) {
            (202, Some(id), None) => asked.accepted = Some((Instant::now(), id.to_owned())),
            (202, Some(id), Some((_, known))) if known == id => {}
            (400, _, None) if body.contains("already used") => asked.refused = true,
            // The server is dying or its store is unavailable: whether the request was stored is
            // unknown.
            (500.., ..) => {
                self.unanswered += 1;
                self.turned_away += 1;
            }
            (_, _, known) => {
                let known = known.as_ref().map_or("nothing", |(_, id)| id.as_str());
                self.wrong
                    .push(format!("a request known as {known} was answered {status}: {body}"));
            }
        }
    }
}

/// Waits until every request has ended, for at most `at_most`.
pub(crate) async fn until_all_ended(store: &mut Rows, at_most: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < at_most {
        if store.count("SELECT count(*) FROM password_change WHERE state = 0").await? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The current time, in microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the server under test has a clock of its own")]
pub(crate) fn now() -> Result<i64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(now.as_micros().try_into()?)
}
