//! The number of connections that this process's limit of open files allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most connections at once, however many files may be open: each takes some ten kilobytes.
pub(super) const CONNECTIONS: usize = 4096;
/// The least number of files reserved for the store and the connected systems.
const KEPT: usize = 256;
/// Files reserved for each change that may execute at once: its connections to its targets.
const KEPT_PER_WORKER: usize = 2;

/// Raises the soft limit of open files to the hard one. Returns the number of connections that
/// clients may have at once beside the files that the store and `workers` workers need.
pub(super) fn connections(workers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let in_force = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    let files = in_force.current.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let kept = KEPT.max(workers.saturating_mul(KEPT_PER_WORKER)) + super::METRICS_CONNECTIONS;
    let most = share(files, kept);
    if most < CONNECTIONS {
        tracing::warn!(
            "clients may have {most} connections at once: this process may open {files} files, of which rekey keeps up to {kept} for its store and the connected systems; for {CONNECTIONS} connections, raise the hard limit (`LimitNOFILE` of systemd, `ulimit -Hn`) to {}",
            CONNECTIONS + kept
        );
    }
    most
}

/// The number of client connections: the files beyond `kept`, but at least a quarter of all. If
/// files are short, the store and the targets keep most of them: without those, rekey has nothing
/// to serve.
fn share(files: usize, kept: usize) -> usize {
    files.saturating_sub(kept).max(files / 4).clamp(1, CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_and_the_targets_keep_theirs() {
        for (files, most) in
            [(usize::MAX, 4096), (4384, 4096), (1024, 736), (512, 224), (300, 75), (4, 1), (0, 1)]
        {
            assert_eq!(share(files, 288), most, "{files}");
        }
    }
}
