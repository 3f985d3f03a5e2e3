//! Two thousand seeded histories, and the wrong pipelines as negative controls.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use rekey_simulation::{CONTROLS, Simulator, describe};

const SEEDS: u64 = 2_000;

/// Seeds that once broke a promise, and the fault each found. A seed repeats its history only until
/// the simulation draws its numbers differently; each fault has a test of its own, too.
const KEPT: &[(u64, &str)] = &[
    (97, "what waited for its check was FINISHED at its deadline without it"),
    (186, "what waited for its check was FINISHED at its deadline without it"),
    (801, "a worker lost while it ended a change held up the end for a whole lease"),
    (918, "a worker lost while it ended a change held up the end for a whole lease"),
    (919, "a worker lost while it ended a change held up the end for a whole lease"),
    (1427, "a worker lost while it ended a change held up the end for a whole lease"),
    (5566, "the last look at a password failed, and it was FINISHED without"),
    (9903, "the last look at a password failed, and it was FINISHED without"),
    (13461, "workers lost in the last look at a password held up the end"),
    (40845, "a password was written once more long after its deadline, and held up the end"),
    (13505, "the last look at a password failed, and it was FINISHED without"),
];

#[test]
fn every_history_keeps_every_promise() {
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let simulator = Simulator::new().unwrap();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    let outcome = simulator.run(seed, None, false).unwrap();
                    assert!(outcome.broken.is_empty(), "{}", describe(seed, &outcome));
                }
            });
        }
    });
}

#[test]
fn what_was_found_once_is_not_found_again() {
    let simulator = Simulator::new().unwrap();
    for (seed, what) in KEPT {
        let outcome = simulator.run(*seed, None, false).unwrap();
        assert!(outcome.broken.is_empty(), "{what}\n{}", describe(*seed, &outcome));
    }
}

#[test]
fn every_wrong_pipeline_is_found() {
    let simulator = Simulator::new().unwrap();
    for control in CONTROLS {
        let breaks =
            |seed: &u64| !simulator.run(*seed, Some(*control), false).unwrap().broken.is_empty();
        assert!((0..SEEDS).any(|seed| breaks(&seed)), "{} keeps every promise", control.name());
    }
}

#[test]
fn a_seed_is_the_same_history_each_time() {
    let (one, other) = (Simulator::new().unwrap(), Simulator::new().unwrap());
    for seed in 0..20 {
        let first = one.run(seed, None, true).unwrap();
        assert!(first.story.len() > 5);
        assert_eq!(first, other.run(seed, None, true).unwrap());
    }
}
