//! Connections to one directory: TCP, TLS, and the sign-in with rekey's own account.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, StdStream};
use rustls::ClientConfig;
use tokio::{task::AbortHandle, time::timeout};

use super::{
    answer,
    config::{Config, Tls},
};
use crate::{
    Egress, Fault, FaultKind,
    net::{CONNECT, dial},
    pool,
    scrub::plain,
    tls,
};

/// The directory's connections.
pub(super) type Pool = pool::Pool<Door>;
/// One of them, for one caller.
pub(super) type Lease = pool::Lease<Door>;

/// How to reach the directory.
pub(super) struct Door {
    pub(super) config: Arc<Config>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) egress: Egress,
}

/// A connection, and what drives it.
pub(super) struct Connection {
    pub(super) ldap: Ldap,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Whatever is still queued must not be sent after its caller gave up.
        self.driver.abort();
    }
}

/// A connection that stopped working.
#[derive(Debug)]
pub(super) struct Broken {
    /// Whether the request may have left.
    pub(super) is_sent: bool,
    pub(super) fault: Fault,
}

impl pool::Door for Door {
    type Connection = Connection;
    const BUSY: &'static str = "every connection to the directory was busy for 10 seconds: raise \
         maxConnections or look for a slow directory";

    async fn open(&self) -> Result<Connection, Fault> {
        let mut connection = self.connect().await?;
        let bind =
            connection.ldap.simple_bind(&self.config.bind_dn, self.config.bind_password.expose());
        let answer = within(CONNECT, bind).await.map_err(|broken| broken.fault)?;
        match answer.rc {
            0 => Ok(connection),
            // RFC 4511, section 4.2.2 and appendix A: all of these concern rekey's own account.
            32 | 34 | 48 | 49 | 50 => Err(Fault::new(
                FaultKind::Denied,
                format!(
                    "the directory refused rekey's own account ({}): check bindDn and \
                     bindPassword",
                    answer::name(answer.rc)
                ),
            )),
            _ => Err(answer::fault(&answer, &plain(&answer.text))),
        }
    }

    fn is_closed(connection: &mut Connection) -> bool {
        connection.ldap.is_closed()
    }
}

impl Door {
    /// A new connection that is nobody's yet.
    pub(super) async fn connect(&self) -> Result<Connection, Fault> {
        let (host, port) = (&self.config.host, self.config.port());
        let stream = dial(&self.egress, host, port).await?.into_std().map_err(|error| {
            Fault::new(FaultKind::Unreachable, format!("{host}:{port} cannot be reached: {error}"))
        })?;
        let mut settings = LdapConnSettings::new()
            .set_std_stream(StdStream::Tcp(stream))
            .set_starttls(self.config.tls == Tls::Upgraded);
        if let Some(tls) = &self.tls {
            settings = settings.set_config(Arc::clone(tls));
        }
        let scheme = if self.config.tls == Tls::Ldaps { "ldaps" } else { "ldap" };
        let url = format!("{scheme}://{host}:{port}");
        let opening = LdapConnAsync::with_settings(settings, &url);
        let (driver, ldap) = match timeout(CONNECT, AssertUnwindSafe(opening).catch_unwind()).await
        {
            Ok(Ok(Ok(pair))) => pair,
            Ok(Ok(Err(LdapError::LdapResult { result }))) => {
                return Err(answer::fault(&result, &plain(&result.text)));
            }
            Ok(Ok(Err(error))) => return Err(tls::fault(error)),
            Ok(Err(_)) => return Err(malformed()),
            Err(_) => {
                return Err(Fault::new(
                    FaultKind::Unreachable,
                    format!("{host}:{port} did not set up TLS within 5 seconds"),
                ));
            }
        };
        // It ends with the connection; why it ended shows in the next call.
        let driver = tokio::spawn(driver.drive()).abort_handle();
        Ok(Connection { ldap, driver })
    }
}

/// Waits for an answer, at most `limit`; takes an answer that the LDAP library chokes on for none.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, LdapError>> + Send,
) -> Result<T, Broken> {
    match timeout(limit, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(error))) => Err(Broken {
            is_sent: !matches!(error, LdapError::OpSend { .. }),
            // The library's error may hold the request, and so a password: it is not kept.
            fault: Fault::new(FaultKind::Unreachable, "the connection to the directory broke"),
        }),
        Ok(Err(_)) => Err(Broken { is_sent: true, fault: malformed() }),
        Err(_) => Err(Broken {
            is_sent: true,
            fault: Fault::new(
                FaultKind::Unreachable,
                format!("the directory did not answer within {} seconds", limit.as_secs()),
            ),
        }),
    }
}

fn malformed() -> Fault {
    Fault::new(FaultKind::Unreachable, "the directory's answer was not LDAP")
}
