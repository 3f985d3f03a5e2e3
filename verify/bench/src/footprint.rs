//! Start-up time, memory and the size of the binary.

use std::time::{Duration, Instant};

use rekey::model::source::IDENTITY_NOW;
use rekey_harness::{Connection, Place, Result, Server, http, place::binary, server::free_address};

use crate::{accept::ACCEPTS_ONLY, accounts, fill::fill, load::percentile, seconds, table::Row};

/// The number of measured starts.
const STARTS: usize = 9;

pub(crate) async fn run() -> Result<()> {
    let place = Place::new(None)?;
    let filled = fill(&place, IDENTITY_NOW, accounts()).await?;

    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(start(&place).await?);
    }
    times.sort();
    Row::new("start-up, until it answers", percentile(&times, 50), " ms").at_most(150.0);

    let server = Server::start(&place, &[]).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let figure = format!("resident memory with {} accounts, idle", accounts());
    Row::new(figure, mebibytes(server.resident()?), " MiB").at_most(64.0);
    drop(server);
    let server = Server::start(&place, &[ACCEPTS_ONLY]).await?;
    http::load(&server.address, 64, seconds(), 202, filled.accepts(&server)).await?;
    Row::new("the same after a load of accepts", mebibytes(server.resident()?), " MiB")
        .at_most(64.0);

    let size = std::fs::metadata(binary())?.len();
    Row::new("the binary", mebibytes(size / 1024), " MiB").at_most(30.0);
    Ok(())
}

/// The time from the start of the process to its first answer.
async fn start(place: &Place) -> Result<Duration> {
    let address = free_address()?;
    let started = Instant::now();
    let mut server = Server::launch(place, &address, &[ACCEPTS_ONLY])?;
    let mut connection = loop {
        match Connection::open(&address).await {
            Ok(connection) => break connection,
            Err(_) if server.ended()?.is_none() => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => return Err(error),
        }
    };
    let answer = connection.ask(&http::request("GET", "/healthz", "", "")).await?;
    let took = started.elapsed();
    if answer.status == 200 { Ok(took) } else { Err(answer.body.into()) }
}

fn mebibytes(kibibytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size needs no more than 52 bits")]
    let kibibytes = kibibytes as f64;
    kibibytes / 1024.0
}
