//! The promises, each compared with the requests and the state in the end.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use rekey_harness::{Result, text};
use tokio::task::JoinSet;

use super::{
    facts::{APPLIED, Facts, Kept, SUPERSEDED},
    load::Load,
};
use crate::site::{Subject, Targets, login};

/// The result of one check: how many cases it examined, and the violations.
pub(crate) struct Finding {
    pub(crate) promise: &'static str,
    pub(crate) looked: usize,
    pub(crate) wrong: Vec<String>,
}

/// The first promise: finds requests answered `202` that the store does not know.
pub(crate) fn lost(load: &Load, facts: &Facts) -> Finding {
    let mut finding = Finding::of("every request answered 202 is known, under the id it was given");
    for asked in &load.model.lock().asked {
        let Some((_, id)) = &asked.accepted else { continue };
        finding.looked += 1;
        let kept = facts.by_digest.get(&asked.digest).and_then(|seq| facts.kept.get(seq));
        match kept {
            None => finding.wrong.push(format!("{id} is lost")),
            Some(kept) if kept.id != *id => {
                finding.wrong.push(format!("{id} is known as {}", kept.id));
            }
            Some(_) => {}
        }
    }
    finding
}

/// Checks all promises; the server ran undisturbed since `left_alone`, in microseconds since 1970.
pub(crate) async fn all(
    load: &Load,
    facts: &Facts,
    targets: Option<&Targets>,
    left_alone: i64,
) -> Result<Vec<Finding>> {
    Ok(vec![
        said(load),
        lost(load, facts),
        ended(facts, left_alone),
        reasons(facts),
        finished(facts),
        order(facts),
        twice(facts),
        superseded(facts),
        strange(facts),
        one_person(load, facts),
        real_time(load, facts),
        shredded(facts),
        audited(facts),
        last(facts),
        in_force(load, facts, targets).await?,
    ])
}

/// Prints one line for each promise, in the format that the test command counts.
pub(crate) fn report(findings: &[Finding]) -> Result<()> {
    let mut broken = 0;
    for Finding { promise, looked, wrong } in findings {
        if wrong.is_empty() {
            println!("ok {promise} ({looked})");
        } else {
            broken += 1;
            let some: Vec<_> = wrong.iter().take(5).map(String::as_str).collect();
            println!("not ok {promise}: {} of {looked}: {}", wrong.len(), some.join("; "));
        }
    }
    if broken == 0 { Ok(()) } else { Err(format!("{broken} promises were broken").into()) }
}

impl Finding {
    fn of(promise: &'static str) -> Self {
        Self { promise, looked: 0, wrong: Vec::new() }
    }

    /// Checks each of `things`; `wrong` returns the violation of one, if there is any.
    fn each<T>(
        promise: &'static str,
        things: impl IntoIterator<Item = T>,
        wrong: impl Fn(T) -> Option<String>,
    ) -> Self {
        let mut finding = Self::of(promise);
        for thing in things {
            finding.looked += 1;
            finding.wrong.extend(wrong(thing));
        }
        finding
    }
}

fn said(load: &Load) -> Finding {
    let known = load.model.lock();
    let promise = "every answer fits what was answered before";
    Finding { promise, looked: known.asked.len() + known.resent, wrong: known.wrong.clone() }
}

/// I1: a server that is killed repeatedly cannot keep a deadline: the time counts from `left_alone`
/// at the earliest.
fn ended(facts: &Facts, left_alone: i64) -> Finding {
    let promise = "every accepted request ended by its deadline and 30 s";
    Finding::each(promise, facts.kept.values(), |kept| {
        let late = kept.ended - kept.deadline.max(left_alone);
        if kept.state == 0 {
            return Some(format!("{} is in progress", kept.id));
        }
        (late > GRACE_MICROS).then(|| format!("{} ended {} ms after that", kept.id, late / 1000))
    })
}

/// 30 s after the deadline, and 5 s more for a claim of a dead worker to lapse.
const GRACE_MICROS: i64 = 35_000_000;

/// The kills are no reason for a failure. Valid reasons: the deadline passed, no worker lived long
/// enough to verify the write at the deadline, or the change was interrupted three times. A change
/// replaced by a newer one is superseded.
fn reasons(facts: &Facts) -> Finding {
    let targets = facts.kept.values().flat_map(|kept| kept.targets.iter().map(move |t| (kept, t)));
    Finding::each("no account failed but for a reason that is one", targets, |(kept, target)| {
        let open = ![APPLIED, SUPERSEDED].contains(&target.state);
        let fair = REASONS.iter().any(|reason| target.error.contains(reason));
        (open && !fair && kept.state != 0).then(|| format!("{}: {}", kept.id, target.error))
    })
}

/// Parts of the error texts of valid reasons; if one member of a sync group has such a reason, the
/// remaining members fail as a consequence.
const REASONS: &[&str] = &[
    "deadline",
    "it could not be looked at again",
    "given up: rekey stopped three times",
    "another system of the sync group",
];

fn finished(facts: &Facts) -> Finding {
    let applied = facts.kept.iter().flat_map(|(seq, kept)| {
        kept.targets.iter().filter(|t| t.state == APPLIED).map(move |target| (seq, kept, target))
    });
    let promise = "what is said to be done took effect, on every account";
    Finding::each(promise, applied, |(seq, kept, target)| {
        let did = facts.effects.get(&target.place).is_some_and(|effects| effects.contains(seq));
        (!did).then(|| format!("{} never took effect at {}", kept.id, target.place))
    })
}

fn order(facts: &Facts) -> Finding {
    let promise = "changes of one account took effect in the order of their acceptance";
    let pairs = facts
        .effects
        .iter()
        .flat_map(|(place, effects)| effects.windows(2).map(move |pair| (place, pair)));
    Finding::each(promise, pairs, |(place, pair)| match pair {
        [first, second] if first > second => {
            Some(format!("{second} took effect after {first} at {place}"))
        }
        _ => None,
    })
}

fn twice(facts: &Facts) -> Finding {
    let promise = "nothing took effect twice";
    let pairs = facts
        .effects
        .iter()
        .flat_map(|(place, effects)| effects.windows(2).map(move |pair| (place, pair)));
    Finding::each(promise, pairs, |(place, pair)| match pair {
        [first, second] if first == second => {
            Some(format!("{first} took effect twice in a row at {place}"))
        }
        _ => None,
    })
}

fn superseded(facts: &Facts) -> Finding {
    let promise = "what stepped aside for a newer change never took effect";
    let aside = facts.kept.iter().flat_map(|(seq, kept)| {
        kept.targets.iter().filter(|t| t.state == SUPERSEDED).map(move |target| (seq, kept, target))
    });
    Finding::each(promise, aside, |(seq, kept, target)| {
        let did = facts.effects.get(&target.place).is_some_and(|effects| effects.contains(seq));
        did.then(|| format!("{} took effect at {}", kept.id, target.place))
    })
}

fn strange(facts: &Facts) -> Finding {
    let promise = "nothing took effect that nobody asked for";
    let looked = facts.effects.values().map(Vec::len).sum::<usize>() + facts.strange.len();
    Finding { promise, looked, wrong: facts.strange.clone() }
}

/// Checks that a ciphertext works only for the person for whom it was first accepted.
fn one_person(load: &Load, facts: &Facts) -> Finding {
    let promise = "no ciphertext worked for two people";
    let known = load.model.lock();
    Finding::each(promise, &known.asked, |asked| {
        let own = load
            .subjects
            .get(asked.subject)
            .map(|subject| text(&subject.info.answer, "identityId"));
        let kept = facts.by_digest.get(&asked.digest).and_then(|seq| facts.kept.get(seq));
        let whose = kept.map(|kept| kept.identity.clone());
        match (&asked.accepted, asked.refused) {
            (Some((_, id)), _) if whose.is_some() && whose != own => {
                Some(format!("{id} was accepted for one person and is another's"))
            }
            (None, true) if whose.is_none() || whose == own => {
                Some("a request was refused as if it were another person's".to_owned())
            }
            _ => None,
        }
    })
}

/// Checks that a request answered before another one was sent precedes it in the order of
/// acceptance.
fn real_time(load: &Load, facts: &Facts) -> Finding {
    let known = load.model.lock();
    let mut subjects: HashMap<usize, Vec<_>> = HashMap::new();
    for asked in &known.asked {
        if let (Some((accepted, id)), Some(seq)) =
            (&asked.accepted, facts.by_digest.get(&asked.digest))
        {
            subjects.entry(asked.subject).or_default().push((*seq, asked.sent, *accepted, id));
        }
    }
    let mut finding = Finding::of("what was accepted before another was sent comes before it");
    for subject in subjects.values_mut() {
        subject.sort_by_key(|(seq, ..)| std::cmp::Reverse(*seq));
        let mut earliest: Option<Instant> = None;
        for (_, sent, accepted, id) in subject.iter() {
            finding.looked += 1;
            if earliest.is_some_and(|earliest| earliest < *sent) {
                finding.wrong.push(format!("{id} was sent after a later one was accepted"));
            }
            earliest = Some(earliest.map_or(*accepted, |known| known.min(*accepted)));
        }
    }
    finding
}

fn shredded(facts: &Facts) -> Finding {
    let ended = facts.kept.values().filter(|kept| kept.state != 0);
    Finding::each("no ended request keeps its ciphertext", ended, |kept| {
        (!kept.is_shredded).then(|| kept.id.clone())
    })
}

fn audited(facts: &Facts) -> Finding {
    let promise = "the audit trail says once that a request began, and once that it ended";
    Finding::each(promise, facts.kept.values(), |kept| {
        let (begun, ended) = facts.audited.get(&kept.id).copied().unwrap_or_default();
        let wanted = i64::from(kept.state != 0);
        ((begun, ended) != (1, wanted)).then(|| format!("{}: {begun} and {ended}", kept.id))
    })
}

/// For each account, the last request that was not superseded, with its sequence number and state.
fn last_of_each(facts: &Facts) -> BTreeMap<&str, (i64, &Kept, i64)> {
    let mut last = BTreeMap::new();
    for (seq, kept) in &facts.kept {
        for target in kept.targets.iter().filter(|target| target.state != SUPERSEDED) {
            last.insert(target.place.as_str(), (*seq, kept, target.state));
        }
    }
    last
}

fn last(facts: &Facts) -> Finding {
    let promise = "the last accepted change of each account is the last that took effect there";
    Finding::each(promise, last_of_each(facts), |(place, (seq, kept, state))| {
        let effect = facts.effects.get(place).and_then(|effects| effects.last());
        (state == APPLIED && effect != Some(&seq)).then(|| format!("{} at {place}", kept.id))
    })
}

/// Signs in to each account with the password that took effect last.
async fn in_force(load: &Load, facts: &Facts, targets: Option<&Targets>) -> Result<Finding> {
    let mut finding = Finding::of("a login with the last password succeeds, on every account");
    let passwords: HashMap<String, String> = {
        let known = load.model.lock();
        known.asked.iter().map(|asked| (asked.digest.clone(), asked.password.clone())).collect()
    };
    let users: HashMap<String, &Subject> = load
        .subjects
        .iter()
        .map(|subject| (text(&subject.info.answer, "identityId"), subject))
        .collect();
    let mut logins = JoinSet::new();
    for (place, effects) in &facts.effects {
        let Some(kept) = effects.last().and_then(|seq| facts.kept.get(seq)) else { continue };
        let (Some(password), Some(subject)) =
            (passwords.get(&kept.digest).cloned(), users.get(&kept.identity))
        else {
            finding.wrong.push(format!("{} was never asked for", kept.id));
            continue;
        };
        let (place, user) = (place.clone(), subject.user.clone());
        let (targets, verifier) = (targets.cloned(), facts.verifiers.get(&place).cloned());
        logins.spawn(async move {
            let done = match (place.split(' ').next(), &targets) {
                (Some("ldap"), Some(targets)) => login::directory(targets, &user, &password).await,
                (Some("postgresql"), Some(targets)) => {
                    login::database(targets, &user, &password).await
                }
                _ => login::built_in(&verifier.unwrap_or_default(), &password).await,
            };
            (place, done)
        });
        // At most 8 sessions run concurrently.
        while logins.len() >= 8 {
            finding.count(logins.join_next().await);
        }
    }
    while let Some(done) = logins.join_next().await {
        finding.count(Some(done));
    }
    Ok(finding)
}

impl Finding {
    fn count(
        &mut self,
        login: Option<std::result::Result<(String, Result<bool>), tokio::task::JoinError>>,
    ) {
        self.looked += 1;
        match login {
            Some(Ok((_, Ok(true)))) => {}
            Some(Ok((place, Ok(false)))) => self.wrong.push(format!("not at {place}")),
            Some(Ok((place, Err(error)))) => self.wrong.push(format!("{place}: {error}")),
            Some(Err(_)) | None => self.wrong.push("a login broke".to_owned()),
        }
    }
}
