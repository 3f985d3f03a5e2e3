//! Whether an answer's time or body reveals to unauthorized callers which people and objects exist.

use std::{net::Ipv4Addr, time::Duration};

use futures_util::future::try_join_all;
use rekey_harness::{Connection, Result, request, text};
use rekey_timing::{Class, End, Expected, Race};
use rekey_vault::random;

use super::{
    order,
    site::{ABBY, BORIS, Site},
    timed, without_ids,
};

/// The bound in nanoseconds below which a difference cannot be measured over a network: answers
/// about existing objects take about one microsecond longer.
const BOUND: i64 = 20_000;
/// The additional time of the control's answers.
const SLOWER: Duration = Duration::from_micros(40);
/// The number of unmeasured rounds at the start.
const WARM_UP: usize = 50;
/// The number of concurrent rounds of sign-ins: failures are answered at fixed time steps, so that
/// a core is mostly idle meanwhile.
const SIGN_INS: usize = 2;
/// The name of a person who does not exist.
const NOBODY: &str = "nora.nobody";

/// The same request about an existing object and about one that does not exist.
struct Pair {
    name: &'static str,
    there: Vec<u8>,
    not_there: Vec<u8>,
    /// Whether the two answers must be indistinguishable.
    expected: Expected,
}

/// Compares requests that use access tokens, and requests for them.
pub(crate) async fn tokens(site: &Site, samples: usize) -> Result<End> {
    let abby = site.headers_of(ABBY).await?;
    let carla = site.headers_of("carla.admin").await?;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let info = |user: &str, source: &str| {
        let body = format!(r#"{{"userName":"{user}","sourceName":"{source}"}}"#);
        request("POST", "/v3/query-password-info", &abby, &body)
    };
    let status = |id: &str| request("GET", &format!("/v3/password-change-status/{id}"), &abby, "");
    let account = |id: &str| request("GET", &format!("/v3/accounts/{id}"), &carla, "");
    let token = |id: &str| {
        let body = format!(
            "grant_type=client_credentials&client_id={id}&client_secret={}",
            "0".repeat(64)
        );
        request("POST", "/oauth/token", form, &body)
    };
    let (personal, client) = (site.client_of(BORIS)?, text(site.bootstrap(), "apiClientId"));
    let pairs = [
        Pair {
            name: "query-password-info: somebody else",
            there: info(BORIS, "IdentityNow"),
            not_there: info(NOBODY, "IdentityNow"),
            expected: Expected::Alike,
        },
        Pair {
            name: "query-password-info: a source without me",
            there: info(ABBY, "Elsewhere"),
            not_there: info(ABBY, "Nowhere!!"),
            expected: Expected::Alike,
        },
        Pair {
            name: "password-change-status: not mine",
            there: status(&site.change_of(BORIS).await?),
            not_there: status(&fresh_id()?),
            expected: Expected::Alike,
        },
        Pair {
            name: "accounts: not of my sources",
            there: account(&site.any_account().await?),
            not_there: account(&fresh_id()?),
            expected: Expected::Alike,
        },
        Pair {
            name: "oauth/token: an API client",
            there: token(&client),
            not_there: token(&fresh_id()?),
            expected: Expected::Alike,
        },
        Pair {
            name: "oauth/token: a personal access token",
            there: token(&text(&personal, "clientId")),
            not_there: token(&fresh_id()?),
            expected: Expected::Alike,
        },
        Pair {
            name: "control: query-password-info, my own name",
            there: info(ABBY, "IdentityNow"),
            not_there: info(NOBODY, "IdentityNow"),
            expected: Expected::Slower,
        },
    ];
    println!("\nwho and what exists: {samples} rounds of {} pairs", pairs.len());
    compare(site, &pairs, samples, 1).await
}

/// Compares sign-ins of a known and an unknown name.
pub(crate) async fn sign_in(site: &Site, samples: usize) -> Result<End> {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let attempt = |user: &str| {
        request("POST", "/sign-in", form, &format!("userName={user}&password=not+this+one"))
    };
    let pairs = [Pair {
        name: "sign-in: somebody",
        there: attempt(BORIS),
        not_there: attempt(NOBODY),
        expected: Expected::Alike,
    }];
    println!("\nwho may sign in: {samples} rounds");
    compare(site, &pairs, samples, SIGN_INS).await
}

async fn compare(site: &Site, pairs: &[Pair], samples: usize, at_once: usize) -> Result<End> {
    let mut classes = Vec::new();
    let mut requests = Vec::new();
    for pair in pairs {
        let against = classes.len();
        let class = |kind: &str, expected| Class {
            name: format!("{}{kind}", pair.name),
            against,
            expected,
        };
        classes.extend([class(", not there", Expected::Alike), class("", pair.expected)]);
        requests.extend([&pair.not_there, &pair.there]);
    }
    // The control: the first request again, slower by a known amount, to show that the comparison
    // detects a difference.
    classes.push(Class {
        name: format!("control: slower by {SLOWER:?}"),
        against: 0,
        expected: Expected::Slower,
    });
    requests.extend(requests.first().copied());
    let mut race = Race::new(classes).harmless_within(BOUND);
    bodies(site, pairs).await?;
    for number in (0..WARM_UP + samples).step_by(at_once) {
        let rounds = (number..number + at_once).map(|number| round(site, &race, &requests, number));
        for times in try_join_all(rounds).await? {
            if number >= WARM_UP {
                race.round(times);
            }
        }
    }
    Ok(race.end(BOUND))
}

/// Sends each request once, in a new random order; the last class is the control. Each round comes
/// from a network of its own, so that no rate limit applies.
async fn round(site: &Site, race: &Race, requests: &[&Vec<u8>], number: usize) -> Result<Vec<u64>> {
    let mut connection = from_network(site, number).await?;
    let mut times = vec![0; requests.len()];
    for class in order(race)? {
        let (Some(request), Some(time)) = (requests.get(class), times.get_mut(class)) else {
            continue;
        };
        let last = class + 1 == requests.len();
        let slower = if last { SLOWER } else { Duration::ZERO };
        let (took, answer) = timed(&mut connection, request, slower).await?;
        if answer.status == 429 {
            return Err("too many tries from one network".into());
        }
        *time = took;
    }
    Ok(times)
}

/// Checks that the two answers of each pair are identical except for ids and the requested name.
async fn bodies(site: &Site, pairs: &[Pair]) -> Result<()> {
    for pair in pairs.iter().filter(|pair| pair.expected == Expected::Alike) {
        let mut connection = from_network(site, 65_000).await?;
        let there = connection.ask(&pair.there).await?;
        let not_there = connection.ask(&pair.not_there).await?;
        let masked = |body: &str| without_ids(body).replace(BORIS, NOBODY);
        if there.status != not_there.status || masked(&there.body) != masked(&not_there.body) {
            return Err(format!(
                "{}: {} {} is not {} {}",
                pair.name, there.status, there.body, not_there.status, not_there.body
            )
            .into());
        }
    }
    Ok(())
}

/// Opens a connection from the `number`-th network of the loopback addresses.
async fn from_network(site: &Site, number: usize) -> Result<Connection> {
    let byte = |number: usize| u8::try_from(number % 256).unwrap_or(0);
    let own = Ipv4Addr::new(127, 1 + byte(number / 256) % 250, byte(number), 1);
    Connection::open_from(&site.server.address, own).await
}

/// A random id that no object has.
fn fresh_id() -> Result<String> {
    Ok(random::<16>()?.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}
