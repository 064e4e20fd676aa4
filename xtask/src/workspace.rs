//! Where things are.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder that Cargo builds into.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The labelled captures beside the workspace, where they are present.
pub fn corpus() -> Option<PathBuf> {
    let path = root().join("../shared/corpus");
    path.join("labels.jsonl").exists().then_some(path)
}
