//! How long things may take, and why two writes to one account stay apart.
//!
//! A write is announced, then sent within [`WRITE_BY`] or not at all, and [`ARRIVES_WITHIN`] later
//! it has arrived or never will: the connector and the kernel give it up then. Nothing else is
//! written to the account before that. The claim lasts exactly as long, so that the next worker
//! may write at once.
//!
//! What this does not bound is a process that is stopped after its last look at the clock and
//! before the bytes leave. Where the source cannot compare and set, such a write is not prevented
//! but repaired: see [`settles`].

use std::time::Duration;

use crate::model::time::Micros;

/// How long a claim lasts unless it is renewed, as it is when a write is announced. With the next
/// poll and the time it takes to say so, what is left behind still ends within 30 s of its
/// deadline.
pub const LEASE: Duration = Duration::from_secs(25);
/// No write is sent later than this after it was announced.
pub(super) const WRITE_BY: Duration = Duration::from_secs(15);
/// When a connector gives up, and the kernel behind it.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// What a worker found out must be kept this long before its claim ends.
const TO_SAY_SO: Duration = Duration::from_secs(2);
/// The longest stop of a process, at the worst moment, that is still repaired.
const STOPPED: Duration = Duration::from_mins(1);
/// How long after its deadline a password in force may still be rechecked: with a claim, that is
/// within the 30 s.
const LAST_RECHECK: Duration = Duration::from_secs(4);
/// A change in whose hands this many workers were lost is not given to another one.
const LAPSES: i64 = 3;

const _: () = assert!(LEASE.as_millis() >= WRITE_BY.as_millis() + ARRIVES_WITHIN.as_millis());

/// From the announcement on: until when a confirmed write may still be verified.
pub(super) const VERIFIED_BY: Duration = LEASE.saturating_sub(TO_SAY_SO);

/// How much longer a write that was announced and of which nothing more is known may still arrive.
pub(super) fn may_arrive(announced: Option<Micros>, now: Micros) -> Option<Duration> {
    remains(announced, WRITE_BY.saturating_add(ARRIVES_WITHIN), now)
}

/// How much longer a password is not settled: an older change left a write behind, and a stopped
/// process may still send it. It is rechecked when that is over.
pub(super) fn settles(unresolved_write_at: Option<Micros>, now: Micros) -> Option<Duration> {
    remains(unresolved_write_at, WRITE_BY.saturating_add(STOPPED), now)
}

/// Until when a password that is not settled may still be rechecked, and be written once more.
pub(super) fn last_recheck(deadline: Micros) -> Micros {
    deadline.plus(LAST_RECHECK)
}

/// Whether a change takes the processes with it that carry it out.
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
