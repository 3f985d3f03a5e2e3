//! The entry with which rekey itself signs in, read from the directory: a name has many spellings.

use super::{
    connection::{Broken, Connection},
    dn,
    entry::{Entry, IDS},
    filter::Filter,
    message::{Request, WHO_AM_I},
};
use crate::net::CONNECT;

/// Rekey's own account on a directory.
pub(super) struct Own {
    /// Its name as configured, as returned by "Who am I?", and as spelled in its entry.
    names: Vec<String>,
    /// The directory's id of the entry, if rekey may read it.
    id: Option<String>,
}

impl Own {
    /// Queries the directory on a signed-in connection. Facts that it does not return stay unknown.
    pub(super) async fn ask(connection: &mut Connection, bind_dn: &str) -> Result<Self, Broken> {
        let who = connection.call(CONNECT, Request::extended(WHO_AM_I, None), &[]).await?;
        let name = who.value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
        let name = name.and_then(|name| name.strip_prefix("dn:")).unwrap_or(bind_dn).to_owned();
        let (_, entry) = connection.read(CONNECT, &name, &Filter::any(), &IDS).await?;
        let mut own = Self { names: vec![bind_dn.to_owned(), name], id: None };
        if let Some(entry) = entry {
            own.id = entry.stable_id().map(str::to_owned);
            own.names.push(entry.dn.clone());
        }
        Ok(own)
    }

    /// Whether `entry` is rekey's own. The directory always spells the name of an entry the same
    /// way.
    pub(super) fn is(&self, entry: &Entry) -> bool {
        self.names.iter().any(|name| dn::is_same(name, &entry.dn))
            || self.id.as_deref().is_some_and(|id| entry.stable_id() == Some(id))
    }
}
