//! The kernel matrix: Debian's kernels from 5.10 to the newest, each booted in QEMU with the live tests as its payload.

mod archive;
mod initramfs;
mod kernel;
mod qemu;
mod verified;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use archive::Archive;
use initramfs::Initramfs;
use kernel::{Kernel, Unpacked};
use verified::Verified;

use crate::cargo::Executable;
use crate::cli::VmArgs;
use crate::process::run as run_command;
use crate::test::{Tally, libtest, live};
use crate::{binary, setup, workspace};

/// A boot takes seconds; tests on an emulated processor take minutes.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
const TEST_LIMIT: Duration = Duration::from_secs(420);

/// The live tests that need no other programs than a guest has. The others speak to OpenSSL, Go and the like, and run
/// on this machine's kernel alone.
const GUEST_TESTS: [&str; 2] = ["live_probes", "live_loopback"];

/// `cargo xtask vm`.
pub fn run(args: &VmArgs) -> Result<()> {
    let payload = if args.boot_only {
        Payload::default()
    } else {
        setup::ensure(&[setup::Need::Bpf])?;
        Payload::build()?
    };
    let machine = Machine::prepare(true)?;
    let kernels = if args.kernel.is_empty() {
        kernel::matrix(&machine.archive)?
    } else {
        args.kernel.iter().map(|series| kernel::find(&machine.archive, series)).collect::<Result<_>>()?
    };
    let mut rows = Vec::new();
    let mut verified = Verified::default();
    let mut total = Tally::default();
    for kernel in &kernels {
        let start = Instant::now();
        let look = &mut |line: &str| verified.read(&kernel.series, line);
        let tally = machine.test(kernel, &payload, look).unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally { failed: 1, ..Tally::default() }
        });
        rows.push(format!("{:<6} {tally} in {:.1} s", kernel.series, start.elapsed().as_secs_f64()));
        total.add(tally);
    }
    println!("\n{verified}\n{}", rows.join("\n"));
    if total.failed > 0 {
        bail!("{} failed", total.failed);
    }
    Ok(())
}

/// What a guest runs.
#[derive(Debug, Default)]
pub struct Payload {
    /// Static test binaries, and the daemon for those that start it.
    tests: Vec<Executable>,
}

impl Payload {
    /// The live tests that need nothing but themselves and the daemon.
    pub fn build() -> Result<Self> {
        binary::build()?;
        let tests = live::binaries(|name| GUEST_TESTS.contains(&name))?;
        if tests.len() != GUEST_TESTS.len() {
            bail!("of {} there are {} for the guests", GUEST_TESTS.join(", "), tests.len());
        }
        Ok(Self { tests })
    }

    fn is_self_check(&self) -> bool {
        self.tests.is_empty()
    }

    fn limit(&self) -> Duration {
        if self.is_self_check() { BOOT_LIMIT } else { TEST_LIMIT }
    }

    fn add_to(&self, archive: &mut Initramfs) -> Result<()> {
        let guest = workspace::root().join("xtask/guest");
        if self.is_self_check() {
            archive.file("payload", &read(&guest.join("self-check"))?);
            return Ok(());
        }
        archive.file("observer", &read(&binary::path()?)?);
        let mut script = String::from("export OBSERVER_BINARY=/observer\nfailed=0\n");
        for test in &self.tests {
            archive.file(&test.name, &read(&test.file)?);
            let arguments = libtest::ARGS.join(" ");
            script +=
                &format!("echo 'guest: {0}'\n/{0} --test-threads=1 {arguments} || failed=1\n", test.name);
        }
        script += "exit $failed\n";
        archive.file("payload", script.as_bytes());
        Ok(())
    }
}

/// What all guests have in common, on this machine.
#[derive(Debug)]
pub struct Machine {
    dir: PathBuf,
    archive: Archive,
    busybox: PathBuf,
    verdict: PathBuf,
}

impl Machine {
    /// Fetches and installs what is missing; `install` allows what needs root.
    pub fn prepare(install: bool) -> Result<Self> {
        if !cfg!(target_arch = "x86_64") {
            bail!("the guests are x86-64 machines, and their tests would have to be built for them");
        }
        let dir = workspace::target().join("vm");
        std::fs::create_dir_all(&dir)?;
        if !qemu::is_installed() {
            if !install {
                bail!("QEMU is not installed");
            }
            qemu::install(&dir)?;
        }
        let archive = Archive::open(&dir.join("archive"))?;
        let folder = archive.unpacked("busybox-static")?;
        let busybox = ["bin/busybox", "usr/bin/busybox"].map(|path| folder.join(path));
        let busybox =
            busybox.into_iter().find(|path| path.exists()).context("busybox-static holds no busybox")?;
        let verdict = dir.join("verdict");
        let mut rustc = crate::process::command("rustc");
        rustc.args(["--edition=2024", "-O", "-C", "target-feature=+crt-static", "-o"]).arg(&verdict);
        run_command(rustc.arg(workspace::root().join("xtask/guest/verdict.rs")))?;
        Ok(Self { dir, archive, busybox, verdict })
    }

    /// The kernels of the matrix.
    pub fn kernels(&self) -> Result<Vec<Kernel>> {
        kernel::matrix(&self.archive)
    }

    /// Boots a kernel with a payload. Passed means both: QEMU's exit code and the line on the console. `look` sees every
    /// line of the console.
    pub fn test(&self, kernel: &Kernel, payload: &Payload, look: &mut dyn FnMut(&str)) -> Result<Tally> {
        let unpacked = kernel.unpack(&self.archive)?;
        let file = self.dir.join(format!("initramfs-{}", kernel.series));
        std::fs::write(&file, self.initramfs(&unpacked, payload)?)?;
        println!("--- {}", kernel);
        let mut qemu = qemu::boot(&unpacked.image, &file, payload.limit());
        judge(&mut qemu, payload, look)
    }

    fn initramfs(&self, kernel: &Unpacked, payload: &Payload) -> Result<Vec<u8>> {
        let mut archive = Initramfs::default();
        for folder in ["bin", "dev", "etc", "modules", "proc", "root", "run", "sys", "tmp", "var"] {
            archive.folder(folder);
        }
        archive.file("bin/busybox", &read(&self.busybox)?);
        archive.file("init", &read(&workspace::root().join("xtask/guest/init"))?);
        archive.file("verdict", &read(&self.verdict)?);
        let mut order = String::new();
        for (name, file) in &kernel.modules {
            archive.file(&format!("modules/{name}.ko"), &kernel::module(file, &self.busybox)?);
            order += name;
            order += "\n";
        }
        archive.file("modules/order", order.as_bytes());
        payload.add_to(&mut archive)?;
        Ok(archive.finish())
    }
}

fn judge(qemu: &mut Command, payload: &Payload, look: &mut dyn FnMut(&str)) -> Result<Tally> {
    let mut result = None;
    let (mut tally, status) = libtest::stream(qemu, |line| {
        look(line);
        if let Some(code) = line.strip_prefix("guest: payload exited with ") {
            result = Some(code.to_owned());
        }
    })?;
    let good = status.code() == Some(qemu::GOOD) && result.as_deref() == Some("0");
    if payload.is_self_check() && good {
        tally.passed += 1;
    }
    if !good && tally.failed == 0 {
        let said = match (result, status.code()) {
            (Some(code), _) => format!("its payload exited with {code}, QEMU with {status}"),
            (None, Some(124)) => format!("no result within {} s", payload.limit().as_secs()),
            (None, Some(0)) => "the guest crashed or restarted without a result".into(),
            (None, _) => format!("no result; QEMU ended with {status}"),
        };
        bail!("{said}");
    }
    Ok(tally)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{}", path.display()))
}
