//! The `rolegate` program.

use std::process::ExitCode;

// A request makes and frees some twenty small pieces on one thread, which this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rolegate::cli::run()
}
