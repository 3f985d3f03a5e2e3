//! Load at a fixed rate, independent of the server's speed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rekey_harness::{Connection, Result};

/// Creates the request with the given number.
pub(crate) type Next = Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// Sends `rate` requests a second over `connections` connections for `time`. Returns, sorted, the
/// time from when each request was due to its answer, whether or not its connection was free by
/// then: a late answer delays the following ones, too.
pub(crate) async fn paced(
    address: &str,
    connections: u32,
    rate: f64,
    time: Duration,
    status: u16,
    next: Next,
) -> Result<Vec<Duration>> {
    let every = Duration::from_secs_f64(f64::from(connections) / rate);
    let started = Instant::now();
    let mut tasks = Vec::new();
    for place in 0..connections {
        let mut connection = Connection::open(address).await?;
        let next = next.clone();
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            let mut due = started + every.mul_f64(f64::from(place) / f64::from(connections));
            let mut number = u64::from(place);
            while started.elapsed() < time {
                tokio::time::sleep_until(due.into()).await;
                let answer = connection.ask(&next(number)).await?;
                if answer.status != status {
                    return Err(format!("{}: {}", answer.status, answer.body).into());
                }
                times.push(due.elapsed());
                number += u64::from(connections);
                due += every;
            }
            Ok::<_, rekey_harness::Error>(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort();
    Ok(times)
}

/// The percentile of sorted times, in milliseconds.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> f64 {
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
