//! Stacks whose two ends are programs of ours in `peers/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{Driver, Listener, Printed};
use crate::certificates::{Certificates, End};
use crate::netns::Netns;
use crate::world::{has, peers};

/// Which stack.
#[derive(Clone, Debug)]
pub enum Stack {
    /// Go's crypto/tls, as this binary.
    Go(PathBuf),
    /// Python's ssl, on OpenSSL.
    Python,
    /// Node, on its own OpenSSL.
    Node,
    /// OpenJDK's JSSE.
    Java,
}

impl Stack {
    /// Those that this machine has; the reasons for the others.
    #[must_use]
    pub fn here(folder: &Path) -> (Vec<Self>, Vec<String>) {
        let (mut stacks, mut missing) = (Vec::new(), Vec::new());
        match go_binary(folder) {
            Ok(binary) => stacks.push(Self::Go(binary)),
            Err(reason) => missing.push(reason),
        }
        for (program, stack) in [("python3", Self::Python), ("node", Self::Node), ("javac", Self::Java)] {
            if has(program) { stacks.push(stack) } else { missing.push(format!("no {program}")) }
        }
        (stacks, missing)
    }

    /// For people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Go(_) => "go",
            Self::Python => "python",
            Self::Node => "node",
            Self::Java => "java",
        }
    }

    /// Starts its server.
    #[must_use]
    pub fn server(&self, place: &Netns, certificates: &Certificates, listeners: &[Listener]) -> Printed {
        let mut config = certificates.config(End::Server);
        config["Listeners"] = json!(listeners);
        if matches!(self, Self::Java) {
            config["Pkcs12"] = json!(certificates.pkcs12(End::Server));
        }
        let server = Printed::start(self.command(place, certificates).arg("server").arg(config.to_string()));
        // JSSE does not say whether a session was resumed.
        if matches!(self, Self::Java) { server.blind_to_resumption() } else { server }
    }

    /// Starts its client.
    #[must_use]
    pub fn client(&self, place: &Netns, certificates: &Certificates) -> Driver {
        let mut config = certificates.config(End::Client);
        if matches!(self, Self::Java) {
            config["Pkcs12"] = json!(certificates.pkcs12(End::Client));
        }
        Driver::start(self.command(place, certificates).arg("client").arg(config.to_string()))
    }

    fn command(&self, place: &Netns, certificates: &Certificates) -> Command {
        let script = |program: &str, file: &str| {
            let mut command = place.command(program);
            command.arg(peers().join(file));
            command
        };
        match self {
            Self::Go(binary) => place.command(binary),
            Self::Python => script("python3", "peer.py"),
            Self::Node => script("node", "peer.js"),
            Self::Java => {
                let folder = certificates.ca().with_file_name("classes");
                if !folder.exists() {
                    let made = Command::new("javac")
                        .arg("-d")
                        .arg(&folder)
                        .arg(peers().join("Peer.java"))
                        .output()
                        .unwrap();
                    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
                }
                let mut command = place.command("java");
                // Two cores are few for a compiler in two stages.
                command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]).arg(folder).arg("Peer");
                command
            }
        }
    }
}

/// Builds the Go peer (Go's own cache makes that quick the second time).
///
/// # Errors
/// Why it cannot be built here.
pub fn go_binary(folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join("peer-go");
    if path.exists() {
        return Ok(path);
    }
    if !has("go") {
        return Err("no go".into());
    }
    let made = Command::new("go")
        .args(["build", "-o"])
        .arg(&path)
        .arg(".")
        .current_dir(peers().join("go"))
        .env("CGO_ENABLED", "0")
        .output()
        .map_err(|error| error.to_string())?;
    if made.status.success() {
        Ok(path)
    } else {
        Err(format!("the Go peer does not build: {}", String::from_utf8_lossy(&made.stderr)))
    }
}
