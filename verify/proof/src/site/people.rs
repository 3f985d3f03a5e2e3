//! The people's accounts in the target systems.

use std::fmt::Write as _;

use rekey_connectors::ldap::Administration;
use rekey_harness::{Result, password::chance, rows::hex, text};
use serde_json::Value;
use tokio_postgres::NoTls;

use super::{KINDS, Targets};

/// A role that may read and lock every other role, and whose statements are logged.
pub(crate) const SUPERUSER: &str = "proof_superuser";

/// Creates the accounts of all kinds of people, and replaces those of an earlier run. Returns the
/// superuser's password.
pub(super) async fn make(targets: &Targets) -> Result<String> {
    let mut directory = Vec::new();
    let mut roles = Vec::new();
    for kind in KINDS {
        let names = (1..=kind.people).map(|n| format!("{}{n}", kind.letter));
        match kind.letter {
            'l' => directory.extend(names),
            'r' | 's' => roles.extend(names),
            'g' => {
                directory.extend(names.clone());
                roles.extend(names);
            }
            _ => {}
        }
    }
    in_directory(targets, &directory).await?;
    in_postgres(targets, &roles).await
}

async fn in_directory(targets: &Targets, people: &[String]) -> Result<()> {
    let mut directory = directory(targets).await?;
    let admin = text(&targets.ldap, "adminDn");
    if directory.sign_in(&admin, &text(&targets.ldap, "adminPassword")).await? != 0 {
        return Err("the directory's administrator cannot sign in".into());
    }
    for who in people {
        let dn = dn(targets, who);
        // Usually the entry does not exist yet.
        let _ = directory.delete(&dn).await;
        let password = chance()?;
        let entry = [
            ("objectClass", "inetOrgPerson"),
            ("cn", who),
            ("sn", who),
            ("userPassword", password.as_str()),
        ];
        directory.add(&dn, &entry).await?;
    }
    Ok(())
}

async fn in_postgres(targets: &Targets, people: &[String]) -> Result<String> {
    let user = text(&targets.postgres, "adminUser");
    let (client, connection) =
        postgres(targets, &user, &text(&targets.postgres, "adminPassword")).await?;
    let superuser = hex(&rekey_vault::random::<16>()?);
    let service = text(&targets.postgres, "user");
    let mut sql = format!(
        "DROP ROLE IF EXISTS {SUPERUSER};
         CREATE ROLE {SUPERUSER} SUPERUSER LOGIN PASSWORD '{superuser}';
         ALTER ROLE {SUPERUSER} SET log_statement = 'all';
         SET ROLE {service};\n"
    );
    for who in people {
        let password = hex(&rekey_vault::random::<16>()?);
        let _ = writeln!(
            sql,
            "DROP ROLE IF EXISTS {who}; CREATE ROLE {who} LOGIN PASSWORD '{password}';"
        );
    }
    client.batch_execute(&sql).await?;
    drop(client);
    connection.await?;
    Ok(superuser)
}

/// Opens a connection to the directory on this machine, without TLS.
pub(crate) async fn directory(targets: &Targets) -> Result<Administration> {
    let host = text(&targets.ldap, "host");
    Ok(Administration::connect(&host, port(&targets.ldap, "startTlsPort")).await?)
}

fn port(system: &Value, name: &str) -> u16 {
    system.get(name).and_then(Value::as_u64).and_then(|port| port.try_into().ok()).unwrap_or(0)
}

/// The DN of a person in the directory.
pub(crate) fn dn(targets: &Targets, who: &str) -> String {
    format!("uid={who},{}", text(&targets.ldap, "baseDn"))
}

/// Opens a session on the PostgreSQL whose roles are the people; returns it with its connection
/// task.
pub(crate) async fn postgres(
    targets: &Targets,
    user: &str,
    password: &str,
) -> std::result::Result<(tokio_postgres::Client, tokio::task::JoinHandle<()>), tokio_postgres::Error>
{
    let mut config = tokio_postgres::Config::new();
    config.host(text(&targets.postgres, "host")).user(user).password(password);
    config.dbname(text(&targets.postgres, "database"));
    config.port(port(&targets.postgres, "port"));
    let (client, connection) = config.connect(NoTls).await?;
    // An error of the connection shows in the result of the next query.
    Ok((client, tokio::spawn(async { drop(connection.await) })))
}
