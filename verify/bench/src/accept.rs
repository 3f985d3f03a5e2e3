//! Durable accepts per second, with the store in SQLite.

use std::{env, path::PathBuf};

use rekey::model::source::IDENTITY_NOW;
use rekey_harness::{Place, Result, Server, http};

use crate::{
    accounts,
    answering::Answering,
    fill::{Filled, fill},
    load::{Next, paced, percentile},
    number, seconds,
    table::{Row, skip},
};

/// The setting for a node that accepts changes and executes none.
pub(crate) const ACCEPTS_ONLY: (&str, &str) = ("REKEY_CHANGES__WORKERS", "0");

pub(crate) async fn run() -> Result<()> {
    let place = Place::new(None)?;
    let filled = fill(&place, IDENTITY_NOW, accounts()).await?;
    let server = Server::start(&place, &[ACCEPTS_ONLY]).await?;

    let answering = Answering::start().await?;
    let next = filled.accepts(&server);
    http::load(&answering.address, 64, seconds() / 5, 202, next.clone()).await?;
    let answers = http::load(&answering.address, 64, seconds(), 202, next.clone()).await?;
    drop(answering);
    Row::per_second("the same request without a store, 64 connections", answers).print();

    let (accepts, cost) = accepts(&server, filled.accepts(&server)).await?;
    let figure = format!("accepts, durable, {} accounts, 64 connections", accounts());
    Row::per_second(figure, accepts).of(answers).at_least(0.25);
    Row::new("processor time of an accept", cost, " µs").print();

    let next = later(&filled, &server);
    let times = paced(&server.address, 64, accepts / 2.0, seconds(), 202, next).await?;
    Row::new("an accept at half that load, p50", percentile(&times, 50), " ms").print();
    Row::new("an accept at half that load, p99", percentile(&times, 99), " ms").at_most(10.0);
    drop(server);

    slow_sync(&place, &filled).await?;
    growth().await
}

/// Returns the accepts per second, and the server's processor time for one accept in microseconds.
async fn accepts(server: &Server, next: Next) -> Result<(f64, f64)> {
    let spent = server.processor_seconds()?;
    let accepts = http::load(&server.address, 64, seconds(), 202, next).await?;
    let spent = server.processor_seconds()? - spent;
    Ok((accepts, spent * 1e6 / (accepts * seconds().as_secs_f64())))
}

/// Requests with other numbers than before, since a repeated ciphertext would be a resend.
fn later(filled: &Filled, server: &Server) -> Next {
    let next = filled.accepts(server);
    std::sync::Arc::new(move |number| next(number + (1 << 40)))
}

/// Measures accepts while every sync takes 5 ms longer.
async fn slow_sync(place: &Place, filled: &Filled) -> Result<()> {
    let figure = "accepts where a sync takes 5 ms";
    let Some(shim) = env::var_os("REKEY_BENCH_SHIM").map(PathBuf::from) else {
        skip(figure, "REKEY_BENCH_SHIM is not set");
        return Ok(());
    };
    let preload =
        [("LD_PRELOAD", shim.to_str().unwrap_or_default()), ("REKEY_FSYNC_DELAY_MS", "5")];
    let server = Server::start(place, &[&[ACCEPTS_ONLY][..], &preload].concat()).await?;
    for (connections, goal, round) in [(64, 3000.0, 2_u64), (256, 7000.0, 3)] {
        let next = filled.accepts(&server);
        let next = std::sync::Arc::new(move |number| next(number + (round << 40)));
        let accepts = http::load(&server.address, connections, seconds(), 202, next).await?;
        Row::per_second(format!("{figure}, {connections} connections"), accepts).at_least(goal);
    }
    Ok(())
}

/// Compares the cost of an accept in a small and in a large store. In both, the same number of
/// people send requests repeatedly, so that equally many older changes are superseded; in the large
/// store these people are spread over all accounts.
async fn growth() -> Result<()> {
    const PEOPLE: u64 = 1000;
    let mut costs = Vec::new();
    for many in [PEOPLE, number("REKEY_BENCH_MOST_ACCOUNTS", 1_000_000)] {
        let place = Place::new(None)?;
        let filled = fill(&place, IDENTITY_NOW, many).await?;
        let server = Server::start(&place, &[ACCEPTS_ONLY]).await?;
        let (_, cost) = accepts(&server, filled.accepts_of(&server, PEOPLE)).await?;
        costs.push((many, cost));
    }
    if let [(few, small), (many, large)] = costs[..] {
        Row::new(format!("processor time of an accept, {few} accounts"), small, " µs").print();
        let figure = format!("processor time of an accept, {many} accounts");
        Row::new(figure, large, " µs").of(small).at_most(1.5);
    }
    Ok(())
}
