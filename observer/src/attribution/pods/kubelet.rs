//! The kubelets that run on this machine: usually one; several where nodes run in containers (kind) or namespaces.

use std::path::PathBuf;
use std::sync::Arc;

use observer_core::party::Component;
use serde::Deserialize;

use super::super::roots::Roots;
use super::super::running::Running;

/// Where a kubelet keeps the logs of its pods unless it is told otherwise (`podLogsDir`).
const POD_LOGS: &str = "/var/log/pods";

/// One running kubelet, or a process that has one in it (`k3s agent`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kubelet {
    /// Its folder of pod logs, seen from here.
    pub(crate) pod_logs: PathBuf,
    /// The name of its node, where its command line gives one.
    pub(crate) node: Option<Arc<str>>,
    /// Its network namespace, which is that of the node's own processes.
    pub(crate) netns: Option<u32>,
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
        let kubelets =
            Running::list(roots).into_iter().filter_map(|it| Some((it.is_in_pod(), Self::of(&it)?)));
        let (inside, outside): (Vec<_>, Vec<_>) = kubelets.partition(|(in_pod, _)| *in_pod);
        let found = if outside.is_empty() { inside } else { outside };
        found.into_iter().map(|(_, kubelet)| kubelet).collect()
    }

    fn of(running: &Running) -> Option<Self> {
        if !matches!(running.component, Component::Kubelet | Component::Agent | Component::Server) {
            return None;
        }
        let configuration: Configuration = running
            .arguments
            .value("config")
            .and_then(|path| running.file(path))
            .and_then(|bytes| serde_saphyr::from_slice(&bytes).ok())
            .unwrap_or_default();
        let told = configuration.pod_logs.as_deref().and_then(|path| running.path(path));
        Some(Self {
            pod_logs: told.or_else(|| running.path(POD_LOGS))?,
            node: running.arguments.value("hostname-override").map(Into::into),
            netns: running.netns,
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
        let expected = Kubelet { pod_logs: root.join("logs"), node: Some("node1".into()), netns: Some(99) };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_program_in_a_pod_that_is_called_kubelet_does_not_count_beside_a_real_one() {
        let fake = Fake::new();
        fake.process(8, b"kubelet", 1, 50).executable(8, b"/kubelet").network_namespace(8, 5);
        fake.cgroup(8, "/kubepods/pod0a1b2c3d-1111-2222-3333-444455556666/x");
        assert_eq!(Kubelet::running(fake.roots()).len(), 1, "a node in a pod");
        fake.process(7, b"kubelet", 1, 50).executable(7, b"/usr/bin/kubelet").network_namespace(7, 99);
        let namespaces: Vec<_> = Kubelet::running(fake.roots()).iter().map(|kubelet| kubelet.netns).collect();
        assert_eq!(namespaces, [Some(99)]);
    }

    #[test]
    fn a_configuration_that_cannot_be_read_leaves_the_usual_folder() {
        let fake = Fake::new();
        fake.process(7, b"k3s", 1, 50).executable(7, b"/usr/local/bin/k3s");
        fake.arguments(7, &["k3s", "agent", "--config=/etc/x"]);
        let root = fake.roots().proc.join("7/root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        for text in ["", "\u{0}", "a: [", "podLogsDir: [5]", "podLogsDir: ''", "podLogsDir: relative", "- 1"]
        {
            std::fs::write(root.join("etc/x"), text).unwrap();
            assert_eq!(Kubelet::running(fake.roots())[0].pod_logs, root.join("var/log/pods"), "{text:?}");
        }
    }
}
