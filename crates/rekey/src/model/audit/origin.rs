//! The origin of an audited action: a request or a command.

use std::{
    future::Future,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use serde::Serialize;

use super::Address;
use crate::model::id::ClientId;

tokio::task_local! {
    /// The origin of the actions of this task.
    static ORIGIN: Arc<Origin>;
}

/// The maximum stored length of a `User-Agent`, in characters.
const LONGEST: usize = 200;

/// The origin of an action, as the audit trail records it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The request's tracking id.
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_id: Option<String>,
    /// The peer address of its connection; a proxy's, if there is one in between.
    #[serde(skip)]
    ip: Option<IpAddr>,
    /// The request's `User-Agent`.
    #[serde(skip)]
    user_agent: Option<String>,
    /// The client that the request's credential belongs to, once it is known.
    #[serde(skip_serializing_if = "is_unknown", serialize_with = "known")]
    client_id: OnceLock<ClientId>,
    /// The command that was run on the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'static str>,
    /// The id of the user who ran the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
}

impl Origin {
    /// The origin of a request.
    pub fn of_request(tracking_id: String, ip: Option<IpAddr>, user_agent: Option<&str>) -> Self {
        let user_agent = user_agent.map(|text| text.chars().take(LONGEST).collect());
        Self { tracking_id: Some(tracking_id), ip, user_agent, ..Self::default() }
    }

    /// The origin of a command, run by the current user.
    pub fn of_command(name: &'static str) -> Self {
        let uid = Some(rustix::process::getuid().as_raw());
        Self { command: Some(name), uid, ..Self::default() }
    }

    /// The origin of the current task, if it has one.
    pub fn here() -> Option<Arc<Self>> {
        ORIGIN.try_with(Clone::clone).ok()
    }

    /// Runs `work` with this origin.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        ORIGIN.scope(Arc::new(self), work)
    }

    /// Runs `work` with the origin of the current task, for a `work` that another task will poll.
    pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
        let origin = Self::here();
        async move {
            match origin {
                Some(origin) => ORIGIN.scope(origin, work).await,
                None => work.await,
            }
        }
    }

    /// The tracking id of the current request; empty outside of one.
    pub fn tracking_id() -> String {
        ORIGIN.try_with(|origin| origin.tracking_id.clone()).ok().flatten().unwrap_or_default()
    }

    /// Sets the client of the current request, once its credential is known.
    pub fn set_client(id: &ClientId) {
        let _ = ORIGIN.try_with(|origin| origin.client_id.set(id.clone()));
    }

    /// The address of `subject`; none for a command.
    pub fn address(&self, subject: &str) -> Option<Address> {
        let (ip, user_agent) = (self.ip, self.user_agent.clone());
        (ip.is_some() || user_agent.is_some()).then(|| Address {
            subject: subject.to_owned(),
            ip,
            user_agent,
        })
    }

    /// The origin as the row stores it: with the commitment to the address instead of the address.
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
