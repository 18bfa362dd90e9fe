//! The `hudson` command. Everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    hudson_controller::main(std::env::args_os())
}
