//! The built-in source: its passwords are stored in rekey's own store, as Argon2id verifiers.
//!
//! Its accounts are the people that rekey knows, under their alias. People sign in to rekey with
//! the built-in source named `IdentityNow`.

use std::time::Instant;

use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use rekey_connectors::{
    Account, Attribute, Change, Connector, Egress, Entry, Fault, FaultKind, Feature, Kind, Listed,
    Observed, Outcome, Stamp, Verdict, Verification,
};
use rekey_vault::Password;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use zeroize::Zeroizing;

use crate::{
    model::{id::SourceId, source::BUILT_IN},
    store::{self, Store, Tx},
};

/// The entry of this kind, beside those of the crate `rekey_connectors`.
pub const KIND: Entry = Entry::of::<BuiltIn>();

/// The parameters of Argon2id: 19 MiB, 2 passes, 1 lane (OWASP's first choice).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Most hashes at once for changes: each takes 19 MiB. Sign-ins have a limit of their own, so that
/// a flood of them does not delay changes.
static CHANGES: Semaphore = Semaphore::const_new(2);

/// One built-in source.
pub struct BuiltIn {
    store: Store,
    source: SourceId,
}

impl BuiltIn {
    /// Opens the built-in source `source` of `store`.
    pub fn new(store: Store, source: SourceId) -> Self {
        Self { store, source }
    }

    /// Compares `password` with the stored one, and returns the result together with `turn`. The
    /// work is the same whether or not the account exists; reading a row that exists still takes
    /// some microseconds longer.
    pub async fn compare<T: Send + 'static>(
        &self,
        native_identity: &str,
        password: &Password,
        turn: T,
    ) -> Result<(bool, T), Fault> {
        let stored = self.stored(native_identity).await?;
        let (verifier, exists) = match &stored {
            Some((verifier, _)) => (verifier.clone(), true),
            // A missing account gets a fixed salt and no hash, so that the same work is done.
            None => (format!("{}$", BASE64_STANDARD_NO_PAD.encode([0; 16])), false),
        };
        let salt = salt_of(&verifier).unwrap_or_default();
        let (made, turn) = hash_in(password, salt, turn).await?;
        Ok((bool::from(made.as_bytes().ct_eq(verifier.as_bytes())) && exists, turn))
    }

    async fn stored(&self, native_identity: &str) -> Result<Option<(String, i64)>, Fault> {
        let (source, native) = (self.source.clone(), native_identity.to_owned());
        self.store
            .read(move |tx: &mut Tx<'_>| tx.builtin_password(&source, &native))
            .await
            .map_err(unreachable)
    }
}

impl Kind for BuiltIn {
    const NAME: &'static str = BUILT_IN;
    const DISPLAY_NAME: &'static str = "IdentityNow";
    const FEATURES: &'static [Feature] = &[Feature::Authenticate, Feature::Password];
    const ATTRIBUTES: &'static [Attribute] = &[];
    const STABLE_ID: bool = false;
    const IGNORES_CASE: bool = false;
    const VERIFICATION: Verification = Verification::Exact;
    type Config = Map<String, Value>;

    fn open(_: Self::Config, _: &Egress) -> Result<Self, Fault> {
        Err(Fault::new(FaultKind::Unsupported, "the built-in source is opened with its store"))
    }
}

#[async_trait]
impl Connector for BuiltIn {
    async fn test(&self) -> Result<(), Fault> {
        self.stored("").await.map(|_| ())
    }

    async fn accounts(&self, to: mpsc::Sender<Listed>) -> Result<(), Fault> {
        let people =
            self.store.read(|tx: &mut Tx<'_>| tx.identities()).await.map_err(unreachable)?;
        for person in people {
            let mut attributes = Map::new();
            attributes.insert("alias".into(), person.alias.clone().into());
            let listed = Listed {
                native_identity: person.alias,
                stable_id: None,
                name: person.name,
                attributes,
                disabled: !person.enabled,
                locked: false,
            };
            if to.send(listed).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn observe(&self, account: &Account<'_>) -> Result<Observed, Fault> {
        let stored = self.stored(account.native_identity).await?;
        let changes = stored.map_or(0, |(_, changes)| changes);
        Ok(Observed { stamp: Stamp(changes.to_string()), ..Observed::default() })
    }

    async fn apply(&self, change: &Change<'_>, observed: &Stamp, deadline: Instant) -> Outcome {
        let verifier = match hash(change.password, change.salt).await {
            Ok(verifier) => verifier,
            Err(fault) => return Outcome::NotApplied(fault),
        };
        if Instant::now() >= deadline {
            return Outcome::NotApplied(Fault::new(FaultKind::Unreachable, "rekey was too slow"));
        }
        let (source, native) = (self.source.clone(), change.account.native_identity.to_owned());
        let expected = observed.0.parse().unwrap_or(0);
        let done = self
            .store
            .write(move |tx| tx.set_builtin_password(&source, &native, &verifier, expected))
            .await;
        match done {
            Ok(true) => Outcome::Applied,
            Ok(false) => Outcome::NotApplied(Fault::new(
                FaultKind::Conflict,
                "the password was changed at the same moment",
            )),
            Err(error) => Outcome::Unknown(unreachable(error)),
        }
    }

    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        let account = change.account.native_identity;
        let (yes, _) = self.compare(account, change.password, turn().await?).await?;
        Ok(if yes { Verdict::Yes } else { Verdict::No })
    }
}

/// Waits for the right to compute one hash for a change.
async fn turn() -> Result<SemaphorePermit<'static>, Fault> {
    CHANGES.acquire().await.map_err(|_| stopping())
}

/// Returns the verifier `SALT$HASH`, both in base64 without padding. The hash is computed off the
/// threads that serve requests.
pub async fn hash(password: &Password, salt: [u8; 16]) -> Result<String, Fault> {
    Ok(hash_in(password, salt, turn().await?).await?.0)
}

/// Computes a hash. `turn` moves into the task, so that the limit also counts a hash whose client
/// has gone away.
async fn hash_in<T: Send + 'static>(
    password: &Password,
    salt: [u8; 16],
    turn: T,
) -> Result<(String, T), Fault> {
    let clear = Zeroizing::new(password.expose().to_owned());
    tokio::task::spawn_blocking(move || {
        let broken = |_| Fault::new(FaultKind::Misconfigured, "Argon2id failed");
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(broken)?;
        let mut made = Zeroizing::new([0_u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(clear.as_bytes(), &salt, made.as_mut())
            .map_err(broken)?;
        let (salt, made) =
            (BASE64_STANDARD_NO_PAD.encode(salt), BASE64_STANDARD_NO_PAD.encode(made.as_ref()));
        Ok((format!("{salt}${made}"), turn))
    })
    .await
    .map_err(|_| stopping())?
}

fn stopping() -> Fault {
    Fault::new(FaultKind::Unreachable, "rekey is stopping")
}

fn salt_of(verifier: &str) -> Option<[u8; 16]> {
    let (salt, _) = verifier.split_once('$')?;
    BASE64_STANDARD_NO_PAD.decode(salt).ok()?.try_into().ok()
}

fn unreachable(error: store::Error) -> Fault {
    Fault::new(FaultKind::Unreachable, "rekey's own store cannot be reached").caused_by(error)
}
