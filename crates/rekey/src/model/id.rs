//! Identifiers: opaque on the wire, 32 lower-case hex digits if rekey creates them.

use serde::{Deserialize, Serialize};

use crate::model::column::text_value;

/// Declares one newtype for each kind of object, so that ids of two kinds cannot be confused.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// A new random identifier.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "an id is never a default")]
            pub fn new() -> Self {
                Self(uuid::Uuid::new_v4().simple().to_string())
            }

            /// The identifier as text.
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
    /// The id of an account on a source.
    AccountId,
    /// The id of a password change: the wire's `requestId`.
    ChangeId,
    /// The id of a personal access token or an API client: OAuth's `client_id`.
    ClientId,
    /// The id of a person.
    IdentityId,
    /// The id of a queued job: the wire's task id.
    JobId,
    /// The id of a key pair: the wire's `publicKeyId`, base64 of a UUID's text.
    KeyId,
    /// The id of a password policy.
    PolicyId,
    /// The id of a connected system.
    SourceId,
    /// The id of a sync group.
    SyncGroupId,
}

impl ChangeId {
    /// The time of creation, to a millisecond: the first 48 bits of a `UUIDv7`.
    pub fn made(&self) -> Option<crate::model::time::Micros> {
        let millis = i64::from_str_radix(self.0.get(..12)?, 16).ok()?;
        Some(crate::model::time::Micros(millis.checked_mul(1000)?))
    }
}

/// An identifier that sorts by its time of creation, for requests and audit rows: 32 hex digits of
/// a `UUIDv7`.
pub fn sortable(now: crate::model::time::Micros) -> String {
    let seconds = u64::try_from(now.seconds()).unwrap_or(0);
    let nanos = u32::try_from(now.0.rem_euclid(1_000_000) * 1000).unwrap_or(0);
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
    uuid::Uuid::new_v7(stamp).simple().to_string()
}
