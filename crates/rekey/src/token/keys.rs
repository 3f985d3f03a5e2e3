//! The signing keys of access tokens: P-256, created at the first start, sealed in the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::ErrorKind,
};
use rekey_vault::{Purpose, Sealer};

use super::{Claims, invalid};
use crate::{
    Error,
    model::{
        audit::ACTOR,
        time::{Clock, Micros},
    },
    store::{Audit, SigningKey, Store, Tx},
};

/// The setting with the id of the key that signs new tokens.
const CURRENT: &str = "signing_key";
/// The least interval at which tokens with an unknown `kid` make this node read the store again.
const REREAD: Duration = Duration::from_secs(5);

/// The signing keys of this installation.
pub(super) struct Keys {
    store: Store,
    sealer: Sealer,
    clock: Clock,
    set: RwLock<Arc<Set>>,
    read: Mutex<Micros>,
}

/// The keys at the time when they were read.
struct Set {
    kid: String,
    signing: EncodingKey,
    verifying: HashMap<String, DecodingKey>,
}

impl Keys {
    /// Reads the keys and creates the first one. If several nodes start at once, they agree on one
    /// key: only the node whose key id the setting takes stores its key.
    pub(super) async fn load(store: Store, sealer: Sealer, clock: Clock) -> Result<Self, Error> {
        let kid = uuid::Uuid::new_v4().simple().to_string();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(broken)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(broken)?;
        let hidden = sealer.seal(Purpose::SigningKey, &kid, pkcs8.as_ref())?;
        store
            .write(move |tx: &mut Tx<'_>| -> Result<(), Error> {
                if tx.settle_setting(CURRENT, &kid)? == kid {
                    tx.insert_signing_key(&kid, &hidden)?;
                    let (action, object, detail) =
                        ("SIGNING_KEY_CREATED", kid.as_str(), serde_json::json!({}));
                    tx.audit(Audit { actor: ACTOR, action, object, detail })?;
                }
                Ok(())
            })
            .await?;
        let set = RwLock::new(Arc::new(Set::read(&store, &sealer).await?));
        let read = Mutex::new(clock.now());
        Ok(Self { store, sealer, clock, set, read })
    }

    /// Signs claims as a compact JWS, whose header has `typ`, `alg` and `kid`.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let set = self.set();
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(set.kid.clone());
        encode(&header, claims, &set.signing).map_err(|error| Error::Internal(error.to_string()))
    }

    /// Returns the claims if a key of this installation signed the token. The expiry is not
    /// checked.
    ///
    /// Algorithm and keys are always rekey's own, never the header's (RFC 8725, section 3.1):
    /// `jku`, `jwk` and `x5u` are ignored.
    pub(super) async fn verify(&self, token: &str) -> Result<Claims, Error> {
        let header = decode_header(token).map_err(|error| refused(&error))?;
        let kid = header.kid.ok_or_else(|| invalid("the JWT names no key"))?;
        let mut set = self.set();
        if !set.verifying.contains_key(&kid) && self.may_reread() {
            set = Arc::new(Set::read(&self.store, &self.sealer).await?);
            *self.set.write().unwrap_or_else(PoisonError::into_inner) = set.clone();
        }
        let key = set.verifying.get(&kid).ok_or_else(|| invalid("the JWT's key is unknown"))?;
        let mut rules = Validation::new(Algorithm::ES256);
        // The caller checks the expiry with the service's own clock.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let token = decode::<Claims>(token, key, &rules).map_err(|error| refused(&error))?;
        Ok(token.claims)
    }

    fn set(&self) -> Arc<Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn may_reread(&self) -> bool {
        let now = self.clock.now();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not block a reread.
        let may = now >= read.plus(REREAD) || now < *read;
        if may {
            *read = now;
        }
        may
    }
}

impl Set {
    async fn read(store: &Store, sealer: &Sealer) -> Result<Self, Error> {
        let look = |tx: &mut Tx<'_>| -> Result<_, Error> {
            Ok((tx.setting(CURRENT)?.unwrap_or_default(), tx.signing_keys()?))
        };
        let (kid, keys): (String, Vec<SigningKey>) = store.read(look).await?;
        let mut verifying = HashMap::new();
        let mut signing = None;
        for key in keys {
            let pkcs8 = sealer.open(Purpose::SigningKey, &key.id, &key.sealed)?;
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
                .map_err(|_| Error::Setup(format!("the signing key {} cannot be read", key.id)))?;
            if key.id == kid {
                signing = Some(EncodingKey::from_ec_der(&pkcs8));
            }
            verifying.insert(key.id, DecodingKey::from_ec_der(pair.public_key().as_ref()));
        }
        let signing = signing.ok_or_else(|| {
            Error::Setup(format!("the signing key {kid} is not in the store: restore a backup"))
        })?;
        Ok(Self { kid, signing, verifying })
    }
}

/// An error that reveals nothing of the token.
fn refused(error: &jsonwebtoken::errors::Error) -> Error {
    let kind = error.kind();
    invalid(if matches!(kind, ErrorKind::InvalidSignature) {
        "the JWT's signature is not valid"
    } else if matches!(kind, ErrorKind::InvalidAlgorithm) {
        "the JWT's algorithm is not ES256"
    } else {
        "it is not a JWT of this installation"
    })
}

fn broken(_: aws_lc_rs::error::Unspecified) -> Error {
    Error::Internal("AWS-LC made no signing key".into())
}
