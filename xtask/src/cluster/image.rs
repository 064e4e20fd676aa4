//! The one image that all pods have: our peer. There is no registry.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::go::cache;
use crate::process::{command, output};

/// As pods name it. A tag other than `latest`, so that nobody tries to pull it.
pub const NAME: &str = "cluster.example/peer:1";

/// Writes it as an archive that containerd can import.
pub fn make(peer: &Path) -> Result<PathBuf> {
    let file = cache().join("peer.tar");
    output(command(peer).arg("image").arg(&file).arg(NAME))?;
    Ok(file)
}
