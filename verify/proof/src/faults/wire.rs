//! Faults at one moment of a write, one kind after another, repeatedly.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rekey_connectors::conformance::{Moment, Proxy, Trouble};
use rekey_harness::{Result, password::chance};

use super::{
    client::Client,
    site::{Person, Site, System},
};
use crate::{
    targets::{Directory, Kept, Log, PostgresTarget},
    violations::Violations,
};

/// A series of faults at one moment of one system's writes, each for another person.
pub(super) struct Case {
    pub(super) system: System,
    pub(super) troubles: &'static [Trouble],
    pub(super) moment: Moment,
    pub(super) proxy: Proxy,
    pub(super) people: Vec<Person>,
}

/// The results of one kind of fault.
pub(super) struct Row {
    system: System,
    trouble: Trouble,
    moment: Moment,
    /// The number of changes that took more than one attempt, because an answer was missing.
    again: usize,
    longest: Duration,
}

/// A password longer than anything else that is sent to a directory.
fn password() -> Result<String> {
    Ok(format!("{}{}", chance()?, "-and-so-on".repeat(20)))
}

/// Causes each fault in turn, once for each person.
pub(super) async fn run(site: Arc<Site>, case: Case, violations: Violations) -> Result<Vec<Row>> {
    let mut client = Client::open(&site.server.address, &site.server.headers()).await?;
    let (system, moment) = (case.system, case.moment);
    let row = |trouble| Row { system, trouble, moment, again: 0, longest: Duration::ZERO };
    let mut rows: Vec<Row> = case.troubles.iter().copied().map(row).collect();
    for (turn, person) in case.people.iter().enumerate() {
        let Some(row) = rows.get_mut(turn % case.troubles.len()) else { continue };
        once(&site, &case, person, &mut client, row, &violations).await?;
    }
    Ok(rows)
}

/// Causes one fault at a write, and compares the status that rekey reports with the target's state.
async fn once(
    site: &Arc<Site>,
    case: &Case,
    person: &Person,
    client: &mut Client,
    row: &mut Row,
    violations: &Violations,
) -> Result<()> {
    let Case { system, moment, proxy, .. } = case;
    let Person { who, info } = person;
    // An undisturbed change first, so that the next write uses an open connection.
    let id = client.change(&info.change(&password()?)?).await?;
    if !client.ended(&id).await?.is_finished {
        violations.blame(&format!("{who}: a calm change did not finish"));
    }
    let before = Seen::now(site, *system, who).await?;
    let struck = proxy.struck();
    proxy.strike(system.write(), *moment, row.trouble);
    let (wanted, begun) = (password()?, Instant::now());
    let id = client.change(&info.change(&wanted)?).await?;
    let ended = client.ended(&id).await?;
    row.longest = row.longest.max(begun.elapsed());
    proxy.heal();

    let name = format!("{who}, {system:?}, {:?} {moment:?} the write, request {id}", row.trouble);
    if proxy.struck() == struck {
        violations.blame(&format!("{name}: the write was not seen, so there was no trouble"));
    }
    // Every one of these faults passes within the deadline, so the change must not fail.
    if !ended.is_finished {
        violations.blame(&format!("{name}: FAILED, {:?}", ended.errors));
    }
    let attempts = site.attempts(&id).await?;
    row.again += usize::from(attempts > 1);
    let after = Seen::now(site, *system, who).await?;
    for wrong in before.compare(&after, attempts)? {
        violations.blame(&format!("{name}: {wrong}"));
    }
    if site.signs_in(*system, who, &wanted).await? != ended.is_finished {
        violations.blame(&format!("{name}: the status is not what the target says"));
    }
    Ok(())
}

/// The target's state of an account at a moment.
struct Seen {
    log: Log,
    kept: Kept,
    who: String,
    system: System,
}

impl Seen {
    async fn now(site: &Arc<Site>, system: System, who: &str) -> Result<Self> {
        let (mut kept, directory) = (Kept::default(), &site.targets.directory);
        let log = if system == System::Postgres {
            site.targets.postgres.log()
        } else {
            kept = directory.kept(&format!("(uid={who})")).await?.remove(who).unwrap_or_default();
            directory.log()
        };
        Ok(Self { log: Log::from_now(log)?, kept, who: who.to_owned(), system })
    }

    /// Returns everything that one request must not have done between this moment and `later`.
    fn compare(&self, later: &Self, attempts: i64) -> Result<Vec<String>> {
        let text = self.log.text()?;
        let mut wrong = Vec::new();
        let done = if self.system == System::Postgres {
            let mut writes = PostgresTarget::writes(&text);
            writes.remove(&self.who).map_or(0, |writes| writes.values().sum())
        } else {
            let writes = Directory::writes(&text);
            let writes = writes.get(&self.who).copied().unwrap_or_default();
            if writes.refused > 0 {
                wrong.push(format!("sent again {} times to be refused (error 19)", writes.refused));
            }
            writes.done
        };
        if done > 1 {
            wrong.push(format!("written {done} times"));
        }
        let set = |kept: &Kept| kept.history.iter().cloned().collect::<HashSet<_>>();
        let (had, has) = (set(&self.kept), set(&later.kept));
        let (gone, new) = (had.difference(&has).count(), has.difference(&had).count());
        if gone > 1 || new > 1 {
            wrong.push(format!("the history lost {gone} passwords and got {new}"));
        }
        let probes = later.kept.failures.saturating_sub(self.kept.failures);
        if i64::try_from(probes)? > attempts {
            wrong.push(format!("{probes} failed logins in {attempts} attempts"));
        }
        Ok(wrong)
    }
}

/// Prints one line for each kind of fault.
pub(super) fn print(rows: Vec<Row>) {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Row { system, trouble, moment, again, longest } in rows {
        lines
            .entry(format!("{system:?} {trouble:?}"))
            .or_default()
            .push(format!("{moment:?}: {again} again, {longest:.1?}"));
    }
    println!("trouble at the write: changes that took more than one attempt, the longest change");
    for (trouble, moments) in lines {
        println!("  {trouble:<28} {}", moments.join(" · "));
    }
}
