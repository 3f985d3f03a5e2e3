//! Whence a deed came: the request at hand, or the command.

use std::{
    future::Future,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use serde::Serialize;

use super::Address;
use crate::model::id::ClientId;

tokio::task_local! {
    /// The origin of what this task does.
    static ORIGIN: Arc<Origin>;
}

/// The longest `User-Agent` that is kept, in characters.
const LONGEST: usize = 200;

/// Who asked from where, as the audit trail keeps it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The request's tracking id.
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_id: Option<String>,
    /// The other end of its connection: a proxy's, if one stands between.
    #[serde(skip)]
    ip: Option<IpAddr>,
    /// What the client calls itself, and its version.
    #[serde(skip)]
    user_agent: Option<String>,
    /// The credential the request came with, once it is known.
    #[serde(skip_serializing_if = "is_unknown", serialize_with = "known")]
    client_id: OnceLock<ClientId>,
    /// The command that was run at the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'static str>,
    /// By which user of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
}

impl Origin {
    /// A request.
    pub fn of_request(tracking_id: String, ip: Option<IpAddr>, user_agent: Option<&str>) -> Self {
        let user_agent = user_agent.map(|text| text.chars().take(LONGEST).collect());
        Self { tracking_id: Some(tracking_id), ip, user_agent, ..Self::default() }
    }

    /// A command.
    pub fn of_command(name: &'static str) -> Self {
        let uid = Some(rustix::process::getuid().as_raw());
        Self { command: Some(name), uid, ..Self::default() }
    }

    /// The origin of what runs here.
    pub fn here() -> Option<Arc<Self>> {
        ORIGIN.try_with(Clone::clone).ok()
    }

    /// Is the origin of everything that `work` does.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        ORIGIN.scope(Arc::new(self), work)
    }

    /// Keeps the origin of what runs here for `work`, which another task does.
    pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
        let origin = Self::here();
        async move {
            match origin {
                Some(origin) => ORIGIN.scope(origin, work).await,
                None => work.await,
            }
        }
    }

    /// The tracking id of the request at hand; empty if there is none.
    pub fn tracking_id() -> String {
        ORIGIN.try_with(|origin| origin.tracking_id.clone()).ok().flatten().unwrap_or_default()
    }

    /// The credential of the request at hand is known now.
    pub fn set_client(id: &ClientId) {
        let _ = ORIGIN.try_with(|origin| origin.client_id.set(id.clone()));
    }

    /// Where `subject` comes from; none for a command.
    pub fn address(&self, subject: &str) -> Option<Address> {
        let (ip, user_agent) = (self.ip, self.user_agent.clone());
        (ip.is_some() || user_agent.is_some()).then(|| Address {
            subject: subject.to_owned(),
            ip,
            user_agent,
        })
    }

    /// As the row keeps it: with a commitment to the address, not the address.
    pub fn json(&self, personal: Option<&str>) -> String {
        #[derive(Serialize)]
        struct Kept<'a> {
            #[serde(flatten)]
            origin: &'a Origin,
            #[serde(skip_serializing_if = "Option::is_none")]
            personal: Option<&'a str>,
        }
        serde_json::to_string(&Kept { origin: self, personal }).unwrap_or_default()
    }
}

fn is_unknown(client: &OnceLock<ClientId>) -> bool {
    client.get().is_none()
}

fn known<S: serde::Serializer>(client: &OnceLock<ClientId>, to: S) -> Result<S::Ok, S::Error> {
    client.get().serialize(to)
}
