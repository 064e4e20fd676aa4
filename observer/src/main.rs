//! `observer`: the command line.

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;
use observer::cli::{self, Failure, Typed};

fn main() -> ExitCode {
    let typed = Typed::parse();
    let outcome = catch_unwind(|| cli::run(typed))
        .unwrap_or_else(|_| Err(Failure::run_time("an internal error, told above; please report it")));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.to_string().is_empty() {
                cli::say(&failure.to_string());
            }
            failure.exit_code()
        }
    }
}
