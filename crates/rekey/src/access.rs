//! The authenticated caller, and the caller's rights.

use std::time::Duration;

use crate::{
    Error,
    model::{
        id::{ClientId, IdentityId},
        level::Level,
        time::Micros,
    },
};

/// The scope with all rights of the caller's level, except [`ENDPOINT`].
pub const ALL: &str = "sp:scopes:all";
/// The scope that lets an API client set where sources are and whose accounts are on them
/// ([`crate::source::reach`]). No other scope includes it: a client has it only if it was named.
pub const ENDPOINT: &str = "rekey:sources:endpoint";

/// The authenticated caller of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The personal access token or API client that the token was issued to.
    pub client_id: ClientId,
    /// The person the token acts for; none for an API client on its own ("API authority").
    pub identity_id: Option<IdentityId>,
    /// The person's alias, or the client's name: for logs and the audit trail.
    pub name: String,
    /// The person's user levels; empty for an API client.
    pub levels: Vec<Level>,
    /// The token's scopes.
    pub scope: Vec<String>,
    /// When the person signed in, if the token comes from an authorization code.
    pub signed_in: Option<Micros>,
}

/// The requirements of an operation on its caller (docs/contract.md#operations).
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The caller's token needs one of these scopes; none is needed if empty.
    pub scopes: &'static [&'static str],
    /// A person needs one of these levels; none is needed if empty.
    pub levels: &'static [Level],
    /// Whether an API client without a person may call it.
    pub api_client: bool,
}

impl Caller {
    /// The caller's id in the store and the audit trail: the person's for a user token, else the
    /// client's.
    pub fn principal(&self) -> &str {
        self.identity_id.as_ref().map_or(self.client_id.as_str(), IdentityId::as_str)
    }

    /// Whether the caller is an API client on its own, without a person.
    pub fn is_api_authority(&self) -> bool {
        self.identity_id.is_none()
    }

    /// Whether the caller is a person with one of these levels.
    pub fn has_level(&self, levels: &[Level]) -> bool {
        levels.iter().any(|level| self.levels.contains(level))
    }

    /// Whether the caller may set where a source is and whose its accounts are: an organization
    /// administrator, or an API client with the scope [`ENDPOINT`].
    pub fn may_point_sources(&self) -> bool {
        if self.is_api_authority() {
            self.scope.iter().any(|scope| scope == ENDPOINT)
        } else {
            self.has_level(&[Level::OrgAdmin])
        }
    }

    /// Whether the caller may see people other than themselves (docs/contract.md#user-levels).
    pub fn may_see_others(&self) -> bool {
        self.is_api_authority()
            || self.has_level(&[Level::Helpdesk, Level::OrgAdmin, Level::SourceAdmin])
    }

    /// The caller's person id, if they may see only their own sources and what belongs to those (a
    /// sub-administrator); none if they may see all sources.
    pub fn only_own_sources(&self) -> Option<&str> {
        let of_all = [
            Level::OrgAdmin,
            Level::SourceAdmin,
            Level::Helpdesk,
            Level::CertAdmin,
            Level::ReportAdmin,
            Level::RoleAdmin,
        ];
        match &self.identity_id {
            Some(person) if !self.has_level(&of_all) => Some(person.as_str()),
            Some(_) | None => None,
        }
    }

    /// Whether the caller may learn which hosts answer in the network around a source. Other
    /// callers could use sources to scan the network.
    pub fn may_know_endpoints(&self) -> bool {
        self.is_api_authority() || self.has_level(&[Level::OrgAdmin])
    }

    /// Whether the caller is this person.
    pub fn is(&self, identity: &IdentityId) -> bool {
        self.identity_id.as_ref() == Some(identity)
    }

    /// Fails with [`Error::Forbidden`] unless the caller meets the requirements of an operation.
    pub fn require(&self, access: &Access) -> Result<(), Error> {
        if self.is_api_authority() && !access.api_client {
            return Err(Error::Forbidden(
                "this operation needs a user token: a personal access token or an authorization_code token, not an API client's".into(),
            ));
        }
        let scoped = access.scopes.is_empty()
            || self
                .scope
                .iter()
                .any(|scope| scope == ALL || access.scopes.contains(&scope.as_str()));
        if !scoped {
            return Err(Error::Forbidden(format!(
                "the token lacks the scope {}: ask for a token with it",
                access.scopes.join(" or ")
            )));
        }
        if !access.levels.is_empty() && !self.is_api_authority() && !self.has_level(access.levels) {
            return Err(Error::Forbidden(
                "the caller's user level does not allow this operation".into(),
            ));
        }
        Ok(())
    }

    /// Removes the levels that the operation does not name: a level with wide rights in another
    /// operation must not widen the narrower rights that a second level has here.
    pub fn keep_levels(&mut self, access: &Access) {
        if !access.levels.is_empty() {
            self.levels.retain(|level| access.levels.contains(level));
        }
    }

    /// Whether the caller may change this person's password (docs/contract.md#changing-a-password):
    /// people may change their own, API clients anyone's.
    pub fn may_change_password_of(&self, identity: &IdentityId) -> Result<(), Error> {
        if self.is_api_authority() || self.is(identity) {
            return Ok(());
        }
        Err(Error::Forbidden(
            "a user token may change its own identity's passwords only: use the token of an API client (client_credentials) for anyone else's".into(),
        ))
    }

    /// Fails if the sign-in behind this token is longer ago than `most`; zero means no limit.
    /// Personal access tokens and API clients have no sign-in, so they always pass.
    pub fn require_recent_sign_in(&self, most: Duration, now: Micros) -> Result<(), Error> {
        match self.signed_in {
            Some(signed_in) if !most.is_zero() && signed_in.plus(most) < now => {
                Err(Error::Forbidden(format!(
                    "the sign-in behind this token is more than {} s ago, and a password may be changed with a recent one only: sign in again and use the new token",
                    most.as_secs()
                )))
            }
            Some(_) | None => Ok(()),
        }
    }
}
