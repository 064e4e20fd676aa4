//! `observer replay` as the host's tests run it: without root, without the kernel programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::event::Event;

/// `observer`, built as the test is that calls this, and lying beside it; or the one that `OBSERVER_REPLAY_BINARY` names,
/// which a run of the whole workspace has built already.
#[must_use]
pub fn command() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let named = std::env::var_os("OBSERVER_REPLAY_BINARY").map(PathBuf::from);
    if let Some(path) = named.filter(|path| path.is_file()) {
        return path;
    }
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "observer", "--target-dir"]).arg(folder.parent().unwrap());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status().unwrap().success());
    folder.join("observer")
}

/// The events of captures in a folder, which must be whole.
#[must_use]
pub fn replay(folder: &Path, files: &[&str], threads: &str) -> Vec<Event> {
    let output = Command::new(command())
        .args(["replay", "--quiet", "--format", "json", "--threads", threads])
        .args(files)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = SystemTime::now();
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| Event { value: serde_json::from_slice(line).unwrap(), read }).collect()
}
