//! Whether response times of the real binary reveal anything secret.

use clap::{Args, ValueEnum};
use rekey_harness::{Connection, Result};
use rekey_timing::{End, Machine, Race};
use rekey_vault::{Padding, random, sha256};

use std::time::{Duration, Instant};

use self::site::Site;

mod existence;
#[cfg(rekey_proof)]
mod paddings;
mod site;

/// How often, and what.
#[derive(Args)]
pub(crate) struct Options {
    /// How many rounds of each comparison.
    #[arg(long, default_value_t = 20_000)]
    samples: usize,
    /// Only these; all of them without.
    #[arg(long)]
    only: Vec<Which>,
    /// Only this padding; all of them without.
    #[arg(long, value_parser = padding_by_name)]
    padding: Option<Padding>,
}

fn padding_by_name(name: &str) -> std::result::Result<Padding, String> {
    Padding::parse(name).ok_or_else(|| format!("there is no padding {name:?}"))
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The padding of a password.
    Paddings,
    /// Who and what exists, asked by those who may not know.
    Existence,
    /// Who may sign in.
    SignIn,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    println!("{}", Machine::this());
    let site = Site::start().await?;
    let wanted = |which| options.only.is_empty() || options.only.contains(&which);
    let mut end = End::Alike;
    if wanted(Which::Paddings) {
        end = end.worse(paddings(&site, options.padding, options.samples).await?);
    }
    if wanted(Which::Existence) {
        end = end.worse(existence::tokens(&site, options.samples).await?);
    }
    if wanted(Which::SignIn) {
        end = end.worse(existence::sign_in(&site, options.samples).await?);
    }
    match end {
        End::Alike => Ok(()),
        End::Blind | End::Told => Err(end.sentence().into()),
    }
}

#[cfg(rekey_proof)]
async fn paddings(site: &Site, only: Option<Padding>, samples: usize) -> Result<End> {
    paddings::run(site, only, samples).await
}

#[cfg(not(rekey_proof))]
#[expect(clippy::unused_async, reason = "as the other one")]
async fn paddings(_: &Site, _: Option<Padding>, _: usize) -> Result<End> {
    Err("malformed ciphertexts need a look inside the vault: `cargo xtask timing --http` builds it"
        .into())
}

/// Sends a request and measures the time until its answer, in nanoseconds; the control spends
/// `slower` more.
async fn timed(
    connection: &mut Connection,
    request: &[u8],
    slower: Duration,
) -> Result<(u64, rekey_harness::Answer)> {
    let begun = Instant::now();
    let answer = connection.ask(request).await?;
    if !slower.is_zero() {
        let until = Instant::now() + slower;
        while Instant::now() < until {
            std::hint::black_box(sha256(request));
        }
    }
    Ok((u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX), answer))
}

/// A random order of the classes for the next round.
fn order(race: &Race) -> Result<Vec<usize>> {
    Ok(race.order(&random::<32>()?))
}

/// Replaces every run of 32 or more hexadecimal digits, such as ids and tracking ids, which differ
/// in each answer.
fn without_ids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len());
        let (digits, after) = from.split_at(end);
        out.push_str(before);
        out.push_str(if digits.len() >= 32 { "*" } else { digits });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_left_out_and_nothing_else() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(without_ids(&format!("a {id}, beef {id}")), "a *, beef *");
        assert_eq!(without_ids("none, but face"), "none, but face");
    }
}
