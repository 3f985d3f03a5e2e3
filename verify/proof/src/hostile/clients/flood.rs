//! All attacks at once, and an honest client beside them.

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
/// The connections of each network: idle ones, ones with half a body, and ones that read no
/// answers.
const IDLE: usize = 60;
const BODIES: usize = 8;
const UNREAD: usize = 2;
/// The networks that open connections endlessly, and close each in the middle of a request.
const STORMS: u32 = 2;
const SAMPLES: usize = 200;
/// How much longer an honest client may wait during the flood.
const LONGER: Duration = Duration::from_secs(1);
/// The number of descriptors that the store may have opened meanwhile.
const MORE: usize = 32;

/// An honest client's answers take at most 1 s longer during the flood, and afterwards no
/// connection is left.
pub(in super::super) async fn flood() -> Result<()> {
    let (_place, server) = start(SOFT, None).await?;
    change(&server, "p1", "IdentityNow").await?;
    let (usual, open) = (slowest_of_most(&server).await?, descriptors(&server)?);
    let flood = begin(&server.address);
    // The flood's connections are established by then.
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

/// Starts the flood, which lasts until the return value is dropped.
fn begin(address: &str) -> JoinSet<()> {
    let mut flood = JoinSet::new();
    for own in (0..NETWORKS).map(network) {
        for kind in 0..IDLE + BODIES + UNREAD {
            let address = address.to_owned();
            flood.spawn(async move {
                loop {
                    // A failed attack is followed by the next one.
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

/// Sends `begin`, and stays connected until the server ends the connection.
async fn stay(address: &str, own: Ipv4Addr, begin: &[u8]) -> Result<()> {
    let mut stream = connect(address, own).await?;
    stream.write_all(begin).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(())
}

/// The 99th percentile of the answer times, each over a connection of its own.
async fn slowest_of_most(server: &Server) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        times.push(ask(server, Ipv4Addr::LOCALHOST).await?);
    }
    times.sort_unstable();
    Ok(times.get(SAMPLES * 99 / 100).copied().unwrap_or_default())
}

/// The number of files that the server's process has open.
fn descriptors(server: &Server) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", server.id()))?.count())
}
