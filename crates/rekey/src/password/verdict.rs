//! Translates the answers of a source into events of the state machine. This module does no I/O, so
//! that it can be tested and simulated by itself.

use std::time::Duration;

use rekey_connectors::{Fault, Stamp, Verdict, Verification};

use super::state::Event;

/// Interprets the stamp that was observed after a lost answer. A different stamp means that the
/// write may have happened. An unchanged stamp proves that it did not happen and an unknown stamp
/// proves nothing, but both only when the write can no longer arrive (`may_arrive` is false).
pub fn observed(before: &Stamp, now: &Stamp, may_arrive: bool) -> Event {
    match (before.is_known(), before == now) {
        (true, false) => Event::MayHaveHappened,
        _ if may_arrive => Event::MayStillArrive,
        (true, true) => Event::NotHappened,
        (false, _) => Event::MayHaveHappened,
    }
}

/// Returns the event for a fault that replaced an observation.
pub fn not_observed(fault: &Fault) -> Event {
    if fault.is_transient() { Event::NotObserved } else { Event::Refused }
}

/// Returns the event for a write that failed with a fault and was not applied.
pub fn not_applied(fault: &Fault) -> Event {
    if fault.is_transient() { Event::NotApplied } else { Event::Refused }
}

/// Returns the event for the verification after a lost answer or at a recheck, and the error text
/// if the event may fail the account.
pub fn resolved(verdict: Verdict, stamp_known: bool) -> (Event, Option<&'static str>) {
    match (verdict, stamp_known) {
        (Verdict::Yes, _) => (Event::InForce, None),
        // Another password is in force, and without a stamp it may be the old one or a newer one:
        // the write did not happen, or was overwritten. A second write fulfils the request.
        (Verdict::No, false) => (Event::NotInForce, None),
        (Verdict::No, true) => (
            Event::Replaced,
            Some(
                "the password was changed outside rekey while the change was under way; nothing more was written",
            ),
        ),
        (Verdict::CannotTell, _) => (
            Event::CannotTell,
            Some(
                "the answer was lost and it cannot be found out whether the password is in force: change it again",
            ),
        ),
    }
}

/// Whether a write that the source confirmed needs no further verification. That is so if its stamp
/// changed, and if the stamp could not be read (`None`): the source's confirmation is then the only
/// evidence.
pub fn is_confirmed(verification: Verification, before: &Stamp, now: Option<&Stamp>) -> bool {
    match verification {
        Verification::Stamp => now.is_none_or(|now| now.is_known() && now != before),
        Verification::Exact => false,
    }
}

/// Returns the event for the exact verification of a confirmed write, and the error text if the
/// event fails the account.
pub fn verified(verdict: Verdict) -> (Event, Option<&'static str>) {
    match verdict {
        // The source has confirmed the write: only a definite `No` refutes that.
        Verdict::CannotTell | Verdict::Yes => (Event::InForce, None),
        Verdict::No => (
            Event::Replaced,
            Some(
                "the source confirmed the change, but another password is in force: it was changed again outside rekey",
            ),
        ),
    }
}

/// Returns the pause after the `attempt`-th attempt, counted from 1. It is fully jittered over
/// `min(60 s, 1 s · 2^n)`, and at least `asked`, the pause that the source asked for.
pub fn pause(attempt: i64, asked: Option<Duration>, random: u64) -> Duration {
    let doublings = u32::try_from(attempt.clamp(0, 6)).unwrap_or(6);
    let most = Duration::from_secs(1).saturating_mul(1 << doublings).min(Duration::from_mins(1));
    jitter(most, random).max(asked.unwrap_or_default())
}

/// Returns a time below `most`, derived from the given random number.
fn jitter(most: Duration, random: u64) -> Duration {
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(random % most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(text: &str) -> Stamp {
        Stamp(text.to_owned())
    }

    #[test]
    fn only_an_unchanged_known_stamp_says_that_nothing_happened() {
        assert_eq!(observed(&stamp("1"), &stamp("1"), false), Event::NotHappened);
        assert_eq!(observed(&stamp("1"), &stamp("2"), false), Event::MayHaveHappened);
        assert_eq!(observed(&stamp(""), &stamp(""), false), Event::MayHaveHappened);
    }

    #[test]
    fn a_write_may_arrive_unless_the_stamp_moved() {
        assert_eq!(observed(&stamp("1"), &stamp("1"), true), Event::MayStillArrive);
        assert_eq!(observed(&stamp(""), &stamp(""), true), Event::MayStillArrive);
        assert_eq!(observed(&stamp("1"), &stamp("2"), true), Event::MayHaveHappened);
    }

    #[test]
    fn a_confirmed_write_is_verified_where_the_stamp_did_not_move() {
        let before = stamp("1");
        assert!(is_confirmed(Verification::Stamp, &before, Some(&stamp("2"))));
        assert!(is_confirmed(Verification::Stamp, &before, None));
        assert!(!is_confirmed(Verification::Stamp, &before, Some(&before)));
        assert!(!is_confirmed(Verification::Stamp, &before, Some(&stamp(""))));
        assert!(!is_confirmed(Verification::Exact, &before, Some(&stamp("2"))));
    }

    #[test]
    fn pauses_grow_to_a_minute_and_jitter_over_all_of_it() {
        assert!(pause(1, None, u64::MAX) < Duration::from_secs(2));
        assert!((0..1000).all(|n| pause(40, None, n * 7_919_113) < Duration::from_mins(1)));
        assert_eq!(pause(3, Some(Duration::from_secs(30)), 0), Duration::from_secs(30));
    }
}
