//! The state in the end: in the store, and in the target systems.

use std::collections::{BTreeMap, HashMap};

use rekey_harness::{Result, Row, Rows, text};

use super::load::Load;
use crate::site::{
    Targets,
    history::{self, Mark, Since, is_ssha_of, place},
};

/// An accepted request, as the store holds it.
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) digest: String,
    pub(crate) identity: String,
    /// 0 in progress, 1 finished, 2 failed.
    pub(crate) state: i64,
    pub(crate) errors: String,
    pub(crate) is_shredded: bool,
    /// The deadline and the end, in microseconds since 1970; `ended` is 0 while the change is open.
    pub(crate) deadline: i64,
    pub(crate) ended: i64,
    /// The accounts of the request, each with its state.
    pub(crate) targets: Vec<Target>,
}

/// One account of a request.
pub(crate) struct Target {
    pub(crate) place: String,
    /// 2 applied, 3 failed, 4 superseded; less than 2 is unfinished.
    pub(crate) state: i64,
    pub(crate) error: String,
}

pub(crate) const APPLIED: i64 = 2;
pub(crate) const SUPERSEDED: i64 = 4;

/// All facts of a run.
pub(crate) struct Facts {
    /// The requests by sequence number, in the order of acceptance.
    pub(crate) kept: BTreeMap<i64, Kept>,
    /// The sequence number of a request, by its digest.
    pub(crate) by_digest: HashMap<String, i64>,
    /// For each account, the sequence numbers of the requests that took effect, in order.
    pub(crate) effects: BTreeMap<String, Vec<i64>>,
    /// The passwords that took effect although no request brought them.
    pub(crate) strange: Vec<String>,
    /// The verifiers of the built-in sources, by account.
    pub(crate) verifiers: HashMap<String, String>,
    /// For each request, the numbers of its start rows and end rows in the audit trail.
    pub(crate) audited: HashMap<String, (i64, i64)>,
}

impl Facts {
    pub(crate) async fn gather(
        load: &Load,
        systems: Option<(&Targets, &Since)>,
        store: &mut Rows,
    ) -> Result<Self> {
        let places = places(store).await?;
        let mut facts = Self {
            kept: kept(store).await?,
            by_digest: HashMap::new(),
            effects: BTreeMap::new(),
            strange: Vec::new(),
            verifiers: verifiers(store).await?,
            audited: audited(store).await?,
        };
        for (seq, kept) in &facts.kept {
            facts.by_digest.insert(kept.digest.clone(), *seq);
        }
        let salts = facts.add_targets(store, &places).await?;
        let mut effects = history::in_store(store).await?;
        let mut candidates = HashMap::new();
        if let Some((targets, since)) = systems {
            candidates = asked_in_directory(load, targets);
            effects.extend(since.effects(targets)?);
        }
        for effect in effects {
            let seq = match &effect.mark {
                Mark::Salt(salt) => salts.get(&(effect.place.clone(), salt.clone())).copied(),
                Mark::Ssha(hash) => candidates
                    .get(&effect.place)
                    .into_iter()
                    .flatten()
                    .find(|(password, _)| is_ssha_of(hash, password))
                    .and_then(|(_, digest)| facts.by_digest.get(digest).copied()),
            };
            match seq {
                Some(seq) => facts.effects.entry(effect.place).or_default().push(seq),
                None => facts.strange.push(format!("a password of nobody's at {}", effect.place)),
            }
        }
        Ok(facts)
    }

    /// Prints the figures of the run.
    pub(crate) fn tell(&self, load: &Load) {
        let known = load.model.lock();
        let accepted = known.asked.iter().filter(|asked| asked.accepted.is_some()).count();
        println!(
            "{} ciphertexts asked for, {accepted} answered 202; {} sent again, {} answers swallowed",
            known.asked.len(),
            known.resent,
            known.unanswered
        );
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        for kept in self.kept.values() {
            let end = match kept.state {
                0 => "in progress",
                1 => "FINISHED",
                _ if kept.errors.contains("not known whether") => "FAILED: late, perhaps written",
                _ if kept.errors.contains("deadline") => "FAILED: late, not written",
                _ if kept.errors.contains("superseded") => "FAILED: superseded",
                _ if kept.errors.contains("given up") => "FAILED: hit three times",
                _ => kept.errors.as_str(),
            };
            *ends.entry(end).or_default() += 1;
        }
        println!("{} kept by the store:", self.kept.len());
        for (end, times) in ends {
            println!("  {end}: {times}");
        }
        let mut effects: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, all) in &self.effects {
            *effects.entry(place.split(' ').next().unwrap_or_default()).or_default() += all.len();
        }
        println!("took effect: {effects:?}");
    }

    /// Adds the accounts of all requests; returns the request to which each salt of an account
    /// belongs.
    async fn add_targets(
        &mut self,
        store: &mut Rows,
        places: &HashMap<String, String>,
    ) -> Result<HashMap<(String, String), i64>> {
        let mut salts = HashMap::new();
        let sql = "SELECT change_seq, account_id, state, salt, error FROM password_change_target";
        for row in store.all(sql).await? {
            let (seq, place) = (number(&row, 0)?, places.get(&word(&row, 1)));
            let place = place.ok_or("a change of an unknown account")?.clone();
            if let Some(Some(salt)) = row.get(3) {
                salts.insert((place.clone(), salt.trim_start_matches("\\x").to_owned()), seq);
            }
            let target = Target { place, state: number(&row, 2)?, error: word(&row, 4) };
            self.kept.get_mut(&seq).ok_or("an account of an unknown change")?.targets.push(target);
        }
        Ok(salts)
    }
}

async fn kept(store: &mut Rows) -> Result<BTreeMap<i64, Kept>> {
    let sql = "SELECT seq, id, digest, identity_id, state, errors, payload IS NULL, deadline,
                   COALESCE(ended, 0) FROM password_change";
    let mut kept = BTreeMap::new();
    for row in store.all(sql).await? {
        let is_shredded = matches!(word(&row, 6).as_str(), "1" | "t");
        let (id, digest, identity) = (word(&row, 1), word(&row, 2), word(&row, 3));
        let (state, errors, targets) = (number(&row, 4)?, word(&row, 5), Vec::new());
        let (deadline, ended) = (number(&row, 7)?, number(&row, 8)?);
        let one =
            Kept { id, digest, identity, state, errors, is_shredded, deadline, ended, targets };
        kept.insert(number(&row, 0)?, one);
    }
    Ok(kept)
}

/// Returns, for each account id, its place: the unique name that `site::history::place` forms.
async fn places(store: &mut Rows) -> Result<HashMap<String, String>> {
    let sql = "SELECT a.id, s.connector, s.id, a.native_identity
               FROM account a JOIN source s ON s.id = a.source_id";
    let rows = store.all(sql).await?;
    Ok(rows
        .iter()
        .map(|row| (word(row, 0), place(&word(row, 1), &word(row, 2), &word(row, 3))))
        .collect())
}

async fn verifiers(store: &mut Rows) -> Result<HashMap<String, String>> {
    let sql = "SELECT source_id, native_identity, verifier FROM builtin_password";
    let rows = store.all(sql).await?;
    Ok(rows
        .iter()
        .map(|row| (place("rekey", &word(row, 0), &word(row, 1)), word(row, 2)))
        .collect())
}

async fn audited(store: &mut Rows) -> Result<HashMap<String, (i64, i64)>> {
    let sql = "SELECT object, action, count(*) FROM audit WHERE action IN ('PasswordsRequestStart',
                   'ACTION_PASSWORD_CHANGE_SUCCESS', 'passwordChangeFailure')
               GROUP BY object, action";
    let mut audited: HashMap<String, (i64, i64)> = HashMap::new();
    for row in store.all(sql).await? {
        let (begun, ended) = audited.entry(word(&row, 0)).or_default();
        let which = if word(&row, 1) == "PasswordsRequestStart" { begun } else { ended };
        *which += number(&row, 2)?;
    }
    Ok(audited)
}

/// For each account in the directory, every password that was requested, with the digest of its
/// request.
fn asked_in_directory(load: &Load, targets: &Targets) -> HashMap<String, Vec<(String, String)>> {
    let mut candidates: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for asked in &load.model.lock().asked {
        if let Some(subject) = load.subjects.get(asked.subject) {
            let dn = format!("uid={},{}", subject.user, text(&targets.ldap, "baseDn"));
            let one = (asked.password.clone(), asked.digest.clone());
            candidates.entry(place("ldap", "", &dn)).or_default().push(one);
        }
    }
    candidates
}

fn word(row: &Row, at: usize) -> String {
    row.get(at).cloned().flatten().unwrap_or_default()
}

fn number(row: &Row, at: usize) -> Result<i64> {
    Ok(word(row, at).parse()?)
}
