//! The test cluster, put up by `cargo xtask cluster`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::world;

/// A cluster that goes away with the test.
#[derive(Debug)]
pub struct Cluster {
    xtask: PathBuf,
}

impl Cluster {
    /// Why there can be none of this shape here.
    #[must_use]
    pub fn missing(words: &[&str]) -> Option<String> {
        let Some(xtask) = std::env::var_os("OBSERVER_XTASK") else {
            return Some("OBSERVER_XTASK names no xtask, which puts the cluster up".into());
        };
        let done = Command::new(xtask).args(["cluster", "ready"]).args(words).output().unwrap();
        (!done.status.success()).then(|| String::from_utf8_lossy(&done.stderr).trim().into())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.xtask);
        command.arg("cluster").args(words).stdin(Stdio::null());
        command
    }

    /// Puts one up in place of any other: the daemon is to see it come up.
    #[must_use]
    pub fn up(words: &[&str]) -> Self {
        let this = Self { xtask: std::env::var_os("OBSERVER_XTASK").unwrap().into() };
        for mut command in [this.command(&["down"]), this.command(&[&["up"], words].concat())] {
            let done = command.stderr(Stdio::piped()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        this
    }

    /// What its `kubectl` says.
    #[must_use]
    pub fn kubectl(&self, words: &[&str]) -> String {
        let done = self.command(&[&["kubectl", "--"], words].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
        said
    }

    /// Makes the account and the rights that `deploy` gives the observer, and a kubeconfig of it.
    #[must_use]
    pub fn admit(&self, folder: &Path) -> PathBuf {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/daemonset.yaml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let rights: Vec<_> =
            manifest.split("\n---\n").filter(|object| !object.contains("kind: DaemonSet")).collect();
        let file = folder.join("rights.yaml");
        std::fs::write(&file, rights.join("\n---\n")).unwrap();
        let _ = self.kubectl(&["apply", "-f", file.to_str().unwrap()]);
        let token = self.kubectl(&["create", "token", "observer", "-n", "observer"]);
        let own: Value =
            serde_json::from_str(&self.kubectl(&["config", "view", "--raw", "-o", "json"])).unwrap();
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": own["clusters"][0]["cluster"]}],
            "users": [{"name": "it", "user": {"token": token.trim()}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        });
        let file = folder.join("kubeconfig");
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    /// A daemon that sees one of its machines alone, calls itself the node `node`, and asks the API from there.
    #[must_use]
    pub fn daemon_on(machine: &str, node: &str, kubeconfig: &Path) -> Daemon {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/observer-{machine}")).arg("--");
        command.arg(world::observer().unwrap()).args(["run", "--format", "json", "--node-name", node]);
        command
            .arg("--cgroup-root")
            .arg(world::cgroups().join("observer-cluster").join(machine))
            .arg("--kubeconfig")
            .arg(kubeconfig);
        Daemon::spawn(&mut command)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).status();
    }
}
