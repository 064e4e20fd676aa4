//! Debian's packages, unpacked into the cache. Installing them would start etcd and containerd, and drive out a
//! containerd of another origin.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::go::cache;
use crate::process::{Privilege, command, exists, run};
use crate::setup::Apt;

/// Programs that are expected where they always are. A package for each.
const INSTALLED: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("conntrack", "conntrack"),
];

/// What is unpacked, and a file of it that shows that it is there.
const UNPACKED: [(&str, &str); 4] = [
    ("etcd-server", "usr/bin/etcd"),
    ("containerd", "usr/bin/containerd"),
    ("runc", "usr/sbin/runc"),
    ("containernetworking-plugins", "usr/lib/cni/bridge"),
];

/// The unpacked packages.
#[derive(Clone, Debug)]
pub struct Packages {
    /// A root folder that has all of them.
    pub root: PathBuf,
}

impl Packages {
    /// Installs what must be installed, downloads and unpacks the rest.
    pub fn ensure() -> Result<Self> {
        let root = cache().join("packages");
        let missing = missing(&INSTALLED);
        let lacking: Vec<_> =
            UNPACKED.iter().filter(|(_, file)| !root.join(file).exists()).map(|(name, _)| *name).collect();
        if missing.is_empty() && lacking.is_empty() {
            return Ok(Self { root });
        }
        let apt = Apt::here().context(format!(
            "the cluster's etcd, containerd, runc and network plugins are taken from Debian or Ubuntu, and this is \
             neither; missing: {}",
            [missing.clone(), lacking.clone()].concat().join(", ")
        ))?;
        let privilege = Privilege::here();
        if !missing.is_empty() {
            eprintln!("Missing on this machine; to be installed:\n  packages: {}", missing.join(" "));
        }
        let wanted = [missing.clone(), lacking.clone()].concat();
        if !apt.unknown(&wanted).is_empty() {
            apt.update(privilege)?;
        }
        if !missing.is_empty() {
            apt.install(&missing, privilege)?;
        }
        for package in lacking {
            unpack(package, &root)?;
        }
        Ok(Self { root })
    }

    /// A file of theirs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

fn missing<'a>(programs: &[(&str, &'a str)]) -> Vec<&'a str> {
    let here = |name: &str| exists(name) || Path::new("/usr/sbin").join(name).exists();
    programs.iter().filter(|(program, _)| !here(program)).map(|(_, package)| *package).collect()
}

fn unpack(package: &str, root: &Path) -> Result<()> {
    let folder = cache().join("downloads").join(package);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    std::fs::create_dir_all(root)?;
    run(command("apt-get").current_dir(&folder).args(["download", "-q", package]))?;
    let file = std::fs::read_dir(&folder)?.flatten().next().context("apt-get downloaded nothing")?.path();
    run(command("dpkg").arg("-x").arg(&file).arg(root))?;
    Ok(std::fs::remove_dir_all(&folder)?)
}
