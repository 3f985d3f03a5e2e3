//! Where it was measured, and keeping still while it is.

use std::fs;

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The processor, as a table of figures must name it.
pub struct Machine {
    model: String,
    /// Whether it multiplies 52 bits at once (AVX-512 IFMA): AWS-LC has a private operation for it.
    ifma: bool,
    cores: usize,
}

impl Machine {
    /// This one.
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

/// Keeps this thread on one core, so that none of its measurements is of a move. On a system that
/// does not allow it, it moves; that makes the intervals wider, not the verdict wrong.
pub fn pin() {
    let mut here = CpuSet::new();
    let core = sched_getcpu();
    if sched_getaffinity(None).is_ok_and(|allowed| allowed.is_set(core)) {
        here.set(core);
        let _ = sched_setaffinity(None, &here);
    }
}
