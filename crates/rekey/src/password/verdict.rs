//! What to make of what a target said: decisions without any I/O, so that they can be tested and
//! simulated by themselves.

use std::time::Duration;

use rekey_connectors::{Fault, Rejection, Stamp, Verdict, Verification};

use super::TargetState;

/// What is known of one account after an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The password is in force.
    Applied,
    /// It will not be, for good; in words.
    Failed(String),
    /// Nothing was written; ask again later.
    NotYet(String),
    /// A write may have happened; look again later, and write nothing before.
    Unknown(String),
}

/// What to do with an account whose last write may or may not have happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// One verification decides.
    Verify,
    /// The write may still arrive: look again when it no longer can.
    Wait,
    /// Nothing was written: the write is safe.
    Write,
}

/// After a lost answer: a changed stamp is decided by one verification; an unchanged one proves
/// that nothing was written, and an unknown one proves nothing, but only when nothing may arrive
/// any more.
pub fn after_unknown(before: &Stamp, now: &Stamp, may_arrive: bool) -> Next {
    match (before.is_known(), before == now) {
        (true, false) => Next::Verify,
        _ if may_arrive => Next::Wait,
        (true, true) => Next::Write,
        (false, _) => Next::Verify,
    }
}

/// A fault instead of a look. What may have happened before is not known any better; what was in
/// force is not less so.
pub fn not_observed(fault: &Fault, state: TargetState) -> Found {
    match (state, faulted(fault)) {
        (TargetState::Attempting | TargetState::Settling, Found::NotYet(why)) => {
            Found::Unknown(why)
        }
        (TargetState::Settling, Found::Failed(_)) => Found::Applied,
        (_, found) => found,
    }
}

/// What the one verification found, after a lost answer or when all should be settled; none if
/// the password is to be written once more.
pub fn resolved(verdict: Verdict, state: TargetState, stamp_known: bool) -> Option<Found> {
    match (verdict, stamp_known) {
        (Verdict::Yes, _) => Some(Found::Applied),
        (Verdict::No, _) if state == TargetState::Settling => None,
        (Verdict::CannotTell, _) if state == TargetState::Settling => Some(Found::Applied),
        // Another password is in force and the source cannot tell whether it is a new one: the
        // write did not happen, or was overwritten; writing once more is what was asked.
        (Verdict::No, false) => None,
        (Verdict::No, true) => Some(Found::Failed(
            "the password was changed outside rekey while the change was under way; nothing more was written".into(),
        )),
        (Verdict::CannotTell, _) => Some(Found::Failed(
            "the answer was lost and it cannot be found out whether the password is in force: change it again".into(),
        )),
    }
}

/// How a confirmed write is to be verified.
pub fn confirmed(verification: Verification, before: &Stamp, now: Option<&Stamp>) -> Option<Found> {
    match (verification, now) {
        (Verification::Stamp, Some(now)) if now.is_known() && now != before => Some(Found::Applied),
        // Not even the stamp can be read: the source's word is all there is.
        (Verification::Stamp, None) => Some(Found::Applied),
        (Verification::Stamp | Verification::Exact, _) => None,
    }
}

/// What the exact verification of a confirmed write found.
pub fn verified(verdict: Verdict) -> Found {
    match verdict {
        Verdict::CannotTell | Verdict::Yes => Found::Applied,
        Verdict::No => Found::Failed(
            "the source confirmed the change, but another password is in force: it was changed again outside rekey".into(),
        ),
    }
}

/// A refusal: final, unless it may be the echo of our own success.
pub fn rejected(rejection: &Rejection, after_unknown: bool) -> Option<Found> {
    if rejection.reused && after_unknown {
        return None;
    }
    Some(Found::Failed(rejection.message.clone()))
}

/// A fault before anything was written. People read these words: the full ones are in the log.
pub fn faulted(fault: &Fault) -> Found {
    let words = fault.public().to_owned();
    if fault.is_transient() { Found::NotYet(words) } else { Found::Failed(words) }
}

/// A fault instead of a write. After a lost answer the earlier write may still arrive: the next
/// look decides, against the same stamp.
pub fn not_applied(fault: &Fault, after_unknown: bool) -> Found {
    if after_unknown && fault.is_transient() {
        return Found::Unknown(fault.public().to_owned());
    }
    faulted(fault)
}

/// When to try again after the `attempt`-th try (from 1): full jitter over `min(60 s, 1 s · 2^n)`.
pub fn pause(attempt: i64, asked: Option<Duration>, random: u64) -> Duration {
    let doublings = u32::try_from(attempt.clamp(0, 6)).unwrap_or(6);
    let most = Duration::from_secs(1).saturating_mul(1 << doublings).min(Duration::from_mins(1));
    jitter(most, random).max(asked.unwrap_or_default())
}

/// A random length of time up to `most`, from the given random number.
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
    fn only_an_unchanged_known_stamp_allows_a_second_write() {
        assert_eq!(after_unknown(&stamp("1"), &stamp("1"), false), Next::Write);
        assert_eq!(after_unknown(&stamp("1"), &stamp("2"), false), Next::Verify);
        assert_eq!(after_unknown(&stamp(""), &stamp(""), false), Next::Verify);
    }

    #[test]
    fn nothing_is_written_while_an_earlier_write_may_arrive() {
        assert_eq!(after_unknown(&stamp("1"), &stamp("1"), true), Next::Wait);
        assert_eq!(after_unknown(&stamp(""), &stamp(""), true), Next::Wait);
        assert_eq!(after_unknown(&stamp("1"), &stamp("2"), true), Next::Verify);
    }

    #[test]
    fn what_was_in_force_is_written_again_only_when_it_is_not_any_more() {
        let settling = TargetState::Settling;
        assert_eq!(resolved(Verdict::No, settling, true), None);
        assert_eq!(resolved(Verdict::CannotTell, settling, true), Some(Found::Applied));
        let gone = Fault::new(rekey_connectors::FaultKind::NoAccount, "gone");
        assert_eq!(not_observed(&gone, settling), Found::Applied);
        assert_eq!(not_observed(&gone, TargetState::Queued), Found::Failed("gone".into()));
    }

    #[test]
    fn a_reuse_refusal_is_final_only_where_no_answer_was_lost() {
        let refusal = Rejection { message: "in history".into(), reused: true };
        assert!(rejected(&refusal, true).is_none());
        assert_eq!(rejected(&refusal, false), Some(Found::Failed("in history".into())));
    }

    #[test]
    fn a_fault_after_a_lost_answer_leaves_it_unknown() {
        let fault = Fault::new(rekey_connectors::FaultKind::Unreachable, "10.0.0.1:636 refused it");
        let words = "the source cannot be reached".to_owned();
        assert_eq!(not_applied(&fault, false), Found::NotYet(words.clone()));
        assert_eq!(not_applied(&fault, true), Found::Unknown(words));
    }

    #[test]
    fn pauses_grow_to_a_minute_and_jitter_over_all_of_it() {
        assert!(pause(1, None, u64::MAX) < Duration::from_secs(2));
        assert!((0..1000).all(|n| pause(40, None, n * 7_919_113) < Duration::from_mins(1)));
        assert_eq!(pause(3, Some(Duration::from_secs(30)), 0), Duration::from_secs(30));
    }
}
