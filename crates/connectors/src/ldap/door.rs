//! Connections to one directory: TCP, TLS and the sign-in with rekey's own account.

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::time::timeout;

use super::{
    answer,
    config::{Config, Tls},
    connection::Connection,
    message::Request,
    own::Own,
};
use crate::{
    Egress, Fault, FaultKind,
    net::{CONNECT, dial},
    pool,
};

/// The pool of connections to the directory.
pub(super) type Pool = pool::Pool<Door>;
/// A connection of the pool, for one caller.
pub(super) type Lease = pool::Lease<Door>;

/// Opens connections to the directory.
pub(super) struct Door {
    pub(super) config: Arc<Config>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) egress: Egress,
}

/// A connection that is signed in with rekey's own account.
pub(super) struct SignedIn {
    pub(super) ldap: Connection,
    pub(super) own: Own,
}

impl pool::Door for Door {
    type Connection = SignedIn;
    const BUSY: &'static str = "every connection to the directory was busy for 8 seconds: raise \
         maxConnections or look for a slow directory";

    async fn open(&self) -> Result<SignedIn, Fault> {
        let mut ldap = self.connect().await?;
        let bind = Request::bind(&self.config.bind_dn, self.config.bind_password.expose());
        let answer = ldap.call(CONNECT, bind, &[]).await.map_err(|broken| broken.fault)?;
        match answer.code {
            0 => {
                let own = Own::ask(&mut ldap, &self.config.bind_dn).await;
                Ok(SignedIn { ldap, own: own.map_err(|broken| broken.fault)? })
            }
            // RFC 4511, section 4.2.2 and appendix A: all of these concern rekey's own account.
            32 | 34 | 48 | 49 | 50 => Err(Fault::new(
                FaultKind::Denied,
                format!(
                    "the directory refused rekey's own account ({}): check bindDn and \
                     bindPassword",
                    answer::name(answer.code)
                ),
            )),
            _ => Err(answer::fault(&answer)),
        }
    }

    fn is_closed(connection: &mut SignedIn) -> bool {
        connection.ldap.is_closed()
    }
}

impl Door {
    /// Opens a connection that is not signed in.
    pub(super) async fn connect(&self) -> Result<Connection, Fault> {
        let (host, port) = (&self.config.host, self.config.port());
        let connection = Connection::new(dial(&self.egress, host, port).await?);
        timeout(CONNECT, self.secured(connection)).await.unwrap_or_else(|_| {
            Err(Fault::new(
                FaultKind::Unreachable,
                format!("{host}:{port} did not set up TLS within 5 seconds"),
            ))
        })
    }

    async fn secured(&self, mut connection: Connection) -> Result<Connection, Fault> {
        let Some(tls) = &self.tls else { return Ok(connection) };
        if self.config.tls == Tls::Upgraded {
            let answer = connection.start_tls(CONNECT).await.map_err(|broken| broken.fault)?;
            if answer.code != 0 {
                return Err(answer::fault(&answer));
            }
        }
        connection.secure(&self.config.host, tls).await
    }
}
