//! Builds the kernel programs and leaves them where `source::ebpf::object` embeds them, if the feature `probes` asks
//! for it. Without it no BPF toolchain is needed.

#![allow(clippy::print_stdout, reason = "a build script speaks to cargo on standard output")]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../observer-common/src");
    println!("cargo:rerun-if-env-changed=OBSERVER_BPF_TOOLCHAIN");
    println!("cargo:rerun-if-env-changed=RUSTC_BOOTSTRAP");
    #[cfg(feature = "probes")]
    probes::build();
}

#[cfg(feature = "probes")]
mod probes {
    use std::process::Command;

    use aya_build::{Package, Toolchain};

    /// A distribution's compiler with `core` built for BPF, linked into rustup under this name.
    const LINKED: &str = "bpf";

    pub(crate) fn build() {
        let named = std::env::var("OBSERVER_BPF_TOOLCHAIN").ok().filter(|name| !name.is_empty());
        let toolchain =
            named.unwrap_or_else(|| if release(LINKED).is_some() { LINKED.into() } else { "nightly".into() });
        let Some(release) = release(&toolchain) else {
            println!(
                "cargo::error=no Rust toolchain `{toolchain}` for the kernel programs; `cargo xtask build` installs one"
            );
            std::process::exit(1);
        };
        if !release.contains("nightly") {
            // Inline assembly for BPF is unstable. Only the crates that use it may.
            // SAFETY: nothing else runs in this process yet.
            unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "aya_ebpf,observer_ebpf") };
        }
        let features: &[&str] = if cfg!(feature = "kernel-log") { &["kernel-log"] } else { &[] };
        let package = Package {
            name: "observer-ebpf",
            root_dir: "../observer-ebpf",
            no_default_features: false,
            features,
        };
        if let Err(error) = aya_build::build_ebpf([package], Toolchain::Custom(&toolchain)) {
            println!("cargo::error=the kernel programs do not build with `{toolchain}`: {error:#}");
            std::process::exit(1);
        }
    }

    /// The release that a toolchain says it is; `None` if there is no such toolchain.
    fn release(toolchain: &str) -> Option<String> {
        let output = Command::new("rustup").args(["run", toolchain, "rustc", "--version"]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
