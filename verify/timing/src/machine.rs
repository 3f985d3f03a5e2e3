//! A description of the machine, and pinning to one core.

use std::fs;

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The processor, which a table of measurements must name.
pub struct Machine {
    model: String,
    /// Whether the processor has AVX-512 IFMA (52-bit multiplication): AWS-LC has a private-key
    /// operation of its own for it.
    ifma: bool,
    cores: usize,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
        };
        let model = value("model name");
        Self {
            model: if model.is_empty() { "a processor without a name" } else { model }.to_owned(),
            ifma: value("flags").split(' ').any(|flag| flag == "avx512ifma"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ifma = if self.ifma { "with" } else { "without" };
        write!(f, "{}, {ifma} AVX-512 IFMA, {} cores", self.model, self.cores)
    }
}

/// Pins this thread to one core, so that no measurement includes a migration. If the system does
/// not allow that, the intervals become wider, but the verdict stays valid.
pub fn pin() {
    let mut here = CpuSet::new();
    let core = sched_getcpu();
    if sched_getaffinity(None).is_ok_and(|allowed| allowed.is_set(core)) {
        here.set(core);
        let _ = sched_setaffinity(None, &here);
    }
}
