//! A model beside the real rekey: what clients asked for and were told, what is so in the end, and
//! whether that is what was promised.
//!
//! 1. Clients change passwords all the time, resend what was not answered, and try other people's
//!    ciphertexts: [`load`].
//! 2. What they sent and were told is kept in the [`Model`].
//! 3. When all is over, [`facts`] are gathered from the store and from the target systems' own
//!    records, and [`check`] holds them against the promises.

pub(crate) mod check;
pub(crate) mod facts;
pub(crate) mod load;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rekey_harness::{Result, Rows};

/// One ciphertext, sent for one person, as often as it was.
pub(crate) struct Asked {
    /// For whom and where: an index into the subjects.
    pub(crate) subject: usize,
    /// What it was made of.
    pub(crate) password: String,
    /// The ciphertext.
    pub(crate) ciphertext: Vec<u8>,
    /// Its SHA-256, as the store keeps it.
    pub(crate) digest: String,
    /// Whether it was refused, because it is another person's.
    pub(crate) refused: bool,
    /// When it was first sent.
    pub(crate) sent: Instant,
    /// When it was first accepted, and under which request id.
    pub(crate) accepted: Option<(Instant, String)>,
}

/// Everything so far; one for all clients.
#[derive(Default)]
pub(crate) struct Model(Mutex<Known>);

#[derive(Default)]
pub(crate) struct Known {
    pub(crate) asked: Vec<Asked>,
    /// What must not have happened, in words.
    pub(crate) wrong: Vec<String>,
    /// Bodies sent once more.
    pub(crate) resent: usize,
    /// Requests whose answer never came.
    pub(crate) unanswered: usize,
    /// Requests that the server itself could not take; they count as unanswered, too.
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
    /// Keeps what an answer to the request `number`, sent at `sent`, said.
    pub(crate) fn answered(&mut self, number: usize, status: u16, body: &str, id: Option<&str>) {
        let Some(asked) = self.asked.get_mut(number) else { return };
        match (status, id, &asked.accepted) {
            (202, Some(id), None) => asked.accepted = Some((Instant::now(), id.to_owned())),
            (202, Some(id), Some((_, known))) if known == id => {}
            (400, _, None) if body.contains("already used") => asked.refused = true,
            // The server is dying, or its store is in the way: whether it was kept is not known.
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

/// Waits until every request has ended, but no longer than the last one may take.
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

/// The time, in microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the server under test has a clock of its own")]
pub(crate) fn now() -> Result<i64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(now.as_micros().try_into()?)
}
