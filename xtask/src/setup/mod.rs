//! Installs what `run` and `test` need: says first what it is about to do, does only what is missing.

mod apt;
mod plan;

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Result, bail};

pub use apt::Apt;
pub use plan::{Need, Plan};

use crate::cli::SetupArgs;
use crate::process::Privilege;

/// `cargo xtask setup`.
pub fn run(args: &SetupArgs) -> Result<()> {
    let plan = Plan::make(&Need::ALL)?;
    if plan.is_empty() {
        eprintln!("Everything is installed.");
        return Ok(());
    }
    plan.announce();
    if args.dry_run {
        return Ok(());
    }
    if !args.yes && std::io::stdin().is_terminal() {
        eprint!("Go on? [Y/n] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if answer.trim().to_lowercase().starts_with('n') {
            bail!("nothing was installed");
        }
    }
    plan.carry_out(Privilege::here())
}

/// Installs what is missing of `needs`. Silent and quick where nothing is.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let plan = Plan::make(needs)?;
    if plan.is_empty() {
        return Ok(());
    }
    plan.announce();
    plan.carry_out(Privilege::here())
}
