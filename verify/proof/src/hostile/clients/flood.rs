//! Everything at once, and an honest client beside it.

use std::{fs, net::Ipv4Addr, time::Duration};

use rekey_harness::{Result, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::Instant,
};

use super::{
    SOFT, STAY, ask,
    attack::{connect, network, never_reads, slow_body},
    change, start,
};

const NETWORKS: u32 = 24;
/// Of each network: connections that are idle, send half a body, or read no answers.
const IDLE: usize = 60;
const BODIES: usize = 8;
const UNREAD: usize = 2;
/// Networks that open connections without end, and leave them in the middle of a request.
const STORMS: u32 = 2;
const SAMPLES: usize = 200;
/// How much longer an honest client may wait beside it.
const LONGER: Duration = Duration::from_secs(1);
/// Descriptors that the store may have opened meanwhile.
const MORE: usize = 32;

/// An honest client's answers beside the flood take hardly longer, and afterwards nothing is left.
pub(in super::super) async fn flood() -> Result<()> {
    let (_place, server) = start(SOFT, None).await?;
    change(&server, "p1", "IdentityNow").await?;
    let (usual, open) = (slowest_of_most(&server).await?, descriptors(&server)?);
    let flood = begin(&server.address);
    // Until the flood is there.
    ask(&server, Ipv4Addr::LOCALHOST).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let beside = slowest_of_most(&server).await?;
    change(&server, "p1", "IdentityNow").await?;
    drop(flood);
    println!("  an honest client waits {usual:?} (p99), beside the flood {beside:?}");
    if beside > usual + LONGER {
        return Err(format!("{beside:?} beside the flood, {usual:?} without (p99)").into());
    }
    let by = Instant::now() + STAY;
    while descriptors(&server)? > open + MORE {
        if Instant::now() > by {
            return Err(format!("{} descriptors are left of {open}", descriptors(&server)?).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    change(&server, "p1", "IdentityNow").await?;
    Ok(())
}

/// The flood lasts until this is dropped.
fn begin(address: &str) -> JoinSet<()> {
    let mut flood = JoinSet::new();
    for own in (0..NETWORKS).map(network) {
        for kind in 0..IDLE + BODIES + UNREAD {
            let address = address.to_owned();
            flood.spawn(async move {
                loop {
                    // Whatever becomes of it: the next one follows.
                    let _ = match kind {
                        0..IDLE => stay(&address, own, b"").await,
                        IDLE.. if kind < IDLE + BODIES => stay(&address, own, &slow_body()).await,
                        _ => never_reads(&address, own, None).await,
                    };
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    }
    for own in (NETWORKS..NETWORKS + STORMS).map(network) {
        let address = address.to_owned();
        flood.spawn(async move {
            loop {
                if let Ok(mut stream) = connect(&address, own).await {
                    let _ = stream.write_all(b"GET /healthz HT").await;
                }
            }
        });
    }
    flood
}

/// Begins, and stays until the server ends it.
async fn stay(address: &str, own: Ipv4Addr, begin: &[u8]) -> Result<()> {
    let mut stream = connect(address, own).await?;
    stream.write_all(begin).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(())
}

/// The time that 99 of 100 answers took at most, each over a connection of its own.
async fn slowest_of_most(server: &Server) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        times.push(ask(server, Ipv4Addr::LOCALHOST).await?);
    }
    times.sort_unstable();
    Ok(times.get(SAMPLES * 99 / 100).copied().unwrap_or_default())
}

/// The files that the server's process has open.
fn descriptors(server: &Server) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", server.id()))?.count())
}
