//! What is missing, and the steps that put it there.

use anyhow::{Context as _, Result, anyhow, bail};

use super::Apt;
use crate::process::{Privilege, answer, command, run, shown};
use crate::toolchain::{self, Toolchain};

/// The version that is known to build with [`LLVM_PREFIX`]'s LLVM.
const LINKER_VERSION: &str = "0.13.0";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// A Rust whose standard library was built for BPF.
const RUST_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// What `bpf-linker` is built from: LLVM, and what LLVM was linked with.
const LLVM_PACKAGES: [&str; 5] = ["llvm-22-dev", "libpolly-22-dev", "g++", "libzstd-dev", "zlib1g-dev"];

/// Something that a task cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// `rustfmt` and `clippy`.
    Lints,
    /// A Rust for BPF and `bpf-linker`.
    Bpf,
}

impl Need {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Lints, Self::Bpf];
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Components(Vec<&'static str>),
    Packages(Vec<&'static str>),
    Link,
    Linker,
}

/// The steps, in order.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
}

impl Plan {
    /// Looks at the machine. Fails where something is missing that only a person can install, and says how.
    pub fn make(needs: &[Need]) -> Result<Self> {
        let mut steps = Vec::new();
        if needs.contains(&Need::Lints) {
            let lacks = |name: &&str| answer(command("cargo").args([*name, "--version"])).is_none();
            let missing: Vec<_> = ["fmt", "clippy"].into_iter().filter(lacks).collect();
            if !missing.is_empty() {
                steps.push(Step::Components(
                    missing.into_iter().map(|name| if name == "fmt" { "rustfmt" } else { name }).collect(),
                ));
            }
        }
        if needs.contains(&Need::Bpf) {
            bpf(&mut steps)?;
        }
        Ok(Self { steps })
    }

    /// Is everything there?
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Says what [`Plan::carry_out`] will do.
    pub fn announce(&self) {
        eprintln!("Missing on this machine; to be installed:");
        for step in &self.steps {
            eprintln!("  {}: {}", step.purpose(), step.line());
        }
    }

    /// Does it, stopping at the first failure.
    pub fn carry_out(&self, privilege: Privilege) -> Result<()> {
        for step in &self.steps {
            step.carry_out(privilege).with_context(|| step.purpose())?;
        }
        Ok(())
    }
}

fn bpf(steps: &mut Vec<Step>) -> Result<()> {
    let (rust, linker) = (Toolchain::detect().is_some(), toolchain::has_linker());
    if rust && linker {
        return Ok(());
    }
    if let Some(name) = toolchain::named()
        && !rust
    {
        bail!("{}={name}: {}", toolchain::TOOLCHAIN_VARIABLE, toolchain::fault(&name));
    }
    let apt = Apt::here().ok_or_else(|| {
        anyhow!(
            "the kernel programs need a Rust for BPF and bpf-linker, and without apt nothing is installed here \
             automatically. {}",
            by_hand(rust, linker)
        )
    })?;
    let mut wanted = Vec::new();
    if !rust {
        wanted.extend(RUST_PACKAGES);
    }
    if !linker {
        wanted.extend(LLVM_PACKAGES);
    }
    let missing = apt.missing(&wanted);
    if !missing.is_empty() {
        steps.push(Step::Packages(missing));
    }
    if !rust {
        steps.push(Step::Link);
    }
    if !linker {
        steps.push(Step::Linker);
    }
    Ok(())
}

impl Step {
    fn purpose(&self) -> &'static str {
        match self {
            Self::Components(_) => "Rust's formatter and lints",
            Self::Packages(_) => "packages",
            Self::Link => "the packaged Rust for BPF, under a name that rustup knows",
            Self::Linker => "the linker for kernel programs",
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Packages(names) => format!("apt-get install --no-install-recommends {}", names.join(" ")),
            other => other.command().map(|command| shown(&command)).unwrap_or_default(),
        }
    }

    /// What is run for a step that needs no root.
    fn command(&self) -> Option<std::process::Command> {
        let mut it;
        match self {
            Self::Components(names) => {
                it = command("rustup");
                it.args(["component", "add"]).args(names);
            }
            Self::Link => {
                it = command("rustup");
                it.args(["toolchain", "link", toolchain::LINKED, "/usr"]);
            }
            Self::Linker => {
                it = command("cargo");
                it.env("LLVM_PREFIX", LLVM_PREFIX).args(["install", "--locked", "bpf-linker"]);
                it.args(["--version", LINKER_VERSION, "--no-default-features", "--features", "llvm-22"]);
            }
            Self::Packages(_) => return None,
        }
        Some(it)
    }

    fn carry_out(&self, privilege: Privilege) -> Result<()> {
        match self {
            Self::Packages(names) => packages(names, privilege),
            other => other.command().map_or(Ok(()), |mut command| run(&mut command)),
        }
    }
}

fn packages(names: &[&str], privilege: Privilege) -> Result<()> {
    if privilege == Privilege::None {
        bail!(
            "installing packages needs root, and sudo does not give it without a question. As root, run\n  \
             apt-get update && apt-get install --no-install-recommends {}\nand then this command again",
            names.join(" ")
        );
    }
    let apt = Apt::here().ok_or_else(|| anyhow!("apt is gone"))?;
    let mut fresh = false;
    let mut update = Ok(());
    if !apt.unknown(names).is_empty() {
        update = apt.update(privilege);
        fresh = true;
    }
    let unknown = apt.unknown(names);
    if !unknown.is_empty() {
        // A source that is out of reach matters only if something is missing in the others.
        update.context("the lists of packages could not all be fetched; is there a network?")?;
        bail!("{} has no {}. {}", apt.suite, unknown.join(", "), by_hand(false, false));
    }
    match apt.install(names, privilege) {
        // A list from last month names files that have been replaced since.
        Err(_) if !fresh => {
            apt.update(privilege)?;
            apt.install(names, privilege)
        }
        outcome => outcome,
    }
}

/// The way that works on any distribution, for what is not there.
fn by_hand(rust: bool, linker: bool) -> String {
    let nightly = toolchain::NIGHTLY;
    let mut text = String::from("Install by hand:");
    if !rust {
        text += &format!("\n  rustup toolchain install {nightly} --profile minimal --component rust-src");
    }
    if !linker {
        text += &format!(
            "\n  LLVM_PREFIX=PREFIX cargo install --locked bpf-linker --version {LINKER_VERSION} --no-default-features \
             --features llvm-22\n\
             where PREFIX has LLVM 22 with its headers (Fedora: `dnf install llvm-devel clang gcc-c++ \
             libstdc++-static glibc-static zlib-devel libzstd-devel`, PREFIX /usr; Arch: `pacman -S llvm gcc`, PREFIX \
             /usr; elsewhere: LLVM's own packages for LLVM 22). A bpf-linker from your distribution or from its \
             release page will do as well, if its LLVM is not older than the nightly's."
        );
    }
    text + &format!("\nSet {}=NAME to use another toolchain", toolchain::TOOLCHAIN_VARIABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_says_its_command() {
        assert_eq!(
            Step::Linker.line(),
            "LLVM_PREFIX=/usr/lib/llvm-22 cargo install --locked bpf-linker --version 0.13.0 --no-default-features \
             --features llvm-22"
        );
        assert_eq!(Step::Link.line(), "rustup toolchain link bpf /usr");
        assert_eq!(Step::Components(vec!["clippy"]).line(), "rustup component add clippy");
        assert!(Step::Packages(vec!["a", "b"]).line().ends_with(" a b"));
    }

    #[test]
    fn by_hand_only_what_is_not_there_is_named() {
        let (both, linker) = (by_hand(false, false), by_hand(true, false));
        assert!(both.contains("rust-src") && both.contains("bpf-linker"), "{both}");
        assert!(!linker.contains("rust-src") && linker.contains("cargo install"), "{linker}");
        assert!(!by_hand(false, true).contains("cargo install"));
    }

    #[test]
    fn packages_without_root_name_the_commands() {
        let error = packages(&["llvm-22-dev"], Privilege::None).unwrap_err().to_string();
        assert!(error.contains("apt-get install --no-install-recommends llvm-22-dev"), "{error}");
    }
}
