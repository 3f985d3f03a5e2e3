//! The audit trail. A row is written in the transaction of the action that it records; the chain
//! and the signed checkpoints follow later.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use aws_lc_rs::hmac;
use serde_json::Value;

use super::{Error, Result, Store, Tx, tx::Query};
use crate::model::{
    audit::{
        Address, Addresses, Content, Event, Hash, Origin, Personal, UNKNOWN,
        personal::{Known, MEMBER},
    },
    column::{One, Param, from_row},
    time::Micros,
};

/// The numbers of rows that one statement reads or writes, the largest first. They are fixed, so
/// that only a few statement texts have to be prepared.
const AT_ONCE: [usize; 3] = [100, 10, 1];

/// What an audit row records. The transaction adds the time, and the current task the origin.
pub struct Audit<'a> {
    /// The id of the acting identity or client, or `rekey`.
    pub actor: &'a str,
    /// The action, in ISC's words where it has them.
    pub action: &'a str,
    /// The id of the object acted on.
    pub object: &'a str,
    /// Further details: never a password, a ciphertext or a digest of one. Personal data, such as
    /// names, belong into the member `personal`, an object that is stored apart from the row.
    pub detail: Value,
}

/// A row about to be written.
pub(super) struct Entry<'a> {
    at: Micros,
    actor: &'a str,
    action: &'a str,
    object: &'a str,
    detail: String,
    failure: Option<&'a str>,
    origin: Option<String>,
    mac: Option<Vec<u8>>,
    personal: Vec<Personal>,
}

impl Entry<'_> {
    /// The statements that write the row. The personal data come first, since the row contains
    /// their commitments.
    pub(super) fn writes(&self) -> Vec<Query<'_>> {
        self.personal.iter().map(keep_personal).chain([self.write()]).collect()
    }

    fn write(&self) -> Query<'_> {
        let sql = "INSERT INTO audit (at, actor, action, object, detail, failure, origin, mac)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let Self { at, actor, action, object, detail, failure, origin, mac, .. } = self;
        (sql, vec![at, actor, action, object, detail, failure, origin, mac])
    }
}

fn keep_personal(personal: &Personal) -> Query<'_> {
    let sql = "INSERT INTO audit_personal (commitment, subject, salt, content)
               VALUES ($1, $2, $3, $4)";
    let Personal { commitment, subject, salt, content } = personal;
    (sql, vec![commitment, subject, salt, content])
}

/// What every audit row of a transaction gets besides its own content.
#[derive(Clone, Default)]
pub(super) struct Scribe {
    key: Arc<OnceLock<hmac::Key>>,
    origin: Option<Arc<Origin>>,
    addresses: Arc<Addresses>,
    /// Addresses stored by this transaction: later transactions may refer to them once it is
    /// committed.
    new: Arc<Mutex<Vec<(Address, String, Micros)>>>,
}

impl Scribe {
    /// Makes the transaction's addresses available to later ones. For use after the commit only.
    pub(super) fn committed(&self) {
        for (address, commitment, now) in self.pending().drain(..) {
            self.addresses.keep(address, commitment, now);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Vec<(Address, String, Micros)>> {
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A position in the chain, and the row at that position, if it still exists.
pub struct Link {
    /// Counted from 0, without gaps.
    pub position: i64,
    /// The row's number.
    pub seq: i64,
    /// SHA-256 of the previous entry's hash and the row's entry.
    pub hash: Vec<u8>,
    /// The row; none if it was deleted.
    pub event: Option<Event>,
}

/// A signed checkpoint.
pub struct KeptCheckpoint {
    /// The number of chain entries that it covers.
    pub size: i64,
    /// The signed note.
    pub note: String,
}
from_row!(KeptCheckpoint { size, note });

impl Store {
    /// Sets the key under which every later audit row gets a digest. Only the first call has an
    /// effect.
    pub(crate) fn seal_audit(&self, key: hmac::Key) {
        let _ = self.audit_key.set(key);
    }

    /// The key set by [`Store::seal_audit`].
    pub(crate) fn audit_key(&self) -> Result<&hmac::Key> {
        self.audit_key.get().ok_or(Error::Closed)
    }

    /// What audit rows get from the current task: the key and the origin of the request.
    pub(super) fn scribe(&self) -> Scribe {
        Scribe {
            key: self.audit_key.clone(),
            origin: Origin::here(),
            addresses: self.addresses.clone(),
            new: Arc::default(),
        }
    }

    /// Wraps a transaction so that it starts with this scribe.
    pub(super) fn scribed<T, E, F>(
        scribe: Scribe,
        deed: F,
    ) -> impl Fn(&mut Tx<'_>) -> std::result::Result<T, E> + Send + use<T, E, F>
    where
        F: Fn(&mut Tx<'_>) -> std::result::Result<T, E> + Send,
    {
        move |tx| {
            // The addresses stored by an earlier attempt were rolled back with it.
            scribe.pending().clear();
            tx.scribe = scribe.clone();
            deed(tx)
        }
    }
}

impl Tx<'_> {
    /// Records an action.
    pub fn audit(&mut self, audit: Audit<'_>) -> Result<()> {
        self.record(audit, None)
    }

    /// Records a refused or failed attempt, with the reason.
    pub fn audit_failure(&mut self, audit: Audit<'_>, why: &str) -> Result<()> {
        self.record(audit, Some(why))
    }

    fn record(&mut self, audit: Audit<'_>, failure: Option<&str>) -> Result<()> {
        let entry = self.entry(audit, failure)?;
        self.run_each(&entry.writes())
    }

    /// The row that [`Tx::audit`] writes or, with a reason, [`Tx::audit_failure`].
    pub(super) fn entry<'a>(
        &mut self,
        audit: Audit<'a>,
        failure: Option<&'a str>,
    ) -> Result<Entry<'a>> {
        let at = self.now()?;
        let Audit { actor, action, object, mut detail } = audit;
        let mut personal = Vec::new();
        if let Some(content) = detail.get_mut(MEMBER) {
            let kept = kept_apart(object, content)?;
            *content = kept.commitment.clone().into();
            personal.push(kept);
        }
        let detail = detail.to_string();
        let whose = if actor == UNKNOWN { object } else { actor };
        let origin = self.origin(whose, at, &mut personal)?;
        let content = Content {
            at,
            actor,
            action,
            object,
            detail: &detail,
            failure,
            origin: origin.as_deref(),
        };
        let mac = self.scribe.key.get().map(|key| content.mac(key).as_ref().to_vec());
        Ok(Entry { at, actor, action, object, detail, failure, origin, mac, personal })
    }

    /// The origin of a row about an action of `whose`. Their address is personal data: it is stored
    /// apart, once an hour and not for every row.
    fn origin(
        &mut self,
        whose: &str,
        now: Micros,
        personal: &mut Vec<Personal>,
    ) -> Result<Option<String>> {
        let Some(origin) = &self.scribe.origin else { return Ok(None) };
        let Some(address) = origin.address(whose) else { return Ok(Some(origin.json(None))) };
        if let Some(commitment) = self.scribe.addresses.get(&address, now) {
            return Ok(Some(origin.json(Some(&commitment))));
        }
        let kept = kept_apart(whose, &serde_json::to_value(&address).unwrap_or_default())?;
        self.scribe.pending().push((address, kept.commitment.clone(), now));
        let json = origin.json(Some(&kept.commitment));
        personal.push(kept);
        Ok(Some(json))
    }

    /// The personal data of these rows, as far as they still exist.
    pub fn personal_of<'e>(&mut self, events: impl Iterator<Item = &'e Event>) -> Result<Known> {
        let wanted: BTreeSet<String> = events.flat_map(Event::commitments).collect();
        let wanted: Vec<String> = wanted.into_iter().collect();
        let (mut rest, mut known) = (wanted.as_slice(), Known::new());
        while let Some((some, more)) = AT_ONCE.iter().find_map(|n| rest.split_at_checked(*n)) {
            rest = more;
            let places: Vec<_> = (1..=some.len()).map(|n| format!("${n}")).collect();
            let sql = format!(
                "SELECT commitment, subject, salt, content FROM audit_personal
                 WHERE commitment IN ({})",
                places.join(", ")
            );
            let params: Vec<&dyn Param> = some.iter().map(|text| text as _).collect();
            let found: Vec<Personal> = self.all(&sql, &params)?;
            known.extend(found.into_iter().map(|found| (found.commitment.clone(), found)));
        }
        Ok(known)
    }

    /// Up to `limit` rows with numbers above `after` that have no position in the chain, by number.
    pub fn unchained(&mut self, after: i64, limit: i64) -> Result<Vec<Event>> {
        let sql = "SELECT seq, at, actor, action, object, detail, failure, origin, mac FROM audit a
                   WHERE seq > $1 AND NOT EXISTS (SELECT 1 FROM audit_chain c WHERE c.seq = a.seq)
                   ORDER BY seq LIMIT $2";
        self.all(sql, &[&after, &limit])
    }

    /// Adds rows to the chain: position, row number and hash of each.
    pub fn insert_links(&mut self, links: &[(i64, i64, Hash)]) -> Result<()> {
        let values: Vec<_> =
            links.iter().map(|(position, seq, hash)| (position, seq, hash.0.to_vec())).collect();
        let mut rest = values.as_slice();
        while let Some((some, more)) = AT_ONCE.iter().find_map(|n| rest.split_at_checked(*n)) {
            rest = more;
            let places: Vec<_> = (0..some.len())
                .map(|n| format!("(${}, ${}, ${})", 3 * n + 1, 3 * n + 2, 3 * n + 3))
                .collect();
            let sql = format!(
                "INSERT INTO audit_chain (position, seq, hash) VALUES {}",
                places.join(", ")
            );
            let mut params: Vec<&dyn Param> = Vec::with_capacity(3 * some.len());
            for (position, seq, hash) in some {
                params.extend([*position as &dyn Param, *seq, hash]);
            }
            let written = self.run(&sql, &params)?;
            if usize::try_from(written) != Ok(some.len()) {
                return Err(Error::Rows(written));
            }
        }
        Ok(())
    }

    /// The last position of the chain.
    pub fn last_position(&mut self) -> Result<Option<i64>> {
        let sql = "SELECT position AS value FROM audit_chain ORDER BY position DESC LIMIT 1";
        Ok(self.maybe::<One<i64>>(sql, &[])?.map(|One(position)| position))
    }

    /// The hash at a position of the chain.
    pub fn link_hash(&mut self, position: i64) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT hash AS value FROM audit_chain WHERE position = $1";
        Ok(self.maybe::<One<Vec<u8>>>(sql, &[&position])?.map(|One(hash)| hash))
    }

    /// Up to `limit` entries of the chain from `position` on, each with its row.
    pub fn links(&mut self, position: i64, limit: i64) -> Result<Vec<Link>> {
        let sql = "SELECT c.position, c.seq, c.hash, a.at, a.actor, a.action, a.object, a.detail,
                       a.failure, a.origin, a.mac
                   FROM audit_chain c LEFT JOIN audit a ON a.seq = c.seq
                   WHERE c.position >= $1 ORDER BY c.position LIMIT $2";
        Ok(self.all::<Joined>(sql, &[&position, &limit])?.into_iter().map(Joined::link).collect())
    }

    /// The positions of the rows about `object`, in ascending order.
    pub fn positions_of(&mut self, object: &str) -> Result<Vec<i64>> {
        let sql = "SELECT c.position AS value FROM audit a JOIN audit_chain c ON c.seq = a.seq
                   WHERE a.object = $1 ORDER BY c.position";
        let positions: Vec<One<i64>> = self.all(sql, &[&object])?;
        Ok(positions.into_iter().map(|One(position)| position).collect())
    }

    /// Stores a signed checkpoint.
    pub fn insert_checkpoint(&mut self, size: i64, note: &str) -> Result<()> {
        let now = self.now()?;
        let sql = "INSERT INTO audit_checkpoint (size, at, note) VALUES ($1, $2, $3)";
        self.run_one(sql, &[&size, &now, &note])
    }

    /// Up to `limit` signed checkpoints of more than `size` entries, the smallest first.
    pub fn checkpoints(&mut self, size: i64, limit: i64) -> Result<Vec<KeptCheckpoint>> {
        let sql = "SELECT size, note FROM audit_checkpoint WHERE size > $1 ORDER BY size LIMIT $2";
        self.all(sql, &[&size, &limit])
    }

    /// The signed checkpoint that covers the most entries.
    pub fn newest_checkpoint(&mut self) -> Result<Option<KeptCheckpoint>> {
        self.maybe("SELECT size, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1", &[])
    }

    /// Up to `limit` rows that were written before rows had a digest.
    pub fn unsealed_audit(&mut self, limit: i64) -> Result<Vec<Event>> {
        let sql = "SELECT seq, at, actor, action, object, detail, failure, origin, mac FROM audit
                   WHERE mac IS NULL ORDER BY seq LIMIT $1";
        self.all(sql, &[&limit])
    }

    /// Sets the digest of such a row.
    pub fn set_audit_mac(&mut self, seq: i64, mac: &[u8]) -> Result<()> {
        self.run_one("UPDATE audit SET mac = $2 WHERE seq = $1", &[&seq, &mac])
    }
}

fn kept_apart(subject: &str, content: &Value) -> Result<Personal> {
    Personal::new(subject, content)
        .map_err(|_| Error::Commit("the system has no random bytes".into()))
}

/// A chain entry with the columns of its row, all of which are null if the row was deleted.
struct Joined {
    position: i64,
    seq: i64,
    hash: Vec<u8>,
    at: Option<Micros>,
    actor: Option<String>,
    action: Option<String>,
    object: Option<String>,
    detail: Option<String>,
    failure: Option<String>,
    origin: Option<String>,
    mac: Option<Vec<u8>>,
}
from_row!(Joined { position, seq, hash, at, actor, action, object, detail, failure, origin, mac });

impl Joined {
    fn link(self) -> Link {
        let Self { position, seq, hash, failure, origin, mac, .. } = self;
        let event = match (self.at, self.actor, self.action, self.object, self.detail) {
            (Some(at), Some(actor), Some(action), Some(object), Some(detail)) => {
                Some(Event { seq, at, actor, action, object, detail, failure, origin, mac })
            }
            _ => None,
        };
        Link { position, seq, hash, event }
    }
}
