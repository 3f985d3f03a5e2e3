//! The values that settings may have, and an error text for each mistake.

use std::{
    fmt::Display,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use rekey_connectors::Egress;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IntoDeserializer},
};

/// Parses a duration such as `90s`, `15m`, `24h` or `7d`.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().or_else(|_| days(text)).map_err(|()| {
        format!("`{text}` is not a length of time: write it like 90s, 15m, 24h or 7d")
    })?;
    Duration::try_from(span).map_err(|_| format!("`{text}` is negative"))
}

fn days(text: &str) -> Result<jiff::SignedDuration, ()> {
    let days: i64 = text.strip_suffix('d').and_then(|n| n.trim().parse().ok()).ok_or(())?;
    let hours = days.checked_mul(24).and_then(jiff::SignedDuration::try_from_hours);
    hours.ok_or(())
}

pub(super) fn deadline<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    span(from, Duration::from_secs(1)..=Duration::from_hours(24), "1s to 24h")
}

/// As `deadline`, or `0` for no limit.
pub(super) fn no_or_deadline<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    deadline(text.into_deserializer())
}

pub(super) fn lifetime<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    span(from, Duration::from_hours(1)..=Duration::from_hours(400 * 24), "1h to 400d")
}

pub(super) fn grace<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    span(from, Duration::from_secs(1)..=Duration::from_hours(90 * 24), "1s to 90d")
}

pub(super) fn workers<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    number(from, 0..=4096)
}

pub(super) fn crowd<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    number(from, 1..=4096)
}

pub(super) fn accounts<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    number(from, 1..=100_000_000)
}

pub(super) fn megabytes<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    number(from, 1..=1_000_000)
}

fn number<'de, D: Deserializer<'de>>(
    from: D,
    range: RangeInclusive<usize>,
) -> Result<usize, D::Error> {
    let number = usize::try_from(i64::deserialize(from)?).ok().filter(|n| range.contains(n));
    number.ok_or_else(|| {
        D::Error::custom(format!("it must be a number from {} to {}", range.start(), range.end()))
    })
}

fn span<'de, D: Deserializer<'de>>(
    from: D,
    range: RangeInclusive<Duration>,
    words: impl Display,
) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let span = parse_span(&text).map_err(D::Error::custom)?;
    if range.contains(&span) {
        return Ok(span);
    }
    Err(D::Error::custom(format!("`{text}` is out of range: allowed is {words}")))
}

pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "`{text}` is not an address with a port: write it like 127.0.0.1:8080"
        ))
    })
}

pub(super) fn no_or_address<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    address(text.into_deserializer()).map(Some)
}

pub(super) fn egress<'de, D: Deserializer<'de>>(from: D) -> Result<Egress, D::Error> {
    Egress::new(&Vec::deserialize(from)?).map_err(D::Error::custom)
}

pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(from)?
        .iter()
        .map(|text| {
            let network = text.parse::<IpNet>().ok();
            network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).ok_or_else(|| {
                D::Error::custom(format!(
                    "`{text}` is not a network: write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1"
                ))
            })
        })
        .collect()
}

pub(super) fn web_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() || text.starts_with("http://") || text.starts_with("https://") {
        return Ok(text);
    }
    Err(D::Error::custom(format!(
        "`{text}` is not a web address: write it like https://rekey.example.com"
    )))
}

pub(super) fn collector<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    told(String::deserialize(from)?, cfg!(feature = "otlp")).map_err(D::Error::custom)
}

/// Checks the address to which traces are exported. `can` is whether this build exports traces.
fn told(endpoint: String, can: bool) -> Result<String, String> {
    if endpoint.is_empty() {
        return Ok(endpoint);
    }
    if !can {
        return Err("this build of rekey tells no traces: leave the setting out, or build rekey with `--features otlp`".into());
    }
    let url = endpoint.parse::<hyper::Uri>().ok();
    if url.is_some_and(|url| url.scheme_str() == Some("http") && url.path().len() > 1) {
        return Ok(endpoint);
    }
    Err("it must be the whole address of a collector that takes OTLP over plain HTTP: write it like http://127.0.0.1:4318/v1/traces".into())
}

pub(super) fn file<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_told_by_a_build_that_can_to_a_collector_over_http() {
        for (endpoint, can, says) in [
            ("", false, None),
            ("", true, None),
            ("http://127.0.0.1:4318/v1/traces", true, None),
            ("http://127.0.0.1:4318/v1/traces", false, Some("build rekey with `--features otlp`")),
            ("http://127.0.0.1:4318", true, Some("http://127.0.0.1:4318/v1/traces")),
            ("https://collector/v1/traces", true, Some("over plain HTTP")),
            ("collector", true, Some("write it like")),
        ] {
            let told = told(endpoint.into(), can);
            let why = told.err().unwrap_or_default();
            assert_eq!(why.is_empty(), says.is_none(), "{endpoint}: {why}");
            assert!(why.contains(says.unwrap_or_default()), "{endpoint}: {why}");
        }
    }
}
