//! The record of everything that happened, as an omniscient observer sees it.

use rekey::model::{id::ChangeId, time::Micros};

/// The number of a password, and of the request that brought it.
pub(crate) type Number = usize;

/// One request of a client.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) person: usize,
    pub(crate) source: usize,
    /// The SHA-256 of the request's ciphertext, by which the store's row is found.
    pub(crate) digest: Vec<u8>,
    /// The step in which the client first sent the request.
    pub(crate) sent: u64,
    /// The step in which the client read its `202`, and the id of the change in it.
    pub(crate) promised: Option<(u64, ChangeId)>,
}

/// One password that came into force on a source.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) at: Micros,
    pub(crate) source: usize,
    pub(crate) person: usize,
    /// `None` if somebody set the password without rekey.
    pub(crate) password: Option<Number>,
}

/// Everything that happened in one history.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Counts the actions of clients, so that two actions within one instant have an order.
    pub(crate) step: u64,
    pub(crate) requests: Vec<Request>,
    pub(crate) effects: Vec<Effect>,
    /// The times at which a node stopped or died.
    pub(crate) lost: Vec<Micros>,
    /// The promises that were broken, each recorded at the moment it was.
    pub(crate) broken: Vec<String>,
    /// The spans in which no node was running: from, until.
    pub(crate) dark: Vec<(Micros, Micros)>,
    /// The narrated events, if they were requested.
    pub(crate) story: Option<Vec<String>>,
}

impl History {
    pub(crate) fn tell(&mut self, at: Micros, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let ms = (at.0 - crate::world::BEGIN.0) / 1000;
            story.push(format!("{:>9}.{:03} s  {}", ms / 1000, ms % 1000, what()));
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    pub(crate) fn broke(&mut self, at: Micros, what: String) {
        self.tell(at, || format!("BROKEN: {what}"));
        self.broken.push(what);
    }
}
