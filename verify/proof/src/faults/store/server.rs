//! Faults of PostgreSQL.

use std::time::{Duration, Instant};

use rekey_harness::{Place, Result, Server, fresh_database};
use tokio_postgres::{Client, NoTls};

use super::{
    cluster::Cluster,
    people,
    trial::{Felt, Trial},
};
use crate::violations::Violations;

/// Runs one fault after another.
pub(super) async fn run(violations: &Violations) -> Result<()> {
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(why) => {
            println!("skip faults of PostgreSQL: {why}");
            return Ok(());
        }
    };
    let place = Place::new(Some(fresh_database(&cluster.admin_url()).await?))?;
    let server = Server::start(&place, &[]).await?;
    let people = people(&place, &server).await?;
    let accepted = Vec::new();
    let mut trial = Trial { place: &place, server, people, settings: &[], violations, accepted };

    trial
        .run(
            "PostgreSQL stopped and started",
            Felt::Refused,
            async |_| cluster.stop(),
            async |_| cluster.resume(),
        )
        .await?;
    let name = place.store_url().rsplit('/').next().unwrap_or_default().to_owned();
    let admin = connect(&cluster).await?;
    trial
        .run(
            "sessions ended in the middle",
            Felt::Refused,
            async |_| {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(3) {
                    end_sessions(&admin, &name).await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            },
            async |_| Ok(()),
        )
        .await?;
    trial
        .run(
            "a database that may only be read",
            Felt::Refused,
            async |_| {
                let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
                admin.batch_execute(&sql).await?;
                end_sessions(&admin, &name).await
            },
            // Sessions opened during the fault stay read-only afterwards: rekey must close them.
            async |_| {
                let sql = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
                Ok(admin.batch_execute(&sql).await?)
            },
        )
        .await?;
    trial.end().await
}

async fn connect(cluster: &Cluster) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&cluster.admin_url(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn end_sessions(admin: &Client, database: &str) -> Result<()> {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    admin.execute(sql, &[&database]).await?;
    Ok(())
}
