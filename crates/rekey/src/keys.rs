//! The key pairs that clients encrypt passwords with: one for each source and padding.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use quick_cache::sync::Cache;
use rekey_vault::{Padding, PrivateKey, PublicKey, Purpose, Sealer};

use crate::{
    Error,
    config::KeySettings,
    model::{
        audit::ACTOR,
        id::{KeyId, SourceId},
        source::Source,
        source_key::{KeyPadding, SourceKey},
        time::{Clock, Micros},
    },
    store::{Audit, Store, Tx},
};

/// Creates, opens and rotates the keys of sources, and caches them parsed: parsing a key costs more
/// than using it.
pub struct Keys {
    store: Store,
    sealer: Sealer,
    clock: Clock,
    settings: KeySettings,
    private: Cache<KeyId, Arc<PrivateKey>>,
    public: Cache<KeyId, Arc<PublicKey>>,
}

impl Keys {
    /// Starts with empty caches.
    pub fn new(store: Store, sealer: Sealer, clock: Clock, settings: KeySettings) -> Self {
        let (private, public) = (Cache::new(1024), Cache::new(1024));
        Self { store, sealer, clock, settings, private, public }
    }

    /// The public key with this id, parsed from `spki`.
    pub fn public(&self, id: &KeyId, spki: &[u8]) -> Result<Arc<PublicKey>, Error> {
        self.public.get_or_insert_with(id, || Ok(Arc::new(PublicKey::from_spki(spki)?)))
    }

    /// The private key, opened and parsed.
    pub fn open(&self, key: &SourceKey) -> Result<Arc<PrivateKey>, Error> {
        self.private.get_or_insert_with(&key.id, || {
            let pkcs8 =
                self.sealer.open(Purpose::SourceKey, &row(&key.id, &key.source_id), &key.sealed)?;
            Ok(Arc::new(PrivateKey::from_pkcs8(key.padding.0, &pkcs8)?))
        })
    }
}

/// Rotates the keys that have been in use for longer than the setting `keys.lifetime`.
pub async fn rotate_old(keys: &Keys) -> Result<(), Error> {
    let before = keys.clock.now().minus(keys.settings.lifetime);
    let old: Vec<SourceId> =
        keys.store.read(move |tx: &mut Tx<'_>| tx.sources_with_old_keys(before)).await?;
    for source in old {
        let new = generate_both(keys, &source).await?;
        let grace = keys.settings.grace;
        keys.store
            .write(move |tx| {
                // Another node may have rotated them first.
                if tx.sources_with_old_keys(before)?.contains(&source) {
                    rotate(tx, &source, &new, grace)?;
                    audit_rotation(tx, &source, &new)?;
                }
                Ok::<_, Error>(())
            })
            .await?;
    }
    Ok(())
}

/// Records in the audit trail that a source got new keys.
pub fn audit_rotation(tx: &mut Tx<'_>, source: &SourceId, new: &[SourceKey]) -> Result<(), Error> {
    let ids: Vec<_> = new.iter().map(|key| &key.id).collect();
    let detail = serde_json::json!({ "publicKeyIds": ids });
    let (action, object) = ("SOURCE_KEYS_ROTATED", source.as_str());
    Ok(tx.audit(Audit { actor: ACTOR, action, object, detail })?)
}

/// Destroys the keys that are no longer accepted and that no unfinished change needs. Returns their
/// number.
pub async fn remove_ended(keys: &Keys) -> Result<usize, Error> {
    let ended: Vec<KeyId> = keys
        .store
        .write(|tx| {
            let now = tx.now()?;
            let ended = tx.remove_ended_source_keys(now)?;
            for id in &ended {
                let (action, object, detail) =
                    ("SOURCE_KEY_DESTROYED", id.as_str(), serde_json::json!({}));
                tx.audit(Audit { actor: ACTOR, action, object, detail })?;
            }
            Ok::<_, Error>(ended)
        })
        .await?;
    keys.store.metrics().keys("destroyed", ended.len());
    for id in &ended {
        keys.private.remove(id);
        keys.public.remove(id);
    }
    Ok(ended.len())
}

/// The associated data of a sealed key: its id and its source's.
fn row(id: &KeyId, source: &SourceId) -> String {
    format!("{id}|{source}")
}

/// Generates a key pair for a source. This takes about 0.1 s of processor time: not inside a
/// transaction.
pub fn generate(
    sealer: &Sealer,
    source: &SourceId,
    padding: Padding,
    now: Micros,
) -> Result<SourceKey, Error> {
    // As in ISC, the id is base64 of the text of a random UUID.
    let id = KeyId(BASE64_STANDARD.encode(uuid::Uuid::new_v4().to_string()));
    let pair = PrivateKey::generate(padding)?;
    let private = sealer.seal(Purpose::SourceKey, &row(&id, source), &pair.to_pkcs8()?)?;
    Ok(SourceKey {
        id,
        source_id: source.clone(),
        padding: KeyPadding(padding),
        spki: pair.public_spki()?,
        sealed: private,
        created: now,
        accept_until: None,
    })
}

/// The key pairs of a new source; none if passwords cannot be changed on it.
pub async fn generate_needed(keys: &Keys, source: &Source) -> Result<Vec<SourceKey>, Error> {
    if source.has_password() { generate_both(keys, &source.id).await } else { Ok(Vec::new()) }
}

/// Generates a key pair for each padding, for a new or rotated source.
pub async fn generate_both(keys: &Keys, source: &SourceId) -> Result<Vec<SourceKey>, Error> {
    let (sealer, source, now) = (keys.sealer.clone(), source.clone(), keys.clock.now());
    keys.store.metrics().keys("made", 2);
    tokio::task::spawn_blocking(move || {
        [Padding::Pkcs1v15, Padding::OaepSha256]
            .into_iter()
            .map(|padding| generate(&sealer, &source, padding, now))
            .collect()
    })
    .await
    .map_err(|e| Error::Internal(e.to_string()))?
}

/// Replaces the keys of a source, inside the caller's transaction. The old keys are accepted until
/// `grace` has passed; with a grace of zero they are revoked at once.
pub fn rotate(
    tx: &mut Tx<'_>,
    source: &SourceId,
    new: &[SourceKey],
    grace: std::time::Duration,
) -> Result<(), Error> {
    let until = if grace.is_zero() { SourceKey::REVOKED } else { tx.now()?.plus(grace) };
    tx.retire_source_keys(source, until)?;
    for key in new {
        tx.insert_source_key(key)?;
    }
    Ok(())
}
