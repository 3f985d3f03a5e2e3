//! Accepts a password change: every step up to the `202`.
//!
//! Only public facts decide here: the private key is not used, so that neither an answer nor its
//! timing depends on the padding of the ciphertext. One transaction makes the promise. It locks all
//! accounts of the request in sorted order while the change takes its place in the order of
//! acceptance; the sorted order prevents deadlocks between requests.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use rekey_vault::{CiphertextFault, Purpose, sha256};
use serde_json::json;

use crate::{
    App, Error,
    access::Caller,
    error::BadRequest,
    model::{
        change::{State, TargetState},
        id::{AccountId, ChangeId, IdentityId, KeyId, SourceId, sortable},
        source,
        time::Micros,
    },
    password::state::Event,
    proof,
    store::{NewChange, Quota, Target, Tx},
};

/// Time after the acceptance in which the same ciphertext gets the same `requestId`; after it, the
/// ciphertext is refused.
pub const RESEND: std::time::Duration = std::time::Duration::from_hours(24);

/// Period over which the changes of an account are counted.
const DAY: std::time::Duration = std::time::Duration::from_hours(24);

/// Base64 as clients send it: the padding with `=` is optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A request to change a password, as the caller sent it.
#[derive(Clone)]
pub struct Ask {
    /// The person whose password is to be changed.
    pub identity_id: IdentityId,
    /// The source on which it is to be changed.
    pub source_id: SourceId,
    /// The account's native identity; optional if the person has only one account on the source.
    pub account_id: Option<String>,
    /// The key that the password was encrypted with.
    pub public_key_id: KeyId,
    /// The ciphertext in base64; white space is ignored.
    pub encrypted_password: String,
    /// The caller's own name for this request (draft-ietf-httpapi-idempotency-key-header).
    pub idempotency_key: Option<String>,
}

/// The answer to an accepted request.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The id of the change, `requestId` on the wire.
    pub id: ChangeId,
    /// The state of the change: at a resend it may have ended already.
    pub state: State,
    /// Whether an earlier request with the same ciphertext was accepted.
    pub is_resend: bool,
    /// The kinds of the sources of the changes that ended because this change superseded them.
    pub superseded: Vec<String>,
}

/// Accepts a change under a new id. The change is durable on return; an error says what is wrong
/// with the request.
pub async fn accept(app: &App, caller: &Caller, ask: Ask) -> Result<Accepted, Error> {
    accept_as(app, caller, new_id(app), ask).await
}

/// Returns a new, unique id for a change. Ids sort by the time at which they were made.
pub fn new_id(app: &App) -> ChangeId {
    ChangeId(sortable(app.clock.now()))
}

/// Accepts a change under the given id; otherwise as `accept`.
pub async fn accept_as(
    app: &App,
    caller: &Caller,
    id: ChangeId,
    ask: Ask,
) -> Result<Accepted, Error> {
    caller.may_change_password_of(&ask.identity_id)?;
    let most = app.config.changes.self_change_requires_recent_auth;
    caller.require_recent_sign_in(most, app.clock.now())?;
    let ciphertext = decode(&ask.encrypted_password);
    let (in_transaction, caller) = (app.clone(), caller.clone());
    #[cfg(rekey_proof)]
    if proof::asks_for("early_202") {
        let transaction = move |tx: &mut Tx<'_>| {
            decide(&in_transaction, tx, &caller, &id, &ask, ciphertext.as_deref())?
        };
        return super::early::early(&app.store, transaction).await;
    }
    let answer = app
        .store
        .write(move |tx| decide(&in_transaction, tx, &caller, &id, &ask, ciphertext.as_deref()))
        .await?;
    proof::crash_at("accept.committed");
    if answer.as_ref().is_ok_and(|accepted| accepted.state == State::InProgress) {
        app.wake.notify_one();
    }
    answer
}

/// Decides on the request inside one transaction. A refusal is the inner `Err`: the transaction
/// still commits, which keeps the audit row of a replay. The outer `Err` rolls it back.
fn decide(
    app: &App,
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &ChangeId,
    ask: &Ask,
    ciphertext: Option<&[u8]>,
) -> Result<Result<Accepted, Error>, Error> {
    let refuse = |code, text: String| Ok(Err(Error::bad(code, text)));
    let grounds = tx.accept_context(
        &ask.source_id,
        &ask.identity_id,
        ask.account_id.as_deref(),
        &ask.public_key_id,
    )?;
    // For a caller without API authority, a source without an account of the person does not exist.
    let may_know = |account: bool| account || caller.is_api_authority();
    let ground = grounds.first().filter(|ground| may_know(ground.account_id.is_some()));
    let Some(ground) = ground else {
        let unknown = if caller.is_api_authority() { NO_SOURCE } else { NO_ACCOUNT };
        return refuse(BadRequest::Referenced, unknown.into());
    };
    let source = &ground.source;
    if !source::has_password(&source.name, &source.features.0) {
        return refuse(
            BadRequest::IllegalValue,
            format!(
                "the source {} does not offer password changes: add PASSWORD to its features",
                source.name
            ),
        );
    }
    let Some(named) = &ground.account_id else {
        return refuse(BadRequest::Referenced, NO_ACCOUNT.into());
    };
    if grounds.len() > 1 {
        return refuse(
            BadRequest::Missing,
            "accountId is missing and the identity has several accounts on this source: name one"
                .into(),
        );
    }
    let now = tx.now()?;
    let Some(spki) = &ground.spki else {
        return refuse(
            BadRequest::IllegalValue,
            "publicKeyId is not a key of this source: call query-password-info again".into(),
        );
    };
    if ground.accept_until.is_some_and(|until| until < now) {
        return refuse(
            BadRequest::IllegalValue,
            "publicKeyId has expired: call query-password-info again".into(),
        );
    }
    let Some(ciphertext) = ciphertext else {
        return refuse(
            BadRequest::IllegalValue,
            "encryptedPassword is not base64: send the output of base64, with or without line breaks".into(),
        );
    };
    if let Err(fault) = app.keys.public(&ask.public_key_id, spki)?.check(ciphertext) {
        return refuse(BadRequest::IllegalValue, in_words(fault));
    }

    if let Some(name) = &ask.idempotency_key {
        let digest = digest_for(&sha256(ciphertext), named);
        if !tx.claim_idempotency_key(caller.principal(), name, &digest)? {
            return Ok(Err(Error::Unprocessable(
                "this Idempotency-Key came with another body before: use a new one".into(),
            )));
        }
    }

    let targets = tx.lock_targets(named, &ask.source_id, &ask.identity_id)?;
    if !targets.iter().any(|target| target.account_id == *named) {
        // The account was removed, or given to another person, while this transaction waited for
        // the lock.
        return refuse(BadRequest::Referenced, NO_ACCOUNT.into());
    }
    let change = NewChange {
        id: id.clone(),
        digest: sha256(ciphertext).to_vec(),
        caller: caller.principal().to_owned(),
        identity_id: ask.identity_id.clone(),
        source_id: ask.source_id.clone(),
        account_id: named.clone(),
        key_id: ask.public_key_id.clone(),
        created: now,
        deadline: now.plus(source::deadline(source.deadline, app.config.changes.deadline)),
        quota: quota(app, now),
    };
    enter(app, tx, caller, change, ciphertext, &targets)
}

/// Gives the change its place in the order of acceptance, unless its ciphertext was accepted
/// before.
fn enter(
    app: &App,
    tx: &mut Tx<'_>,
    caller: &Caller,
    mut change: NewChange,
    ciphertext: &[u8],
    targets: &[Target],
) -> Result<Result<Accepted, Error>, Error> {
    let payload = app.sealer.seal(Purpose::PasswordChange, &change.bound_to(), ciphertext)?;
    let mut seq = tx.enter_change(&change, &payload, targets)?;
    if seq.is_none() {
        let Some(known) = tx.change_with_digest(&change.digest)? else {
            return Ok(Err(exceeded(&change)));
        };
        if known.caller != change.caller || known.identity_id != change.identity_id {
            return replayed(tx, caller, &known.id);
        }
        if known.account_id == change.account_id {
            return Ok(resent(known, change.created));
        }
        // The same caller may send one ciphertext for several accounts of a source: each further
        // account gets a digest of its own.
        change.digest = digest_for(&change.digest, &change.account_id);
        seq = tx.enter_change(&change, &payload, targets)?;
        if seq.is_none() {
            let Some(known) = tx.change_with_digest(&change.digest)? else {
                return Ok(Err(exceeded(&change)));
            };
            return Ok(resent(known, change.created));
        }
    }
    let Some(seq) = seq else { return Err(Error::Internal("no place in the order".into())) };
    proof::crash_at("accept.drawn");
    let mut superseded = Vec::new();
    for target in targets {
        let (state, _) = TargetState::Queued.next(Event::NewerAccepted)?;
        superseded.extend(tx.supersede_older(&target.account_id, seq, &change.id, state)?);
    }
    tx.audit(crate::store::Audit {
        actor: caller.principal(),
        action: "PasswordsRequestStart",
        object: change.id.as_str(),
        detail: json!({
            "identityId": change.identity_id,
            "sourceId": change.source_id,
            "accounts": targets.iter().map(|target| &target.account_id).collect::<Vec<_>>(),
            "clientId": caller.client_id,
            "publicKeyId": change.key_id,
        }),
    })?;
    Ok(Ok(Accepted { id: change.id, state: State::InProgress, is_resend: false, superseded }))
}

/// Returns how many changes an account may have within a day; `None` without a limit.
fn quota(app: &App, now: Micros) -> Option<Quota> {
    let most = i64::from(app.config.limits.changes_per_account_per_day);
    (most > 0).then(|| Quota { most, since: now.minus(DAY) })
}

fn exceeded(change: &NewChange) -> Error {
    let most = change.quota.map_or(0, |quota| quota.most);
    Error::bad(
        BadRequest::Limit,
        format!(
            "this account has had {most} password changes within 24 hours, which is the most allowed: wait, or ask the operator to raise limits.changes_per_account_per_day"
        ),
    )
}

fn resent(known: crate::store::KnownChange, now: Micros) -> Result<Accepted, Error> {
    if known.created.plus(RESEND) < now {
        return Err(Error::bad(BadRequest::IllegalValue, ALREADY_USED));
    }
    let (id, state) = (known.id, known.state);
    Ok(Accepted { id, state, is_resend: true, superseded: Vec::new() })
}

fn replayed(
    tx: &mut Tx<'_>,
    caller: &Caller,
    known: &ChangeId,
) -> Result<Result<Accepted, Error>, Error> {
    let replay = crate::store::Audit {
        actor: caller.principal(),
        action: "PASSWORD_REPLAY_REFUSED",
        object: known.as_str(),
        detail: json!({ "clientId": caller.client_id }),
    };
    tx.audit_failure(replay, "the same ciphertext came from another caller, or for someone else")?;
    Ok(Err(Error::bad(BadRequest::IllegalValue, ALREADY_USED)))
}

const NO_ACCOUNT: &str = "the identity has no such account on this source: take identityId, accountId and sourceId from query-password-info";
const NO_SOURCE: &str = "sourceId names no source: take it from query-password-info";
const ALREADY_USED: &str = "encryptedPassword was already used: encrypt the password again";

/// Decodes base64 after removing all white space, since the `base64` tool wraps its lines.
fn decode(text: &str) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(dense).ok()
}

fn digest_for(digest: &[u8], account: &AccountId) -> Vec<u8> {
    sha256(&[digest, account.as_str().as_bytes()].concat()).to_vec()
}

fn in_words(fault: CiphertextFault) -> String {
    match fault {
        CiphertextFault::WrongLength { expected, actual } => format!(
            "encryptedPassword decodes to {actual} bytes where this key makes {expected}: encrypt with the key of publicKeyId, then base64 once"
        ),
        CiphertextFault::OutOfRange => {
            "encryptedPassword is not a ciphertext of this key: encrypt with the key of publicKeyId"
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_may_be_wrapped_and_unpadded() {
        for text in ["aGVsbG8=", "aGVs\nbG8=", "aGVs\r\nbG8", " aGVsbG8 \t", "aGVsbG8=\n"] {
            assert_eq!(decode(text).unwrap(), b"hello");
        }
        assert!(decode("aGVs*bG8=").is_none());
    }
}
