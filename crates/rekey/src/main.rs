//! The binary: everything is in the library.

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// A request makes hundreds of small pieces on one thread and drops some of them on another, which
/// costs the C library's allocator a tenth of an accept.
///
/// What is freed is overwritten: a password passes through buffers of the HTTP server, of parsers
/// and of connectors that wipe nothing, and would stay there until somebody else needed the memory.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> std::process::ExitCode {
    rekey::ops::cli::run()
}
