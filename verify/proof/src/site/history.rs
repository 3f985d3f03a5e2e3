//! Every password that took effect, in order, from the target systems' own records.

use std::{collections::HashMap, fs};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use rekey_harness::{Result, Rows, rows::hex, text};

use super::Targets;

/// One password that took effect on one account.
pub(crate) struct Effect {
    /// The account: see [`place`].
    pub(crate) place: String,
    /// The identification of the password.
    pub(crate) mark: Mark,
}

/// The value by which a password that took effect is recognised.
pub(crate) enum Mark {
    /// The salt that rekey drew for this change on this account, in hexadecimal.
    Salt(String),
    /// OpenLDAP's salted hash of the password: the hash, then the salt.
    Ssha(Vec<u8>),
}

/// The unique name of an account. Accounts of one person on two sources that connect to one system
/// have the same name; each built-in source is a system of its own.
pub(crate) fn place(connector: &str, source_id: &str, native: &str) -> String {
    match connector {
        "rekey" => format!("rekey {source_id} {native}"),
        other => format!("{other} {native}"),
    }
}

/// The positions in the records of the target systems at which a run began: earlier records do not
/// count.
pub(crate) struct Since {
    directory: usize,
    database: usize,
}

impl Since {
    /// The present ends of the records.
    pub(crate) fn now(targets: &Targets) -> Result<Self> {
        Ok(Self {
            directory: fs::read(text(&targets.ldap, "changes"))?.len(),
            database: fs::read(text(&targets.postgres, "log"))?.len(),
        })
    }

    /// The passwords that took effect since then; those of one account are in order.
    pub(crate) fn effects(&self, targets: &Targets) -> Result<Vec<Effect>> {
        let read = |file: &str, from: usize| -> Result<String> {
            let all = fs::read(file)?;
            Ok(String::from_utf8_lossy(all.get(from..).unwrap_or_default()).into_owned())
        };
        let directory = read(&text(&targets.ldap, "changes"), self.directory)?;
        let database = read(&text(&targets.postgres, "log"), self.database)?;
        let mut effects = in_directory(&directory)?;
        effects.extend(in_database(&database)?);
        Ok(effects)
    }
}

/// Reads OpenLDAP's audit log: one LDIF record for each operation that succeeded.
fn in_directory(log: &str) -> Result<Vec<Effect>> {
    let mut effects = Vec::new();
    let mut dn = "";
    let mut is_change = false;
    let unfolded = log.replace("\n ", "");
    for line in unfolded.lines() {
        if let Some(name) = line.strip_prefix("dn: ") {
            dn = name;
        } else if let Some(kind) = line.strip_prefix("changetype: ") {
            is_change = kind == "modify";
        } else if let Some(value) = line.strip_prefix("userPassword:: ").filter(|_| is_change) {
            let stored = BASE64_STANDARD.decode(value)?;
            let hash = stored.strip_prefix(b"{SSHA}").ok_or("a password that is not hashed")?;
            let mark = Mark::Ssha(BASE64_STANDARD.decode(hash)?);
            effects.push(Effect { place: place("ldap", "", dn), mark });
        }
    }
    Ok(effects)
}

/// Whether the hash is of this password.
pub(crate) fn is_ssha_of(hash: &[u8], password: &str) -> bool {
    let Some((hash, salt)) = hash.split_at_checked(20) else { return false };
    let mut made = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    made.update(password.as_bytes());
    made.update(salt);
    made.finish().as_ref() == hash
}

/// Reads PostgreSQL's log: a role's password changes when the session that altered it commits.
fn in_database(log: &str) -> Result<Vec<Effect>> {
    let mut effects = Vec::new();
    let mut open: HashMap<&str, (&str, &str)> = HashMap::new();
    for line in log.lines() {
        let session = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let Some((session, rest)) = session else { continue };
        if rest.contains(" ERROR: ") || rest.contains(" FATAL: ") {
            open.remove(session);
            continue;
        }
        let Some((_, statement)) = rest.split_once("LOG:  statement: ") else { continue };
        if let Some(alter) = statement.strip_prefix("ALTER ROLE ") {
            let altered = alter.split_once(" PASSWORD 'SCRAM-SHA-256$4096:");
            let (role, verifier) = altered.ok_or("a role was altered in an unknown way")?;
            let (salt, _) = verifier.split_once('$').ok_or("a verifier without a salt")?;
            open.insert(session, (role, salt));
        } else if statement == "COMMIT"
            && let Some((role, salt)) = open.remove(session)
        {
            let mark = Mark::Salt(hex(&BASE64_STANDARD.decode(salt)?));
            effects.push(Effect { place: place("postgresql", "", role), mark });
        } else if statement.starts_with("START TRANSACTION") {
            open.remove(session);
        }
    }
    Ok(effects)
}

/// The passwords that took effect on the built-in sources of a store: see
/// [`super::record_effects`].
pub(crate) async fn in_store(store: &mut Rows) -> Result<Vec<Effect>> {
    let sql = "SELECT source_id, native_identity, verifier FROM proof_effect ORDER BY number";
    let mut effects = Vec::new();
    for row in store.all(sql).await? {
        let [Some(source), Some(native), Some(verifier)] = row.as_slice() else { continue };
        let (salt, _) = verifier.split_once('$').ok_or("a verifier without a salt")?;
        let mark = Mark::Salt(hex(&BASE64_STANDARD_NO_PAD.decode(salt)?));
        effects.push(Effect { place: place("rekey", source, native), mark });
    }
    Ok(effects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_committed_took_no_effect() {
        let log = "\
2026-01-01 00:00:00 UTC [7] s@postgres LOG:  statement: START TRANSACTION
2026-01-01 00:00:00 UTC [7] s@postgres LOG:  statement: ALTER ROLE r1 PASSWORD 'SCRAM-SHA-256$4096:AAAA$x:y'
2026-01-01 00:00:00 UTC [8] s@postgres LOG:  statement: ALTER ROLE r2 PASSWORD 'SCRAM-SHA-256$4096:BBBB$x:y'
2026-01-01 00:00:00 UTC [8] s@postgres LOG:  statement: COMMIT
2026-01-01 00:00:01 UTC [9] s@postgres LOG:  statement: ALTER ROLE r3 PASSWORD 'SCRAM-SHA-256$4096:CCCC$x:y'
2026-01-01 00:00:01 UTC [9] s@postgres ERROR:  tuple concurrently updated
2026-01-01 00:00:01 UTC [9] s@postgres LOG:  statement: COMMIT
";
        let effects = in_database(log).unwrap();
        let places: Vec<_> = effects.iter().map(|effect| effect.place.as_str()).collect();
        assert_eq!(places, ["postgresql r2"]);
    }

    #[test]
    fn a_folded_hash_in_the_directory_s_log_is_known_again() {
        // {SSHA} of "secret" with the salt "salt".
        let mut made = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        made.update(b"secretsalt");
        let hash = [made.finish().as_ref(), b"salt"].concat();
        let stored = BASE64_STANDARD.encode(format!("{{SSHA}}{}", BASE64_STANDARD.encode(hash)));
        let (head, tail) = stored.split_at(20);
        let log = format!(
            "# modify 1 dc=x\ndn: uid=l1,dc=x\nchangetype: modify\nreplace: userPassword\nuserPassword:: {head}\n {tail}\n-\n"
        );
        let effects = in_directory(&log).unwrap();
        let [Effect { place, mark: Mark::Ssha(hash) }] = effects.as_slice() else {
            panic!("one effect")
        };
        assert_eq!(place, "ldap uid=l1,dc=x");
        assert!(is_ssha_of(hash, "secret") && !is_ssha_of(hash, "Secret"));
    }
}
