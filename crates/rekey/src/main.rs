//! The binary; all code is in the library.

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// `MiMalloc`, because a request allocates hundreds of small pieces on one thread and frees some of
/// them on another, which with the C library's allocator costs a tenth of an accept.
///
/// `ZeroAlloc` overwrites freed memory: a password passes through buffers of the HTTP server, of
/// parsers and of connectors that do not wipe them, and would stay there until the memory is
/// reused.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> std::process::ExitCode {
    rekey::ops::cli::run()
}
