//! Instruments of a proof build: points at which the process kills itself, and promises that it
//! breaks on purpose as negative controls.
//!
//! A proof build is made with `--cfg rekey_proof`. In all other builds these functions are empty,
//! and the variables `REKEY_CRASH_AT` and `REKEY_PROOF` have no effect.

#[cfg(rekey_proof)]
pub use self::switched_on::{asks_for, crash_at, crash_soon};

/// Kills the process (SIGKILL) at this point if `REKEY_CRASH_AT` names the point.
#[cfg(not(rekey_proof))]
pub const fn crash_at(_point: &str) {}

/// Kills the process a little later, during the code after this point, if `REKEY_CRASH_AT` names
/// the point.
#[cfg(not(rekey_proof))]
pub const fn crash_soon(_point: &str) {}

/// Whether `REKEY_PROOF` names this broken promise.
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
    /// The setting `REKEY_CRASH_AT=POINT:COUNT[:MILLISECONDS]`. When the point is passed for the
    /// `COUNT`-th time, the process is killed after that delay. At `crash_at` the thread stops for
    /// the delay, the other threads go on; at `crash_soon` all go on.
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

    /// The counterpart of `crash_at` in other builds.
    pub fn crash_at(point: &str) {
        if let Some(crash) = due(point) {
            thread::sleep(crash.linger);
            die();
        }
    }

    /// The counterpart of `crash_soon` in other builds.
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
        // The signal may be delivered to another thread: this one must not continue until then.
        loop {
            thread::park();
        }
    }

    /// The counterpart of `asks_for` in other builds.
    pub fn asks_for(way: &str) -> bool {
        static WORDS: LazyLock<String> =
            LazyLock::new(|| env::var("REKEY_PROOF").unwrap_or_default());
        WORDS.split(',').any(|word| word == way)
    }
}
