//! Access tokens: JWS of three segments, signed with ES256 (docs/contract.md#access-tokens).
//!
//! A token contains its client, its person and its expiry. Every request reads from the store
//! whether the token is still valid, and its person's levels, so that a revocation takes effect at
//! once.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use quick_cache::sync::Cache;
use rekey_vault::{Purpose, Sealer, random, sha256};
use subtle::ConstantTimeEq;

pub use self::claims::Claims;
pub(crate) use self::claims::DEPLOYMENT;
use self::keys::Keys;
use crate::{
    Error,
    access::Caller,
    audit::{Attempt, Party, Trail, attempted},
    model::{
        client::Client,
        id::{ClientId, IdentityId},
        identity::Identity,
        time::{Clock, Micros},
    },
    store::{Standing, Store, Tx},
};

mod claims;
mod keys;

/// The most verified tokens in the cache, about 1 KB each: verifying a signature costs more than
/// the rest of a request.
const REMEMBERED: usize = 10_000;
/// The settings of this module.
const TENANT: &str = "tenant_id";
const PEPPER: &str = "token_pepper";

/// Signs and verifies access tokens.
pub struct Tokens {
    pepper: hmac::Key,
    tenant_id: String,
    keys: Keys,
    verified: Cache<[u8; 32], Arc<Claims>>,
    store: Store,
    clock: Clock,
    audit: Arc<Trail>,
}

/// The content of a token to be issued.
pub struct Grant<'a> {
    /// The client that gets the token.
    pub client: &'a Client,
    /// The person whom the token speaks for; `None` for an API client.
    pub identity: Option<&'a Identity>,
    /// The scopes.
    pub scope: Vec<String>,
    /// The authorization code that the token is issued for.
    pub code: Option<Code>,
}

/// An authorization code that was exchanged for a token.
pub struct Code {
    /// The code's SHA-256.
    pub digest: [u8; 32],
    /// The time at which the person signed in.
    pub signed_in: Micros,
    /// The number of changes that the person's sign-in password had had at that time.
    pub sign_in_generation: i64,
}

/// The tenant's id: a UUID, created at the first start.
pub async fn tenant_id(store: &Store) -> Result<String, Error> {
    let tenant = uuid::Uuid::new_v4().to_string();
    Ok(store.write(move |tx: &mut Tx<'_>| tx.settle_setting(TENANT, &tenant)).await?)
}

impl Tokens {
    /// Reads the signing keys and the pepper, and creates them at the first start.
    pub async fn load(
        store: Store,
        sealer: &Sealer,
        clock: Clock,
        audit: Arc<Trail>,
        tenant_id: String,
    ) -> Result<Self, Error> {
        let pepper: [u8; 32] = random()?;
        let pepper = BASE64_STANDARD.encode(sealer.seal(Purpose::TokenPepper, PEPPER, &pepper)?);
        let pepper = store.write(move |tx| tx.settle_setting(PEPPER, &pepper)).await?;
        let pepper = BASE64_STANDARD
            .decode(pepper)
            .map_err(|_| Error::Setup(format!("the setting {PEPPER} is not base64")))?;
        let pepper = sealer.open(Purpose::TokenPepper, PEPPER, &pepper)?;
        Ok(Self {
            pepper: hmac::Key::new(hmac::HMAC_SHA256, &pepper),
            tenant_id,
            keys: Keys::load(store.clone(), sealer.clone(), clock.clone()).await?,
            verified: Cache::new(REMEMBERED),
            store,
            clock,
            audit,
        })
    }

    /// The tenant's id: a UUID that never changes.
    pub fn tenant_id(&self) -> &str {
        &self.tenant_id
    }

    /// The stored form of a client's secret: HMAC-SHA-256 under the pepper, bound to the client's
    /// id.
    pub fn secret_digest(&self, client: &ClientId, secret: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.pepper);
        context.update(client.as_str().as_bytes());
        context.update(&[0]);
        context.update(secret.as_bytes());
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        out
    }

    /// Whether this is the client's secret. The check takes the same time whether the secret is
    /// wrong or the client does not exist.
    pub fn is_secret(&self, id: &ClientId, client: Option<&Client>, secret: &str) -> bool {
        let made = self.secret_digest(id, secret);
        let none = [0; 32];
        let kept = client.and_then(|client| client.secret_digest.as_deref());
        bool::from(made.ct_eq(kept.unwrap_or(&none))) && kept.is_some()
    }

    /// Signs a token. It expires after the client's validity, but no later than the client itself.
    pub fn issue(
        &self,
        grant: Grant<'_>,
        issuer: String,
        now: Micros,
    ) -> Result<(String, Claims), Error> {
        let claims = Claims::new(grant, self.tenant_id.clone(), issuer, now);
        Ok((self.keys.sign(&claims)?, claims))
    }

    /// The claims of a token that this installation signed and that has not expired.
    async fn verify(&self, token: &str, now: Micros) -> Result<Arc<Claims>, Error> {
        let digest = sha256(token.as_bytes());
        let claims = if let Some(claims) = self.verified.get(&digest) {
            claims
        } else {
            let claims = Arc::new(self.keys.verify(token).await?);
            if claims.tenant_id != self.tenant_id {
                return Err(invalid("it was issued by another installation"));
            }
            self.verified.insert(digest, claims.clone());
            claims
        };
        if claims.exp <= now.seconds() {
            self.verified.remove(&digest);
            return Err(invalid("JWT is expired"));
        }
        Ok(claims)
    }
}

impl Tokens {
    /// The caller that a token authenticates.
    ///
    /// Fails with [`Error::Unauthenticated`] and the contract's text if the token is invalid,
    /// expired or revoked.
    pub async fn caller(&self, token: &str) -> Result<Caller, Error> {
        let now = self.clock.now();
        let claims = self.verify(token, now).await?;
        let asked = claims.clone();
        let standing: Option<Standing> = self
            .store
            .read_unsynced(move |tx: &mut Tx<'_>| {
                let code = asked.code_digest();
                tx.standing(&asked.client_id, asked.identity_id.as_ref(), code.as_deref())
            })
            .await?;
        let standing = standing
            .ok_or("the client is gone")
            .and_then(|standing| claims.check(&standing, now).map(|()| standing));
        let standing = match standing {
            Ok(standing) => standing,
            Err(why) => {
                // The read above may have seen a commit that is not durable yet. A refusal must not
                // rest on it.
                self.store.durable().await?;
                self.record_dead_token(&claims, why);
                return Err(invalid(why));
            }
        };
        Ok(Caller {
            client_id: claims.client_id.clone(),
            identity_id: claims.identity_id.clone(),
            name: standing.alias.unwrap_or(standing.client_name),
            levels: standing.capabilities.map(|levels| levels.0).unwrap_or_default(),
            scope: claims.scope.clone(),
            signed_in: claims.signed_in(),
        })
    }
}

impl Tokens {
    /// Audits the use of a genuine token that is no longer valid: somebody may have stolen it. A
    /// token that has only expired is not audited.
    fn record_dead_token(&self, claims: &Claims, why: &'static str) {
        let client = claims.client_id.as_str();
        let attempt = Attempt {
            actor: claims.identity_id.as_ref().map_or(client, IdentityId::as_str),
            action: "ACCESS_TOKEN_REFUSED",
            object: client,
            why: Some(why),
            detail: serde_json::json!({}),
            party: Party::Known(client.to_owned()),
        };
        attempted(&self.audit, attempt);
    }
}

/// 256 random bits as 64 lower-case hex digits.
pub(crate) fn random_hex() -> Result<String, Error> {
    Ok(rekey_vault::hex(&random::<32>()?))
}

fn invalid(why: &str) -> Error {
    Error::Unauthenticated(format!("JWT validation failed: {why}"))
}
