//! Metrics of this process, read from the kernel (`/proc/self`).

use std::fs;

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

/// Registers the gauges under the names that Prometheus' own clients use. A value that cannot be
/// read is left out.
pub(super) fn register(to: &mut Registry) {
    let mut gauge = |name: &str, help: &str, value: Option<i64>| {
        if let Some(value) = value {
            let gauge: Gauge = Gauge::default();
            gauge.set(value);
            to.register(name, help, gauge);
        }
    };
    gauge("process_resident_memory_bytes", "Resident memory size in bytes", resident());
    gauge("process_open_fds", "Open file descriptors", open_files());
    gauge("process_max_fds", "Most file descriptors that may be open", most_files());
}

fn resident() -> Option<i64> {
    let pages: i64 =
        fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(i64::try_from(rustix::param::page_size()).ok()?)
}

fn open_files() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

fn most_files() -> Option<i64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    i64::try_from(limit).ok()
}
