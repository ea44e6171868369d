//! The binary `townmesh`.

use std::process::ExitCode;

/// The engine makes and drops many small values, and whole files pass through: the system's allocator spent a third of
/// the engine's time on that, and kept what it had once used.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    node::cli::main()
}
