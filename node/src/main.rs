//! The binary `townmesh`.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::cli::main()
}
