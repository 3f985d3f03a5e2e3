//! What only a proof build has: points at which it kills itself, and promises it breaks on purpose
//! so that a proof can be seen to fail.
//!
//! A proof build is made with `--cfg rekey_proof`. In every other build these functions are empty,
//! and nothing in the environment changes what rekey does.

#[cfg(rekey_proof)]
pub use self::switched_on::{asks_for, crash_at, crash_soon};

/// The process kills itself here (SIGKILL), if `REKEY_CRASH_AT` says so.
#[cfg(not(rekey_proof))]
pub const fn crash_at(_point: &str) {}

/// The process kills itself a little later, while what comes next is under way, if
/// `REKEY_CRASH_AT` says so.
#[cfg(not(rekey_proof))]
pub const fn crash_soon(_point: &str) {}

/// Whether `REKEY_PROOF` names this way to break a promise.
#[cfg(not(rekey_proof))]
pub const fn asks_for(_way: &str) -> bool {
    false
}

#[cfg(rekey_proof)]
mod switched_on {
    use std::{
        env,
        sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        },
        thread,
        time::Duration,
    };

    use rustix::process::{Signal, getpid, kill_process};
    /// `REKEY_CRASH_AT=POINT:COUNT[:MILLISECONDS]`: the process is killed when the point is passed
    /// for the `COUNT`-th time, after standing still there for so long; the other threads go on.
    struct Crash {
        point: String,
        count: u64,
        linger: Duration,
    }

    static CRASH: LazyLock<Option<Crash>> = LazyLock::new(|| {
        let text = env::var("REKEY_CRASH_AT").ok()?;
        let mut parts = text.split(':');
        let point = parts.next()?.to_owned();
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        let count = number().unwrap_or(1);
        Some(Crash { point, count, linger: Duration::from_millis(number().unwrap_or(0)) })
    });
    static PASSED: AtomicU64 = AtomicU64::new(0);

    fn due(point: &str) -> Option<&'static Crash> {
        let crash = CRASH.as_ref().filter(|crash| crash.point == point)?;
        (PASSED.fetch_add(1, Ordering::Relaxed) + 1 == crash.count).then_some(crash)
    }

    /// See the other build's.
    pub fn crash_at(point: &str) {
        if let Some(crash) = due(point) {
            thread::sleep(crash.linger);
            die();
        }
    }

    /// See the other build's.
    pub fn crash_soon(point: &str) {
        if let Some(crash) = due(point) {
            thread::spawn(|| {
                thread::sleep(crash.linger);
                die();
            });
        }
    }

    fn die() -> ! {
        let _ = kill_process(getpid(), Signal::KILL);
        // Another thread may be the one that takes the signal: this one goes no further.
        loop {
            thread::park();
        }
    }

    /// See the other build's.
    pub fn asks_for(way: &str) -> bool {
        static WORDS: LazyLock<String> =
            LazyLock::new(|| env::var("REKEY_PROOF").unwrap_or_default());
        WORDS.split(',').any(|word| word == way)
    }
}
