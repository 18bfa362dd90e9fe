//! The `hudson` command. Everything it does is in the library beside it.

use std::process::ExitCode;

/// Requests and tunnels come and go in pieces of a few KiB, at which the system's allocator is slow.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hudson_controller::main(std::env::args_os())
}
