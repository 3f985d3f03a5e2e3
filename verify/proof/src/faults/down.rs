//! A target that is unreachable, for less and for more than the time a change has.

use std::{sync::Arc, time::Duration};

use rekey_connectors::conformance::Proxy;
use rekey_harness::{Result, password::chance};

use super::{
    client::Client,
    site::{Person, Site, System},
};

use crate::violations::Violations;

/// How long a target is down that returns in time: the sources' deadline is one minute.
const BRIEFLY: Duration = Duration::from_secs(15);

/// A target that is down, and the person whose change waits for it.
pub(super) struct Absence {
    pub(super) system: System,
    pub(super) is_too_long: bool,
    pub(super) source: String,
    pub(super) proxy: Proxy,
    pub(super) person: Person,
}

/// If the target returns in time, the change finishes; otherwise it fails with an error, and its
/// password does not come into force later.
pub(super) async fn run(site: Arc<Site>, absence: Absence, violations: Violations) -> Result<()> {
    let Absence { system, is_too_long, source, proxy, person: Person { who, info } } = absence;
    let mut client = Client::open(&site.server.address, &site.server.headers()).await?;
    proxy.set_down(true);
    let wanted = chance()?;
    let id = client.change(&info.change(&wanted)?).await?;
    if !is_too_long {
        tokio::time::sleep(BRIEFLY).await;
        proxy.set_down(false);
    }
    let ended = client.ended(&id).await?;
    proxy.set_down(false);
    let name = format!("{who}, {system:?} away, request {id}");
    if ended.is_finished == is_too_long {
        violations.blame(&format!("{name}: finished is {}: {:?}", ended.is_finished, ended.errors));
    }
    let says_why =
        |error: &String| error.starts_with(&source) && error.contains("deadline has passed");
    if is_too_long && (ended.errors.is_empty() || !ended.errors.iter().all(says_why)) {
        violations.blame(&format!("{name}: the status does not say why: {:?}", ended.errors));
    }
    if site.signs_in(system, &who, &wanted).await? != ended.is_finished {
        violations.blame(&format!("{name}: the status is not what the target says"));
    }
    println!(
        "{system:?} away for {}: as it must end",
        if is_too_long { "too long" } else { "15 s" }
    );
    Ok(())
}
