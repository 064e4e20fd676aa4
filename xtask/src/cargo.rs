//! Asking Cargo.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process::{command, output};

/// The Cargo that runs us.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// `cargo metadata`: the packages of the workspace, and with `dependencies` the resolved graph of all.
pub fn metadata(dependencies: bool) -> Result<Value> {
    let mut command = cargo();
    command.args(["metadata", "--format-version=1", "--locked"]);
    if !dependencies {
        command.arg("--no-deps");
    }
    serde_json::from_str(&output(&mut command)?).context("cargo metadata")
}

/// The packages of a [`metadata`] answer.
pub fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// The executables that a build with `--message-format=json` reports: target's name, its package's folder, the file.
pub fn executables(messages: &str) -> Vec<Executable> {
    let mut found = Vec::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let (Some(file), Some(name), Some(manifest)) = (
            message["executable"].as_str(),
            message["target"]["name"].as_str(),
            message["manifest_path"].as_str(),
        ) else {
            continue;
        };
        found.push(Executable {
            name: name.into(),
            package: PathBuf::from(manifest).parent().map(Into::into).unwrap_or_default(),
            file: file.into(),
        });
    }
    found
}

/// Something that Cargo built and that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    pub name: String,
    pub package: PathBuf,
    pub file: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_the_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"a"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/w/b/Cargo.toml","target":{"name":"live"},"executable":"/t/live-1"}"#,
            "\nnot json\n",
        );
        let expected = Executable { name: "live".into(), package: "/w/b".into(), file: "/t/live-1".into() };
        assert_eq!(executables(messages), [expected]);
    }
}
