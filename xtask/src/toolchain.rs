//! The toolchain for kernel programs: a Rust that knows BPF, and `bpf-linker`.
//!
//! Two kinds of Rust will do. A distribution's compiler whose standard library was built for BPF, linked into rustup
//! under the name `bpf`; or a nightly of rustup's with `rust-src`, which builds `core` for BPF itself. The choice
//! reaches the build script of `observer` in [`TOOLCHAIN_VARIABLE`].

use std::path::Path;
use std::process::Command;

use crate::process::{answer, command};

/// Names the rustup toolchain that compiles the kernel programs.
pub const TOOLCHAIN_VARIABLE: &str = "OBSERVER_BPF_TOOLCHAIN";

/// The name under which a distribution's compiler is linked into rustup.
pub const LINKED: &str = "bpf";

/// The nightly to install where there is no distribution's compiler: its LLVM is 22, as `bpf-linker`'s is.
pub const NIGHTLY: &str = "nightly-2026-05-20";

/// A Rust that compiles for BPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// As rustup knows it.
    pub name: String,
}

impl Toolchain {
    /// The one that [`TOOLCHAIN_VARIABLE`] names, else the linked one, else any nightly that will do.
    pub fn detect() -> Option<Self> {
        if let Some(name) = named() {
            return Self::of(&name);
        }
        if let Some(linked) = Self::of(LINKED) {
            return Some(linked);
        }
        let list = answer(command("rustup").args(["toolchain", "list"]))?;
        let names = list.lines().filter_map(|line| line.split_whitespace().next());
        names.filter(|name| name.starts_with("nightly")).find_map(Self::of)
    }

    fn of(name: &str) -> Option<Self> {
        let sysroot = answer(command("rustup").args(["run", name, "rustc", "--print", "sysroot"]))?;
        let usable = has_core(Path::new(sysroot.trim()), name.starts_with("nightly"));
        usable.then(|| Self { name: name.into() })
    }

    /// Tells a build of `observer` to use this toolchain.
    pub fn choose(&self, build: &mut Command) {
        build.env(TOOLCHAIN_VARIABLE, &self.name);
    }
}

/// The toolchain that [`TOOLCHAIN_VARIABLE`] names; `None` if it is not set, or to nothing.
pub fn named() -> Option<String> {
    std::env::var(TOOLCHAIN_VARIABLE).ok().filter(|name| !name.is_empty())
}

/// What keeps a toolchain from compiling for BPF, and what to do about it.
pub fn fault(name: &str) -> String {
    if answer(command("rustup").args(["run", name, "rustc", "--version"])).is_none() {
        return format!("rustup has no toolchain {name}: rustup toolchain list");
    }
    let fix = if name.starts_with("nightly") {
        format!("rustup component add rust-src --toolchain {name}")
    } else {
        format!("name a nightly with rust-src, such as {NIGHTLY}")
    };
    format!("the toolchain {name} has no core for BPF and cannot build one: {fix}")
}

/// Does a toolchain have `core` for BPF, or can it build it?
fn has_core(sysroot: &Path, nightly: bool) -> bool {
    let rustlib = sysroot.join("lib/rustlib");
    rustlib.join("bpfel-unknown-none/lib").is_dir()
        || (nightly && rustlib.join("src/rust/library/core").is_dir())
}

/// Is there a `bpf-linker` that starts? One whose LLVM was removed does not.
pub fn has_linker() -> bool {
    answer(command("bpf-linker").arg("--version")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_that_is_not_there_is_told_as_such() {
        let fault = fault("no-such-toolchain");
        assert!(fault.contains("no toolchain no-such-toolchain"), "{fault}");
    }

    #[test]
    fn a_nightly_without_sources_is_no_bpf_toolchain() {
        let dir = std::env::temp_dir().join(format!("xtask-toolchain-{}", std::process::id()));
        let rustlib = dir.join("lib/rustlib");
        std::fs::create_dir_all(rustlib.join("x86_64-unknown-linux-gnu/lib")).unwrap();
        assert!(!has_core(&dir, true));
        std::fs::create_dir_all(rustlib.join("src/rust/library/core")).unwrap();
        assert!(has_core(&dir, true));
        assert!(!has_core(&dir, false), "a stable compiler cannot build its own core");
        std::fs::create_dir_all(rustlib.join("bpfel-unknown-none/lib")).unwrap();
        assert!(has_core(&dir, false));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
