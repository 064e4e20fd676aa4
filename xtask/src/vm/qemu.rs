//! Booting a kernel in QEMU's own processor: no KVM, which is absent or half there on many build machines.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{Privilege, answer, command, run};
use crate::setup::Apt;

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";

/// QEMU 7.2 crashed one guest in twelve on its microvm machine with two processors.
const OLDEST: u32 = 8;

/// Exit code of QEMU when the guest's `verdict` wrote 42.
pub const GOOD: i32 = 42 * 2 + 1;

/// Is there a QEMU that boots guests reliably?
pub fn is_installed() -> bool {
    answer(command(PROGRAM).arg("--version")).and_then(|text| major(&text)).is_some_and(|it| it >= OLDEST)
}

/// `QEMU emulator version 10.0.2 (Debian …)`
fn major(version: &str) -> Option<u32> {
    version.split("version ").nth(1)?.split('.').next()?.parse().ok()
}

/// Installs QEMU with apt: from the backports on a suite whose own is too old. `dir` holds the lists for that; the
/// system's list of sources stays as it is.
pub fn install(dir: &Path) -> Result<()> {
    let apt = Apt::here().with_context(|| {
        format!(
            "{PROGRAM} of version {OLDEST} or newer is not here; install your distribution's package of it"
        )
    })?;
    let privilege = Privilege::here();
    if apt.suite != "bookworm" {
        eprintln!("Missing on this machine; to be installed:\n  QEMU: apt-get install {PACKAGE}");
        if !apt.unknown(&[PACKAGE]).is_empty() {
            apt.update(privilege)?;
        }
        return apt.install(&[PACKAGE], privilege);
    }
    eprintln!(
        "Missing on this machine; to be installed:\n  QEMU: apt-get install {PACKAGE}/bookworm-backports"
    );
    let lists = dir.join("bookworm");
    std::fs::create_dir_all(lists.join("lists/partial"))?;
    let sources = super::archive::sources(&[
        ("debian", "bookworm"),
        ("debian", "bookworm-updates"),
        ("debian-security", "bookworm-security"),
        ("debian", "bookworm-backports"),
    ]);
    std::fs::write(lists.join("sources.list"), sources)?;
    let apt_get = || -> Result<Command> {
        let mut env = privilege.command("env").context("installing QEMU needs root")?;
        env.args([
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-q",
            "-o",
            "Dir::Etc::sourceparts=/dev/null",
        ]);
        env.args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-o"]);
        env.arg(format!("Dir::Etc::sourcelist={}", lists.join("sources.list").display()));
        env.arg("-o").arg(format!("Dir::State::lists={}", lists.join("lists").display()));
        Ok(env)
    };
    run(apt_get()?.arg("update"))?;
    run(apt_get()?.args(["install", "-y", "--no-install-recommends", "-t", "bookworm-backports", PACKAGE]))
}

/// The command that boots a guest, whose serial console is its standard output. It ends by itself after `limit`.
pub fn boot(image: &Path, initramfs: &Path, limit: Duration) -> Command {
    let mut qemu = command("timeout");
    qemu.args(["-k", "2", &limit.as_secs().to_string(), PROGRAM]);
    qemu.args(["-M", "microvm", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "768M"]);
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
    let mut append = String::from("console=ttyS0 quiet panic=-1 reboot=t mitigations=off");
    // A microvm has no other clock to measure the processor's by; on a busy machine the guess goes wrong.
    if let Some(khz) = std::fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(clock) {
        append += &format!(" tsc_early_khz={khz}");
    }
    qemu.arg("-append").arg(append);
    qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"]);
    qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]);
    qemu
}

/// The processor's clock in kHz, of `/proc/cpuinfo`.
fn clock(cpuinfo: &str) -> Option<u64> {
    let value = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?.split(':').nth(1)?.trim();
    let (mega, rest) = value.split_once('.').unwrap_or((value, ""));
    let kilo = format!("{rest:0<3}");
    Some(mega.parse::<u64>().ok()? * 1000 + kilo.get(..3)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_and_the_clock_are_read() {
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian 1:10.0.2)\nCopyright"), Some(10));
        assert_eq!(major("nonsense"), None);
        assert_eq!(clock("x: 1\ncpu MHz\t\t: 2596.120\n"), Some(2_596_120));
        assert_eq!(clock("cpu MHz : 3000"), Some(3_000_000));
        assert_eq!(clock("BogoMIPS : 1"), None);
    }
}
