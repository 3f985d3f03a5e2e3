//! A flood of the sign-in form by unauthenticated clients.

use std::{fs, net::Ipv4Addr, time::Duration};

use rekey_harness::{Connection, Info, Place, Result, Server, password::chance, request};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};

/// The number of flooding networks, and the interval between the attempts of each: the rate limit
/// of one network.
const NETWORKS: u8 = 20;
const PACE: Duration = Duration::from_millis(100);
/// The duration of the flood before the first honest sign-in, and during the honest ones.
const AHEAD: Duration = Duration::from_secs(10);
const BESIDE: Duration = Duration::from_secs(10);
/// How long an honest client may wait for an answer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// The number of attempts with names of 12 KB, and the memory in MiB that they may leave behind.
const LONG_NAMES: usize = 2_000;
const MEBIBYTES: u64 = 8;

const PEOPLE: &str = "
identities:
  - {alias: hanna.home, name: Hanna Home, password: {env: HANNA}}
  - {alias: carla.changes, name: Carla Changes}
";

struct Site {
    place: Place,
    server: Server,
    password: String,
}

impl Site {
    async fn start() -> Result<Self> {
        let (place, password) = (Place::new(None)?, chance()?);
        fs::write(place.folder().join("site.yaml"), PEOPLE)?;
        let mut apply = place.command();
        let done = apply.args(["apply", "-f", "site.yaml"]).env("HANNA", &password).output()?;
        if !done.status.success() {
            return Err(format!("apply: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
        let server = Server::start(&place, &[]).await?;
        Ok(Self { place, server, password })
    }

    /// An honest sign-in: returns its status and how long it took.
    async fn hanna(&self, from: Ipv4Addr) -> Result<(u16, Duration)> {
        let asked = Instant::now();
        let tried = attempt(&self.server.address, from, "hanna.home", &self.password);
        let status = timeout(PATIENCE, tried).await.map_err(|_| too_late("a valid sign-in"))??;
        Ok((status, asked.elapsed()))
    }

    /// Changes a password on the built-in source, and waits until the change has ended.
    async fn change(&self) -> Result<Duration> {
        let asked = Instant::now();
        let headers = self.server.headers();
        let mut connection = Connection::open(&self.server.address).await?;
        let info = Info::ask(&mut connection, &headers, "carla.changes", "IdentityNow").await?;
        let wait = format!("{headers}Prefer: wait=30\r\n");
        let change = request("POST", "/v3/set-password", &wait, &info.change(&chance()?)?);
        let ended = timeout(PATIENCE, connection.ask(&change)).await;
        let ended = ended.map_err(|_| too_late("a change"))??;
        if !ended.body.contains("FINISHED") {
            return Err(format!("a change beside the flood: {}", ended.body).into());
        }
        Ok(asked.elapsed())
    }
}

fn too_late(what: &str) -> String {
    format!("{what} beside the flood was not answered within {} s", PATIENCE.as_secs())
}

/// Sends the sign-in form from the address `from`; returns the status.
pub(super) async fn attempt(
    address: &str,
    from: Ipv4Addr,
    name: &str,
    password: &str,
) -> Result<u16> {
    let password = password.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let form = format!("userName={name}&password={password}");
    let kind = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n";
    let mut connection = Connection::open_from(address, from).await?;
    Ok(connection.ask(&request("POST", "/sign-in", kind, &form)).await?.status)
}

/// Tries one name after another, without waiting for the attempts before.
async fn flood(address: String, network: u8) {
    let (mut pace, mut attempts) = (interval(PACE), JoinSet::new());
    for number in 0_u64.. {
        pace.tick().await;
        let address = address.clone();
        attempts.spawn(async move {
            let name = format!("stranger{network}x{number}");
            // A refused connection counts as much as a failed attempt.
            let _ = attempt(&address, Ipv4Addr::new(127, 1, network, 1), &name, "wrong").await;
        });
        while attempts.try_join_next().is_some() {}
    }
}

/// During the flood, a valid sign-in from a known network succeeds, one from another network
/// succeeds or is turned away, and changes of the built-in source end, each within the time
/// allowed.
pub(super) async fn flooded() -> Result<()> {
    let site = Site::start().await?;
    let home = Ipv4Addr::new(127, 2, 0, 1);
    if site.hanna(home).await?.0 != 200 {
        return Err("the password is not right".into());
    }
    let mut floods = JoinSet::new();
    for network in 0..NETWORKS {
        floods.spawn(flood(site.server.address.clone(), network));
    }
    sleep(AHEAD).await;
    let (mut known, mut strange, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    let (begun, mut away) = (Instant::now(), 0);
    for network in 0_u8.. {
        if begun.elapsed() > BESIDE {
            break;
        }
        let elsewhere = Ipv4Addr::new(127, 3, network, 1);
        let (first, second, third) =
            tokio::try_join!(site.hanna(home), site.hanna(elsewhere), site.change())?;
        match (first.0, second.0) {
            (200, 200) => {}
            (200, 503) => away += 1,
            other => return Err(format!("valid sign-ins were answered {other:?}").into()),
        }
        known.push(first.1);
        strange.push(second.1);
        changes.push(third);
    }
    drop(floods);
    println!(
        "  beside {NETWORKS} networks, the slowest of {}: a sign-in from home {:?}, from elsewhere {:?} ({away} turned away), a change {:?}",
        known.len(),
        known.iter().max().unwrap_or(&PATIENCE),
        strange.iter().max().unwrap_or(&PATIENCE),
        changes.iter().max().unwrap_or(&PATIENCE),
    );
    Ok(())
}

/// Failed sign-ins with long names must leave nothing in memory.
pub(super) async fn long_names() -> Result<()> {
    let site = Site::start().await?;
    let tries = async |from: usize, to: usize| {
        let mut networks = JoinSet::new();
        for network in 0..NETWORKS {
            let address = site.server.address.clone();
            networks.spawn(async move {
                let mut pace = interval(PACE);
                for number in (from..to).skip(usize::from(network)).step_by(NETWORKS.into()) {
                    pace.tick().await;
                    let name = format!("{number}{}", "n".repeat(12 * 1024));
                    let own = Ipv4Addr::new(127, 1, network, 1);
                    attempt(&address, own, &name, "wrong").await?;
                }
                Ok::<_, rekey_harness::Error>(())
            });
        }
        while let Some(done) = networks.join_next().await {
            done??;
        }
        Ok::<_, rekey_harness::Error>(())
    };
    // The memory that the server takes for its first attempts does not count.
    tries(0, LONG_NAMES / 5).await?;
    let before = site.server.resident()?;
    tries(LONG_NAMES / 5, LONG_NAMES).await?;
    let grown = site.server.resident()?.saturating_sub(before) >> 10;
    println!("  {LONG_NAMES} long names: {grown} MiB more");
    drop(site.place);
    if grown > MEBIBYTES {
        return Err(format!("it grew by {grown} MiB").into());
    }
    Ok(())
}
