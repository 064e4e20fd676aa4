//! `cargo xtask cluster`: a real control plane and two workers on this machine.

mod certificates;
mod control_plane;
mod daemon;
mod down;
mod drive;
mod go;
mod groups;
mod image;
mod packages;
mod place;
mod state;
mod up;
mod version;
mod worker;

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::process::{Privilege, is_root};
use state::Shape;
use up::Parts;
use version::Version;

#[derive(Debug, Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build what is missing, and put the cluster up
    Up(UpArgs),
    /// Build what is missing, and no more
    Build(UpArgs),
    /// Send one of everything, and print what was sent and what the events must say of it, one JSON object a line
    Drive {
        /// How often, without a pause; what the API server keeps open it then uses again
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        rounds: u32,
    },
    /// Fail, and say why, unless `up` can put it up at once
    #[command(hide = true)]
    Ready(UpArgs),
    /// Take it down and leave nothing behind
    Down,
    /// The cluster's own kubectl, by an administrator outside
    Kubectl {
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, Args)]
pub struct UpArgs {
    /// The version of Kubernetes. Tried: 1.34.4; another one is built, and has not been seen to come up
    #[arg(long, default_value_t = Version::DEFAULT)]
    pub kubernetes: Version,
    /// How kube-proxy translates services' addresses
    #[arg(long, value_enum, default_value_t = Proxy::Iptables)]
    pub proxy: Proxy,
    /// Have konnectivity carry what the API server sends to nodes, pods and services
    #[arg(long)]
    pub konnectivity: bool,
    /// etcd and the API server alone, which writes down who asked for what: for many objects, and no pods that run
    #[arg(long, conflicts_with = "konnectivity")]
    pub bare: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Proxy {
    Iptables,
    Nftables,
}

impl Proxy {
    const fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }
}

/// Runs it.
pub fn run(args: &ClusterArgs) -> Result<()> {
    match &args.verb {
        Verb::Build(args) => Parts::ensure(Shape::of(args)).map(drop),
        Verb::Up(args) => {
            let shape = Shape::of(args);
            let parts = Parts::ensure(shape)?;
            become_root()?;
            let _lock = state::lock()?;
            up::up(&parts, shape)?;
            eprintln!("Next: `cargo xtask cluster drive`, `cargo xtask cluster kubectl get pods -A`.");
            Ok(())
        }
        Verb::Ready(args) => ready(Shape::of(args)),
        Verb::Drive { rounds } => {
            become_root()?;
            let shape = running()?;
            if shape.bare {
                bail!("there is nothing to drive with `--bare`");
            }
            drive::drive(shape, *rounds)
        }
        Verb::Down => {
            become_root()?;
            let _lock = state::lock()?;
            down::down()
        }
        Verb::Kubectl { args } => {
            become_root()?;
            let shape = running()?;
            let mut kubectl = control_plane::kubectl(&go::kubernetes(shape.version)?)?;
            Err(kubectl.args(args).stdin(Stdio::inherit()).exec().into())
        }
    }
}

fn ready(shape: Shape) -> Result<()> {
    if !is_root() {
        bail!("a cluster needs root");
    }
    if !go::is_built(shape) {
        bail!("this cluster is not built; `cargo xtask cluster build`");
    }
    Ok(())
}

/// Builds what the cluster tests put up; without Go, root or Debian's packages it says what is missing.
pub fn prepare() -> Result<()> {
    if !is_root() {
        bail!("a cluster needs root");
    }
    let shape = Shape { version: Version::DEFAULT, proxy: Proxy::Iptables, konnectivity: true, bare: false };
    Parts::ensure(shape).map(drop)
}

fn running() -> Result<Shape> {
    if !state::exists() {
        bail!("the cluster is not up; `cargo xtask cluster up`");
    }
    Shape::running().context("the cluster is not whole; `cargo xtask cluster up` puts it up anew")
}

/// Starts this very command again with root's rights, unless it has them.
fn become_root() -> Result<()> {
    if is_root() {
        return Ok(());
    }
    let own = std::env::current_exe()?;
    let mut again = Privilege::here().command(own).ok_or_else(|| {
        anyhow!("a cluster needs namespaces and control groups, so root; and there is no sudo here")
    })?;
    Err(again.args(std::env::args_os().skip(1)).exec().into())
}
