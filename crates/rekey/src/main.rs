//! The binary: everything is in the library.

/// A request makes hundreds of small pieces on one thread and drops some of them on another, which
/// costs the C library's allocator a tenth of an accept.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rekey::cli::run()
}
