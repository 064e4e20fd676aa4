//! The release build: one static binary with the kernel programs inside.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::cargo::cargo;
use crate::process::run;
use crate::setup::{self, Need};
use crate::toolchain::Toolchain;

/// Installs what is missing, then builds.
pub fn build_with_setup() -> Result<PathBuf> {
    setup::ensure(&[Need::Bpf])?;
    build()
}

/// Builds the daemon and returns its path.
pub fn build() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "observer", "--bin", "observer"]);
    configure(&mut command)?;
    run(&mut command)?;
    let binary = path()?;
    check_static(&binary)?;
    Ok(binary)
}

/// Makes a Cargo command build statically, in release, with the kernel programs. An explicit target keeps build
/// scripts and procedural macros, which must be dynamic, out of it.
pub fn configure(command: &mut Command) -> Result<()> {
    let toolchain = Toolchain::detect().ok_or_else(|| anyhow!("no Rust here compiles for BPF"))?;
    toolchain.choose(command);
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags += " -C target-feature=+crt-static";
    command.env("RUSTFLAGS", flags.trim_start());
    command.args(["--release", "--features", "observer/probes", "--target", &host()?]);
    Ok(())
}

/// Where [`build`] puts it.
pub fn path() -> Result<PathBuf> {
    Ok(crate::workspace::target().join(host()?).join("release/observer"))
}

/// This machine's target triple.
fn host() -> Result<String> {
    let version = crate::process::output(crate::process::command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(Into::into).context("rustc does not say its host")
}

/// Fails if the binary asks for a dynamic loader.
fn check_static(binary: &Path) -> Result<()> {
    let bytes = std::fs::read(binary).with_context(|| format!("{}", binary.display()))?;
    if interpreter(&bytes)?.is_some() {
        bail!("{} is not static; is the static C library installed?", binary.display());
    }
    Ok(())
}

/// The dynamic loader (`PT_INTERP`) of a 64-bit little-endian ELF file.
fn interpreter(elf: &[u8]) -> Result<Option<String>> {
    const PT_INTERP: u64 = 3;
    if elf.get(..6) != Some(&b"\x7fELF\x02\x01"[..]) {
        bail!("not a 64-bit little-endian ELF file");
    }
    let number = |at: u64, size: usize| -> Result<u64> {
        let at = usize::try_from(at)?;
        let bytes = elf.get(at..at.saturating_add(size)).ok_or_else(|| anyhow!("ELF file cut short"))?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let header = start.saturating_add(index * size);
        if number(header, 4)? == PT_INTERP {
            let at = usize::try_from(number(header.saturating_add(8), 8)?)?;
            let path = elf.get(at..).unwrap_or_default().split(|byte| *byte == 0).next();
            return Ok(Some(String::from_utf8_lossy(path.unwrap_or_default()).into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_dynamic_and_a_cut_one_is_refused() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let dynamic = !cfg!(target_feature = "crt-static");
        assert_eq!(interpreter(&bytes).unwrap().is_some(), dynamic);
        assert!(interpreter(&bytes[..100]).is_err());
        assert!(interpreter(b"#!/bin/sh\n").is_err());
    }
}
