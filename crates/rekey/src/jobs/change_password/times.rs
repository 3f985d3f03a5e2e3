//! The time limits of a change, and why two writes to one account never overlap.
//!
//! A write is announced, and then either sent within [`WRITE_BY`] or not sent. [`ARRIVES_WITHIN`]
//! after that limit it has arrived or never will: the connector and the kernel have given it up.
//! Nothing else is written to the account before that time. A claim lasts exactly as long, so that
//! the next worker may write immediately.
//!
//! One case is not bounded: a process that is stopped between its last reading of the clock and the
//! sending of the bytes. If the source has no compare-and-set, such a late write cannot be
//! prevented; it is repaired, see [`settles`].

use std::time::Duration;

use crate::model::time::Micros;

/// Duration of a claim; announcing a write renews it. With the next poll and the recording of the
/// result, a change whose worker was lost still ends within 30 s of its deadline.
pub const LEASE: Duration = Duration::from_secs(25);
/// A write is sent within this time of its announcement, or not sent.
pub(super) const WRITE_BY: Duration = Duration::from_secs(15);
/// Time after which the connector, and the kernel below it, give up a write that was sent.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// A worker must begin to record its result this long before its claim ends.
const TO_SAY_SO: Duration = Duration::from_secs(2);
/// Longest stop of a process, at the worst moment, whose late write is still repaired.
const STOPPED: Duration = Duration::from_mins(1);
/// Time after the deadline in which a password in force may still be rechecked. The claim lasts
/// 25 s, so that the recheck ends within 30 s of the deadline.
const LAST_RECHECK: Duration = Duration::from_secs(4);
/// A change is given up after this many lost workers.
const LAPSES: i64 = 3;

const _: () = assert!(LEASE.as_millis() >= WRITE_BY.as_millis() + ARRIVES_WITHIN.as_millis());

/// Time after the announcement in which a confirmed write may still be verified.
pub(super) const VERIFIED_BY: Duration = LEASE.saturating_sub(TO_SAY_SO);

/// Returns how much longer an announced write with an unknown outcome may still arrive; `None` if
/// it no longer can.
pub(super) fn may_arrive(announced: Option<Micros>, now: Micros) -> Option<Duration> {
    remains(announced, WRITE_BY.saturating_add(ARRIVES_WITHIN), now)
}

/// Returns how much longer a password is unsettled; `None` if it is settled. An older change has
/// abandoned a write, which a stopped process may still send: the password is rechecked after this
/// time.
pub(super) fn settles(unresolved_write_at: Option<Micros>, now: Micros) -> Option<Duration> {
    remains(unresolved_write_at, WRITE_BY.saturating_add(STOPPED), now)
}

/// Returns the time until which an unsettled password may be rechecked, and written once more.
pub(super) fn last_recheck(deadline: Micros) -> Micros {
    deadline.plus(LAST_RECHECK)
}

/// Whether a change has lost so many workers that it must be the cause.
pub(super) fn is_poison(lapses: i64) -> bool {
    lapses >= LAPSES
}

fn remains(since: Option<Micros>, span: Duration, now: Micros) -> Option<Duration> {
    let until = since?.plus(span);
    let left = u64::try_from(until.0.saturating_sub(now.0)).ok().filter(|left| *left > 0)?;
    Some(Duration::from_micros(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_over_may_write_at_once_and_nobody_before() {
        let announced = Micros(1_000_000);
        let (last, over) = (LEASE.saturating_sub(Duration::from_micros(1)), LEASE);
        assert_eq!(may_arrive(None, announced), None);
        assert_eq!(
            may_arrive(Some(announced), announced.plus(last)),
            Some(Duration::from_micros(1))
        );
        assert_eq!(may_arrive(Some(announced), announced.plus(over)), None);
        assert!(settles(Some(announced), announced.plus(over)).is_some());
    }
}
