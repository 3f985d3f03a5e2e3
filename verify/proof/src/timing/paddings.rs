//! The timing of a ciphertext's padding over HTTP: the time until the `202`, and until the end of
//! the change.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_harness::{Connection, Info, Result, request, text};
use rekey_timing::{
    Class, End, Expected, Race,
    blocks::{Kind, kinds},
};
use rekey_vault::Padding;
use serde_json::Value;

use super::{
    order,
    site::{ABBY, Site},
    timed, without_ids,
};

/// The time until the `202`.
const ACCEPTED: Leg =
    Leg { name: "up to the 202", headers: "", bound: 2_000, slower: Duration::from_micros(5) };
/// The time until the end of the change. It includes several threads and commits in sequence, and
/// varies far more.
const ENDED: Leg = Leg {
    name: "up to the end of the change",
    headers: "Prefer: wait=30\r\n",
    bound: 10_000,
    slower: Duration::from_micros(25),
};
/// The number of unmeasured rounds at the start.
const WARM_UP: usize = 20;

pub(crate) async fn run(site: &Site, only: Option<Padding>, samples: usize) -> Result<End> {
    let mut end = End::Alike;
    let wanted = |padding: &Padding| only.is_none_or(|only| only == *padding);
    for padding in [Padding::Pkcs1v15, Padding::OaepSha256].into_iter().filter(wanted) {
        let mut connection = site.connection().await?;
        let headers = site.server.headers();
        let prefer = format!("{headers}Prefer: rekey-padding={}\r\n", padding.as_str());
        let info = Info::ask(&mut connection, &prefer, ABBY, "IdentityNow").await?;
        let spki = BASE64_STANDARD.decode(text(&info.answer, "publicKey"))?;
        let mut front =
            Front { padding, spki, info, headers, connection, said: None, ended: 0, texts: 0 };
        end = end.worse(front.compare(samples).await?);
    }
    Ok(end)
}

/// A measured part of a change.
struct Leg {
    name: &'static str,
    /// The request headers that this part needs.
    headers: &'static str,
    /// The bound in nanoseconds below which a difference cannot be measured over a network.
    bound: i64,
    /// The additional time of the control's answers.
    slower: Duration,
}

/// One connection, and the key with which its passwords are encrypted.
struct Front {
    padding: Padding,
    spki: Vec<u8>,
    info: Info,
    headers: String,
    connection: Connection,
    /// The status of the first change that ended; all others must be the same.
    said: Option<String>,
    /// The number of changes that have ended, and of those whose status was about a synthetic
    /// message that happened to be text.
    ended: usize,
    texts: usize,
}

impl Front {
    async fn compare(&mut self, samples: usize) -> Result<End> {
        let kinds = kinds(self.padding);
        let mut races = [ACCEPTED, ENDED].map(|leg| (Race::new(classes(kinds, &leg)), leg));
        println!("\n{}: {samples} rounds of {} classes", self.padding.as_str(), kinds.len() + 1);
        for number in 0..WARM_UP + samples {
            for (race, leg) in &mut races {
                let times = self.round(race, kinds, leg).await?;
                if number >= WARM_UP {
                    race.round(times);
                }
            }
        }
        let mut end = End::Alike;
        for (race, leg) in &races {
            println!("{}", leg.name);
            end = end.worse(race.end(leg.bound));
        }
        Ok(end)
    }

    async fn round(&mut self, race: &Race, kinds: &[Kind], leg: &Leg) -> Result<Vec<u64>> {
        let mut times = vec![0; race.classes().len()];
        let headers = format!("{}{}", self.headers, leg.headers);
        for class in order(race)? {
            // The last class is the control: the first kind, slower.
            let (kind, slower) = match kinds.get(class) {
                Some(kind) => (Some(kind), Duration::ZERO),
                None => (kinds.first(), leg.slower),
            };
            let (Some(kind), Some(time)) = (kind, times.get_mut(class)) else { continue };
            let body = self.info.ask_for(&kind.ciphertext(self.padding, &self.spki)?);
            let asked = request("POST", "/v3/set-password", &headers, &body);
            let (took, answer) = timed(&mut self.connection, &asked, slower).await?;
            if answer.status != 202 {
                return Err(format!("{}: {} {}", kind.name, answer.status, answer.body).into());
            }
            *time = took;
            self.ends_as_all(kind, &answer.body).await?;
        }
        Ok(times)
    }

    /// Waits for the end of a change, and compares its status with the others'. The synthetic
    /// message of one malformed ciphertext in 400 is valid text; the policy then judges it, as it
    /// would judge any such password.
    async fn ends_as_all(&mut self, kind: &Kind, body: &str) -> Result<()> {
        let id = text(&serde_json::from_str::<Value>(body)?, "requestId");
        let path = format!("/v3/password-change-status/{id}");
        let asked = request("GET", &path, &self.headers, "");
        let said = loop {
            let status = self.connection.ask(&asked).await?;
            if !status.body.contains("IN_PROGRESS") {
                break without_ids(&status.body);
            }
        };
        self.ended += 1;
        let first = self.said.get_or_insert_with(|| said.clone());
        if *first == said {
            return Ok(());
        }
        self.texts += 1;
        // One status in 400 differs by chance, for invalid paddings only: allow 1 %, plus 10.
        let expected = !kind.is_valid(self.padding) && said.contains("must have at least");
        if expected && self.texts <= 10 + self.ended / 100 {
            return Ok(());
        }
        Err(format!("{}: {said} is not {first}", kind.name).into())
    }
}

fn classes(kinds: &[Kind], leg: &Leg) -> Vec<Class> {
    let class = |name: String, expected| Class { name, against: 0, expected };
    let mut classes: Vec<_> =
        kinds.iter().map(|kind| class(kind.name.to_owned(), Expected::Alike)).collect();
    classes.push(class(format!("control: slower by {:?}", leg.slower), Expected::Slower));
    classes
}
