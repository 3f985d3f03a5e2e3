//! What happened, as somebody sees it who sees everything.

use rekey::model::{id::ChangeId, time::Micros};

/// Names a password, and so the request that brought it.
pub(crate) type Number = usize;

/// One request of a client.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) person: usize,
    pub(crate) source: usize,
    /// SHA-256 of its ciphertext: by this the store's row is found.
    pub(crate) digest: Vec<u8>,
    /// The step in which it was first sent.
    pub(crate) sent: u64,
    /// The step in which the client read its `202`, and the change it named.
    pub(crate) promised: Option<(u64, ChangeId)>,
}

/// One password that came into force on a source.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) at: Micros,
    pub(crate) source: usize,
    pub(crate) person: usize,
    /// None where somebody else set it.
    pub(crate) password: Option<Number>,
}

/// Everything that happened.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Counts what clients do, so that "before" has a meaning within one instant.
    pub(crate) step: u64,
    pub(crate) requests: Vec<Request>,
    pub(crate) effects: Vec<Effect>,
    /// When a node stopped or died.
    pub(crate) lost: Vec<Micros>,
    /// What broke a promise at the moment it did.
    pub(crate) broken: Vec<String>,
    /// When no node was running: from, until.
    pub(crate) dark: Vec<(Micros, Micros)>,
    /// The story, where it is wanted.
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
