//! The checks of every promise, made once no change is open. The numbers I1 to I9 are those of
//! `docs/reliability.md`.

use std::collections::BTreeMap;

use rekey::{
    Error,
    model::{
        change::{State, TargetState},
        column::{FromRow, Row},
        id::ChangeId,
        time::Micros,
    },
    store::{Result, Tx},
};

use crate::{
    history::{Effect, History, Number},
    setup::{PEOPLE, SOURCES, Setup},
    world::World,
};

/// The result of a `count(*)` query, in the column `value`.
pub(crate) struct Count(pub(crate) i64);

impl FromRow for Count {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self(row.get("value")?))
    }
}

/// The time at which the next open change is due, or `None` if no change is open.
pub(crate) struct Due(pub(crate) Option<Micros>);

impl FromRow for Due {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self(row.get("due")?))
    }
}

/// One change on one account, as the store holds it at the end of a history.
struct Kept {
    seq: i64,
    id: ChangeId,
    digest: Vec<u8>,
    state: State,
    created: Micros,
    deadline: Micros,
    ended: Option<Micros>,
    account_id: String,
    target: TargetState,
    error: Option<String>,
}

impl FromRow for Kept {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            id: row.get("id")?,
            digest: row.get("digest")?,
            state: row.get("state")?,
            created: row.get("created")?,
            deadline: row.get("deadline")?,
            ended: row.get("ended")?,
            account_id: row.get("account_id")?,
            target: row.get("target")?,
            error: row.get("error")?,
        })
    }
}

const KEPT: &str = "SELECT c.seq, c.id, c.digest, c.state, c.created, c.deadline, c.ended,
        t.account_id, t.state AS target, t.error
    FROM password_change c JOIN password_change_target t ON t.change_seq = c.seq
    ORDER BY c.seq, t.account_id";

/// Returns the number of changes that have not ended, and checks I7: an ended change has no
/// ciphertext, an open one still has it.
pub(crate) async fn unfinished(world: &World) -> i64 {
    let look = |tx: &mut Tx<'_>| -> std::result::Result<_, Error> {
        let open = "SELECT count(*) AS value FROM password_change WHERE state = 0";
        // `=` compares two booleans: an open change without ciphertext, or an ended one with it.
        let wrong =
            "SELECT count(*) AS value FROM password_change WHERE (state = 0) = (payload IS NULL)";
        Ok((tx.count(open)?, tx.count(wrong)?))
    };
    match world.store().read(look).await {
        Ok((open, 0)) => open,
        Ok((open, _)) => {
            world.broke("I7: a change that ended is not shredded, or one that did not is".into());
            open
        }
        Err(error) => {
            world.broke(format!("the store cannot be read: {error}"));
            0
        }
    }
}

/// Checks all promises over the whole history, and records each violation.
pub(crate) async fn all(world: &World) {
    let rows = world.store().read(|tx: &mut Tx<'_>| tx.all::<Kept>(KEPT, &[])).await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => return world.broke(format!("the store cannot be read: {error}")),
    };
    let most_repeats: Vec<_> =
        (0..SOURCES).map(|source| world.source(source, |source| source.most_repeats())).collect();
    let broken = world.history(|history| {
        let mut broken = Vec::new();
        let numbers: BTreeMap<Vec<u8>, Number> = history
            .requests
            .iter()
            .enumerate()
            .map(|(number, request)| (request.digest.clone(), number))
            .collect();
        for row in &rows {
            let Some(number) = numbers.get(row.digest.as_slice()) else {
                broken.push(format!("seq {} is nobody's request", row.seq));
                continue;
            };
            history.tell(row.ended.unwrap_or(row.created), || {
                let (state, target) = (row.state, row.target);
                let why = row.error.as_deref().unwrap_or_default();
                let why = why.split("by request").next().unwrap_or_default();
                format!(
                    "p{number} (seq {}) on {}: {state:?}, {target:?} {why}",
                    row.seq, row.account_id
                )
            });
        }
        in_time(history, &rows, &mut broken);
        promised(history, &rows, &mut broken);
        for source in 0..SOURCES {
            for person in 0..PEOPLE {
                let account = Setup::account_id(source, person);
                let lane: Vec<_> =
                    rows.iter().filter(|row| row.account_id == account.as_str()).collect();
                let effects: Vec<_> = history
                    .effects
                    .iter()
                    .filter(|effect| effect.source == source && effect.person == person)
                    .collect();
                Lane {
                    account: account.as_str(),
                    rows: &lane,
                    effects: &effects,
                    numbers: &numbers,
                }
                .check(&mut broken);
            }
        }
        for (source, most) in most_repeats.iter().enumerate() {
            if *most > 1 {
                broken.push(format!(
                    "history: source {source} lost {most} entries of a history to one request"
                ));
            }
        }
        broken
    });
    for what in broken {
        world.broke(what);
    }
    audited(world).await;
}

/// I8: each change has exactly one audit row for its start and exactly one for its end.
async fn audited(world: &World) {
    let sql = "SELECT count(*) AS value FROM password_change c WHERE
        (SELECT count(*) FROM audit a WHERE a.object = c.id AND a.action = 'PasswordsRequestStart') <> 1 OR
        (SELECT count(*) FROM audit a WHERE a.object = c.id AND a.action IN
            ('ACTION_PASSWORD_CHANGE_SUCCESS', 'passwordChangeFailure')) <> 1";
    let count = world.store().read(move |tx: &mut Tx<'_>| tx.count(sql)).await;
    if !matches!(count, Ok(0)) {
        world.broke(format!("I8: {count:?} changes lack a row in the audit trail"));
    }
}

/// I1: every accepted request has ended within 30 s of its deadline, while a node is running. Each
/// node that is lost between the deadline and the end allows 5 s more, for its claim to lapse.
fn in_time(history: &History, rows: &[Kept], broken: &mut Vec<String>) {
    for row in rows {
        let Some(ended) = row.ended else {
            broken.push(format!("I1: seq {} has not ended", row.seq));
            continue;
        };
        let mut bound = row.deadline.0 + 30_000_000;
        for (from, until) in &history.dark {
            if until.0 > row.deadline.0 && from.0 < bound {
                // While no node ran, nothing could end: the 30 s start again when the first node
                // returns.
                bound = bound.max(until.0 + 30_000_000);
            }
        }
        let lost = history.lost.iter().filter(|at| at.0 > row.deadline.0 && at.0 < ended.0);
        let bound = bound + 5_000_000 * i64::try_from(lost.count()).unwrap_or(0);
        if ended.0 > bound {
            let late = (ended.0 - row.deadline.0) / 1000;
            broken.push(format!("I1: seq {} ended {late} ms after its deadline", row.seq));
        }
    }
}

/// I1 and I3: no promised request is lost, and a request sent after another one was promised comes
/// after it in the order of acceptance.
fn promised(history: &History, rows: &[Kept], broken: &mut Vec<String>) {
    let mut kept = BTreeMap::new();
    for row in rows {
        kept.insert(row.digest.as_slice(), row);
    }
    for (number, request) in history.requests.iter().enumerate() {
        let Some((told, id)) = &request.promised else { continue };
        let Some(row) = kept.get(request.digest.as_slice()) else {
            broken.push(format!("I1: p{number} was promised and is lost"));
            continue;
        };
        if row.id != *id {
            broken.push(format!("p{number} was promised as {id} and kept as {}", row.id));
        }
        for later in &history.requests {
            if later.person != request.person
                || later.source != request.source
                || later.sent < *told
            {
                continue;
            }
            if kept.get(later.digest.as_slice()).is_some_and(|later| later.seq < row.seq) {
                broken.push(format!(
                    "I3: something asked after p{number} was promised comes before it"
                ));
            }
        }
    }
}

/// All changes of one account, in the order of acceptance, and the passwords that came into force
/// on it.
struct Lane<'a> {
    account: &'a str,
    rows: &'a [&'a Kept],
    effects: &'a [&'a Effect],
    numbers: &'a BTreeMap<Vec<u8>, Number>,
}

impl Lane<'_> {
    fn check(&self, broken: &mut Vec<String>) {
        for (place, row) in self.rows.iter().enumerate() {
            let number = self.number(row);
            if row.target == TargetState::Applied {
                self.was_in_force(row, number, broken);
            }
            if row.state == State::Finished && row.target != TargetState::Applied {
                broken.push(format!("I2: p{number:?} is FINISHED without {}", self.account));
            }
            self.stays(place, row, number, broken);
        }
        self.last(broken);
    }

    fn number(&self, row: &Kept) -> Option<Number> {
        self.numbers.get(row.digest.as_slice()).copied()
    }

    /// I2: the password was in force at some time between the change's acceptance and its end.
    fn was_in_force(&self, row: &Kept, number: Option<Number>, broken: &mut Vec<String>) {
        let ended = row.ended.unwrap_or(Micros(i64::MAX));
        let was = self.effects.iter().enumerate().any(|(at, effect)| {
            let until = self.effects.get(at + 1).map_or(i64::MAX, |next| next.at.0);
            effect.password == number && effect.at <= ended && until >= row.created.0
        });
        if !was {
            broken.push(format!("I2: p{number:?} was never in force on {}", self.account));
        }
    }

    /// I3: once a change is `FINISHED`, no password of an older change comes into force. A change
    /// that ended at its deadline is exempt: it no longer waits for a write that a stopped node may
    /// still send.
    fn stays(&self, place: usize, row: &Kept, number: Option<Number>, broken: &mut Vec<String>) {
        if row.state != State::Finished {
            return;
        }
        let ended = row.ended.unwrap_or(Micros(i64::MAX));
        let heeded = |effect: &&&Effect| effect.at > ended && !is_beyond(row, effect);
        for effect in self.effects.iter().filter(heeded) {
            let older = self.rows[..place]
                .iter()
                .any(|older| effect.password.is_some() && self.number(older) == effect.password);
            if older {
                broken.push(format!(
                    "I3: p{:?} came into force on {} after p{number:?} was FINISHED",
                    effect.password, self.account
                ));
            }
        }
    }

    /// I4: the password of the last change that was not superseded is in force, unless that change
    /// failed or somebody set another password after it without rekey.
    fn last(&self, broken: &mut Vec<String>) {
        let stood = |row: &&&Kept| row.target != TargetState::Superseded;
        let Some(last) = self.rows.iter().rev().find(stood) else { return };
        let number = self.number(last);
        let Some(in_force) = self.effects.last() else {
            if last.target == TargetState::Applied {
                broken.push(format!("I4: nothing was ever in force on {}", self.account));
            }
            return;
        };
        if last.target == TargetState::Applied
            && !is_beyond(last, in_force)
            && in_force.password != number
            && in_force.password.is_some()
        {
            broken.push(format!(
                "I4: p{:?} is in force on {}, and the last one is p{number:?}",
                in_force.password, self.account
            ));
        }
    }
}

/// Whether the change ended at or after its deadline and the effect came after that deadline.
fn is_beyond(row: &Kept, effect: &Effect) -> bool {
    row.ended >= Some(row.deadline) && effect.at > row.deadline
}
