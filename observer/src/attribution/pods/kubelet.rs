//! The kubelets that run on this machine: usually one; several where nodes run in containers (kind) or namespaces.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use observer_core::party::Component;
use serde::Deserialize;

use super::super::folder::Folder;
use super::super::roots::{Roots, read_start};
use super::uid::uid;

/// Where a kubelet keeps the logs of its pods unless it is told otherwise (`podLogsDir`).
const POD_LOGS: &str = "/var/log/pods";
/// Most bytes read of a kubelet's configuration.
const MAX_CONFIG: u64 = 1 << 20;
/// Kubelets that are kept.
const MOST: usize = 64;

/// One running kubelet, or a process that has one in it (`k3s agent`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kubelet {
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
    /// Its folder of pod logs, seen from here: through its own root, since it may run in a container.
    pub(crate) pod_logs: PathBuf,
    /// The name of its node, where its command line gives one.
    pub(crate) node: Option<Arc<str>>,
    /// Its network namespace, which is that of the node's own processes.
    pub(crate) netns: Option<u32>,
    /// It runs inside a pod (a node in a pod, or a program that only bears the name).
    in_pod: bool,
}

/// What is read of a kubelet's configuration file (kubelet.config.k8s.io/v1beta1); all else is passed over.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    #[serde(rename = "podLogsDir", default)]
    pod_logs: Option<String>,
}

impl Kubelet {
    /// All that run now. One inside a pod counts only where there is no other: anybody can call a program `kubelet`.
    pub(crate) fn running(roots: &Roots) -> Vec<Self> {
        let pids = roots.pids().into_iter().flatten();
        let found = pids.filter_map(|pid| Self::of(roots, pid)).take(MOST);
        let (mut inside, mut outside): (Vec<_>, Vec<_>) = found.partition(|kubelet| kubelet.in_pod);
        let found = if outside.is_empty() { &mut inside } else { &mut outside };
        found.sort_by_key(|kubelet| kubelet.pid);
        core::mem::take(found)
    }

    fn of(roots: &Roots, pid: u32) -> Option<Self> {
        let folder = Folder::open(roots, pid).ok()?;
        let executable = folder.executable().ok()?;
        let arguments = folder.arguments().unwrap_or_default();
        match Component::of(&executable, arguments.plain_words())? {
            Component::Kubelet | Component::Agent | Component::Server => {}
            _ => return None,
        }
        let root = roots.proc.join(pid.to_string()).join("root");
        let within = |path: &str| Some(root.join(Path::new(path).strip_prefix("/").ok()?));
        let configuration: Configuration = arguments
            .value("config")
            .and_then(within)
            .and_then(|path| read_start(&path, MAX_CONFIG).ok())
            .and_then(|bytes| serde_saphyr::from_slice(&bytes).ok())
            .unwrap_or_default();
        Some(Self {
            pid,
            start_ticks: folder.stat().ok()?.start_ticks,
            pod_logs: configuration.pod_logs.as_deref().and_then(within).or_else(|| within(POD_LOGS))?,
            node: arguments.value("hostname-override").map(Into::into),
            netns: folder.network_namespace().ok(),
            in_pod: folder.membership().is_ok_and(|groups| groups.paths().any(|path| uid(path).is_some())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fake::Fake;
    use super::*;

    #[test]
    fn finds_a_kubelet_by_its_executable_and_reads_what_it_was_told() {
        let fake = Fake::new();
        fake.process(7, b"renamed", 1, 50).executable(7, b"/usr/bin/kubelet").network_namespace(7, 99);
        fake.arguments(7, &["kubelet", "--config=/etc/kubelet.yaml", "--hostname-override=node1"]);
        fake.process(8, b"kubelet", 1, 50).executable(8, b"/usr/bin/curl");
        let root = fake.roots().proc.join("7/root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(
            root.join("etc/kubelet.yaml"),
            "kind: KubeletConfiguration\npodLogsDir: /logs\nport: 1\n",
        )
        .unwrap();
        let found = Kubelet::running(fake.roots());
        let expected = Kubelet {
            pid: 7,
            start_ticks: 50,
            pod_logs: root.join("logs"),
            node: Some("node1".into()),
            netns: Some(99),
            in_pod: false,
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_program_in_a_pod_that_is_called_kubelet_does_not_count_beside_a_real_one() {
        let fake = Fake::new();
        let forged = |pid| {
            fake.process(pid, b"kubelet", 1, 50).executable(pid, b"/kubelet");
            fake.cgroup(pid, "/kubepods/pod0a1b2c3d-1111-2222-3333-444455556666/x");
        };
        forged(8);
        assert_eq!(Kubelet::running(fake.roots()).len(), 1, "a node in a pod");
        fake.process(7, b"kubelet", 1, 50).executable(7, b"/usr/bin/kubelet");
        let pids: Vec<u32> = Kubelet::running(fake.roots()).iter().map(|kubelet| kubelet.pid).collect();
        assert_eq!(pids, [7]);
    }

    #[test]
    fn a_configuration_that_cannot_be_read_leaves_the_usual_folder() {
        let fake = Fake::new();
        fake.process(7, b"k3s", 1, 50).executable(7, b"/usr/local/bin/k3s");
        fake.arguments(7, &["k3s", "agent", "--config=/etc/x"]);
        let root = fake.roots().proc.join("7/root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        for text in ["", "\u{0}", "a: [", "podLogsDir: 5", "podLogsDir: ''", "podLogsDir: relative", "- 1"] {
            std::fs::write(root.join("etc/x"), text).unwrap();
            assert_eq!(Kubelet::running(fake.roots())[0].pod_logs, root.join("var/log/pods"), "{text:?}");
        }
    }
}
