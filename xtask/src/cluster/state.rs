//! What is there while the cluster is up: one folder, in one place for the whole machine, so that any checkout can take it
//! down.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::version::Version;
use super::{Proxy, UpArgs};

/// Sockets are in it, whose names may have 107 bytes.
const FOLDER: &str = "/var/lib/observer-cluster";

/// Folders whose place is fixed in containerd and kubelet. Each worker sees its own in their place; where the machine has
/// none, they are made for that and taken away again.
pub const FIXED: [&str; 5] =
    ["/run/netns", "/run/containerd", "/var/lib/cni", "/var/log/containers", "/var/log/pods"];

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub version: Version,
    pub proxy: Proxy,
    pub konnectivity: bool,
    pub bare: bool,
}

impl Shape {
    /// What the command line asks for.
    pub const fn of(args: &UpArgs) -> Self {
        let UpArgs { kubernetes: version, proxy, konnectivity, bare } = *args;
        Self { version, proxy, konnectivity, bare }
    }

    /// The shape of the cluster that is up, whole.
    pub fn running() -> Option<Self> {
        let text = std::fs::read_to_string(file("cluster.json")).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        Some(Self {
            version: value["kubernetes"].as_str()?.parse().ok()?,
            proxy: if value["proxy"] == "nftables" { Proxy::Nftables } else { Proxy::Iptables },
            konnectivity: value["konnectivity"].as_bool()?,
            bare: value["bare"].as_bool()?,
        })
    }

    /// Writes it down: the cluster is up.
    pub fn keep(self) -> Result<()> {
        let value = json!({
            "kubernetes": self.version.to_string(),
            "proxy": self.proxy.name(),
            "konnectivity": self.konnectivity,
            "bare": self.bare,
        });
        Ok(std::fs::write(file("cluster.json"), value.to_string())?)
    }
}

/// A file or folder of the cluster.
pub fn file(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Is there anything?
pub fn exists() -> bool {
    Path::new(FOLDER).exists()
}

/// Lets no other command change the cluster for as long as it is held.
pub fn lock() -> Result<File> {
    let above = Path::new(FOLDER).parent().unwrap_or(Path::new("/"));
    let folder = File::open(above)?;
    folder.lock().with_context(|| format!("cannot lock {}", above.display()))?;
    Ok(folder)
}

/// Makes the folder, and those of [`FIXED`] that the machine has not.
pub fn make() -> Result<()> {
    std::fs::create_dir_all(FOLDER)?;
    let missing: Vec<_> = FIXED.into_iter().filter(|folder| !Path::new(folder).exists()).collect();
    std::fs::write(file("made"), missing.join("\n"))?;
    for folder in missing {
        std::fs::create_dir_all(folder)?;
    }
    Ok(())
}

/// Takes it all away. Nothing may be mounted below it any more.
pub fn remove() -> Result<()> {
    for folder in std::fs::read_to_string(file("made")).unwrap_or_default().lines() {
        // Another program may have taken it into use.
        let _ = std::fs::remove_dir(folder);
    }
    match std::fs::remove_dir_all(FOLDER) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {FOLDER}"))
        }
        _ => Ok(()),
    }
}
