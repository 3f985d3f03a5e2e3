use crate::model::change::{Outcome, State};
use std::{collections::BTreeMap, fs, path::Path};

use super::*;

const STATES: [TargetState; 9] = [
    TargetState::Queued,
    TargetState::Writing,
    TargetState::Attempting,
    TargetState::Rewriting,
    TargetState::AwaitingRecheck,
    TargetState::Restoring,
    TargetState::Applied,
    TargetState::Failed,
    TargetState::Superseded,
];

/// The next state and the effect of every pair, or `-` for an illegal pair. The last three states
/// have ended.
const PAIRS: &str = "
                Queued           Writing             Attempting          Rewriting           AwaitingRecheck          Restoring            Applied Failed Superseded
Announced       Writing:Write    -                   Rewriting:Write     -                   Restoring:Write          -                    - - -
AnswerLost      -                Attempting:Retry    -                   Attempting:Retry    -                        Attempting:Retry     - - -
Cancelled       Failed:End       -                   Failed:End          -                   Failed:End               -                    - - -
CannotTell      -                -                   Failed:End          -                   AwaitingRecheck:Confirm  -                    - - -
DeadlinePassed  Failed:End       -                   Failed:End          -                   AwaitingRecheck:Observe  -                    - - -
GroupFailed     Failed:End       -                   -                   -                   -                        -                    - - -
GroupWaits      Queued:Yield     -                   -                   -                   -                        -                    - - -
InForce         -                AwaitingRecheck:Confirm AwaitingRecheck:Confirm AwaitingRecheck:Confirm AwaitingRecheck:Confirm AwaitingRecheck:Confirm - - -
MayHaveHappened Queued:Announce  -                   Attempting:Verify   -                   AwaitingRecheck:Verify   -                    - - -
MayStillArrive  Queued:Announce  -                   Attempting:Retry    -                   AwaitingRecheck:Retry    -                    - - -
NewerAccepted   Superseded:End   -                   -                   -                   -                        -                    - - -
NotApplied      -                Queued:Yield        -                   Attempting:Retry    -                        Queued:Yield         - - -
NotHappened     Queued:Announce  -                   Attempting:Announce -                   AwaitingRecheck:Announce -                    - - -
NotInForce      -                -                   Attempting:Announce -                   AwaitingRecheck:Announce -                    - - -
NotObserved     Queued:Yield     -                   Attempting:Retry    -                   AwaitingRecheck:Retry    -                    - - -
OlderMayArrive  Queued:Yield     -                   Attempting:Observe  -                   AwaitingRecheck:Observe  -                    - - -
RecheckOverdue  Failed:End       -                   Failed:End          -                   Failed:End               -                    - - -
Refused         Failed:End       Failed:End          Failed:End          Failed:End          AwaitingRecheck:Confirm  Failed:End           - - -
Replaced        -                Failed:End          Failed:End          Failed:End          AwaitingRecheck:Announce Failed:End           - - -
Reused          -                Failed:End          -                   Rewriting:Verify    -                        Restoring:Verify     - - -
Settled         -                -                   -                   -                   Applied:End              -                    - - -
";

/// The events in the order of [`PAIRS`], which is the order of their declaration.
const EVENTS: [Event; 21] = [
    Event::Announced,
    Event::AnswerLost,
    Event::Cancelled,
    Event::CannotTell,
    Event::DeadlinePassed,
    Event::GroupFailed,
    Event::GroupWaits,
    Event::InForce,
    Event::MayHaveHappened,
    Event::MayStillArrive,
    Event::NewerAccepted,
    Event::NotApplied,
    Event::NotHappened,
    Event::NotInForce,
    Event::NotObserved,
    Event::OlderMayArrive,
    Event::RecheckOverdue,
    Event::Refused,
    Event::Replaced,
    Event::Reused,
    Event::Settled,
];

fn pairs() -> impl Iterator<Item = (TargetState, Event)> {
    STATES.into_iter().flat_map(|state| EVENTS.into_iter().map(move |event| (state, event)))
}

#[test]
fn every_pair_has_its_one_transition_or_is_illegal() {
    assert_eq!(EVENTS.map(|event| event as usize), std::array::from_fn(|at| at));
    let mut lines = PAIRS.trim().lines();
    let states: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(states, STATES.map(|state| format!("{state:?}")));
    for (line, event) in lines.by_ref().zip(EVENTS) {
        let cells: Vec<_> = line.split_whitespace().collect();
        assert_eq!((cells[0], cells.len()), (format!("{event:?}").as_str(), STATES.len() + 1));
        for (state, expected) in STATES.into_iter().zip(&cells[1..]) {
            let next = match state.next(event) {
                Ok((next, effect)) => format!("{next:?}:{effect:?}"),
                Err(illegal) => {
                    assert_eq!(illegal, Illegal { state, event });
                    "-".into()
                }
            };
            assert_eq!(next, *expected, "{state:?} × {event:?}");
        }
    }
    assert!(lines.next().is_none(), "a line without an event");
}

#[test]
fn no_pair_has_two_transitions_and_none_is_left_out_here() {
    for (from, event, to, _) in TABLE {
        assert!(EVENTS.contains(event) && STATES.contains(to), "{event:?} to {to:?}");
        assert!(from.iter().all(|state| STATES.contains(state)), "{from:?}");
    }
    for (state, event) in pairs() {
        let rows = TABLE.iter().filter(|row| row.1 == event && row.0.contains(&state));
        assert!(rows.count() <= 1, "{state:?} × {event:?}");
    }
}

#[test]
fn an_illegal_pair_is_an_error_that_names_it() {
    assert_eq!(
        TargetState::Failed.next(Event::InForce).unwrap_err().to_string(),
        "an account of a change is Failed, where InForce cannot happen"
    );
}

#[test]
fn an_effect_fits_its_state() {
    for (state, event) in pairs() {
        let Ok((next, effect)) = state.next(event) else { continue };
        let pair = format!("{state:?} × {event:?}");
        assert_eq!(effect == Effect::End, !next.is_open(), "{pair}");
        // `Writing`, `Rewriting` and `Restoring` exist only in the worker: the store records each
        // of them with the number of `Attempting`.
        let is_writing = STATES.iter().find(|other| other.number() == next.number());
        assert!(
            !effect.ends_attempt() || is_writing == Some(&next) || next.number() == 1,
            "{pair}"
        );
        match effect {
            Effect::Confirm => assert!(next.next(Event::Settled).is_ok(), "{pair}"),
            Effect::Yield => assert!(next.next(Event::NewerAccepted).is_ok(), "{pair}"),
            Effect::Announce => assert!(next.next(Event::Announced).is_ok(), "{pair}"),
            Effect::Write => assert!(next.next(Event::AnswerLost).is_ok(), "{pair}"),
            Effect::Verify => assert!(next.next(Event::InForce).is_ok(), "{pair}"),
            Effect::Observe | Effect::Retry => {
                assert!(next.next(Event::NotObserved).is_ok(), "{pair}");
            }
            Effect::End => {}
        }
    }
}

#[test]
fn a_lost_worker_is_like_a_lost_answer() {
    for state in [TargetState::Writing, TargetState::Rewriting, TargetState::Restoring] {
        let (lost, _) = state.next(Event::AnswerLost).unwrap();
        assert_eq!(TargetState::from_number(state.number()), Some(lost));
    }
}

#[test]
fn an_unknown_number_is_no_state() {
    let known = |number| TargetState::from_number(number).is_some();
    assert_eq!((-5..=9).filter(|number| known(*number)).collect::<Vec<_>>(), [-1, 0, 1, 2, 3, 4]);
    let known = |number| State::from_number(number).is_some();
    assert_eq!((-5..=9).filter(|number| known(*number)).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_change_ends_with_its_last_target_and_one_that_failed_decides() {
    use TargetState::{Applied, AwaitingRecheck, Failed, Queued, Superseded};
    let of = |targets: &[TargetState]| Outcome::of(targets.iter().copied());
    assert_eq!(of(&[Applied, Applied]), Some(Outcome::Finished));
    assert_eq!(of(&[Superseded, Applied]), Some(Outcome::Superseded));
    assert_eq!(of(&[Failed, Superseded]), Some(Outcome::Failed));
    assert_eq!(of(&[Superseded, Failed, Applied]), Some(Outcome::Failed));
    assert_eq!(of(&[Failed, Queued]), None);
    assert_eq!(of(&[AwaitingRecheck, Applied]), None);
    assert_eq!(Outcome::Superseded.state(), State::Failed);
}

#[test]
fn a_group_is_written_to_when_all_are_ready_or_one_was() {
    use TargetState::{Attempting, Failed, Queued};
    assert_eq!(group_event([(Queued, Queued, false), (Queued, Queued, false)]), None);
    assert_eq!(
        group_event([(Queued, Queued, false), (Queued, Queued, true)]),
        Some(Event::GroupWaits)
    );
    assert_eq!(
        group_event([(Queued, Queued, true), (Queued, Failed, false)]),
        Some(Event::GroupFailed)
    );
    assert_eq!(group_event([(Queued, Failed, false), (Attempting, Attempting, false)]), None);
}

#[test]
fn a_write_that_is_left_unresolved_is_remembered() {
    assert_eq!(TargetState::Attempting.unresolved_write_at(Some(2), Some(1)), Some(2));
    assert_eq!(TargetState::Attempting.unresolved_write_at(None, Some(1)), Some(1));
    assert_eq!(TargetState::Applied.unresolved_write_at(Some(2), Some(1)), Some(1));
    assert_eq!(TargetState::Superseded.unresolved_write_at(Some(2), Some(1)), None);
}

const BEGIN: &str = "<!-- begin: the transitions of crates/rekey/src/password/state/table.rs -->\n";
const END: &str = "<!-- end -->";

/// Draws the transitions as a diagram, without the steps within an attempt that keep the state.
fn diagram() -> String {
    let mut edges = BTreeMap::<_, Vec<String>>::new();
    for (state, event) in pairs() {
        let Ok((next, effect)) = state.next(event) else { continue };
        if next != state || effect.waits() {
            let from = STATES.iter().position(|other| *other == state);
            let to = STATES.iter().position(|other| *other == next);
            edges.entry((from, to)).or_default().push(words(&format!("{event:?}")));
        }
    }
    let mut lines = vec!["```mermaid".into(), "stateDiagram-v2".into()];
    lines.push("    [*] --> Queued: accepted".to_owned());
    for ((from, to), events) in edges {
        let (from, to) = (STATES[from.unwrap()], STATES[to.unwrap()]);
        lines.push(format!("    {from:?} --> {to:?}: {}", events.join(", ")));
    }
    let ended = STATES.into_iter().filter(|state| !state.is_open());
    lines.extend(ended.map(|ended| format!("    {ended:?} --> [*]")));
    lines.push("```\n".into());
    lines.join("\n")
}

/// Spells a variant's name in words: `AnswerLost` becomes `answer lost`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[test]
fn architecture_shows_these_transitions() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md");
    let page = fs::read_to_string(page).unwrap();
    let shown = page.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    let expected = diagram();
    assert!(shown.is_some_and(|(shown, _)| shown == expected), "show this:\n{expected}");
}
