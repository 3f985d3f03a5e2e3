//! Identifiers. Opaque on the wire; 32 lower-case hex digits where rekey makes them.

use serde::{Deserialize, Serialize};

use crate::model::column::text_value;

/// Declares one newtype per kind of thing, so that two kinds never mix.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// A new identifier, random.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "an id is never a default")]
            pub fn new() -> Self {
                Self(uuid::Uuid::new_v4().simple().to_string())
            }

            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            fn parse(text: &str) -> Option<Self> {
                Some(Self(text.to_owned()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_value!($name);
    )*};
}

ids! {
    /// Names an account on a source.
    AccountId,
    /// Names a password change: the wire's `requestId`.
    ChangeId,
    /// Names a personal access token or an API client: OAuth's `client_id`.
    ClientId,
    /// Names a person.
    IdentityId,
    /// Names a queued job: the wire's task id.
    JobId,
    /// Names a key pair: the wire's `publicKeyId`, base64 of a UUID's text.
    KeyId,
    /// Names a password policy.
    PolicyId,
    /// Names a connected system.
    SourceId,
    /// Names a sync group.
    SyncGroupId,
}

impl ChangeId {
    /// When it was made, to a millisecond: the first 48 bits of a `UUIDv7`.
    pub fn made(&self) -> Option<crate::model::time::Micros> {
        let millis = i64::from_str_radix(self.0.get(..12)?, 16).ok()?;
        Some(crate::model::time::Micros(millis.checked_mul(1000)?))
    }
}

/// An identifier that sorts by time of making, for requests and audit: 32 hex digits of a `UUIDv7`.
pub fn sortable(now: crate::model::time::Micros) -> String {
    let seconds = u64::try_from(now.seconds()).unwrap_or(0);
    let nanos = u32::try_from(now.0.rem_euclid(1_000_000) * 1000).unwrap_or(0);
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
    uuid::Uuid::new_v7(stamp).simple().to_string()
}
