//! The parts of a control plane, recognised by what their processes look like.
//!
//! The executable decides, because any program can set its command name and arguments; arguments only say which of several
//! components one executable is. Seen on running clusters: `kube-apiserver`, `kubelet`, `kube-proxy`, `kube-scheduler`,
//! `kube-controller-manager`, `etcd`, konnectivity's `proxy-agent` and `proxy-server`. Modelled from documented command
//! lines: k3s, RKE2, k0s, MicroK8s, OpenShift's and old Kubernetes' `hyperkube`.

use schemars::JsonSchema;
use serde::Serialize;

/// A part of the control plane (`control_plane.client.role`, `control_plane.server.role`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The API server.
    KubeApiserver,
    /// The controller manager.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// The cloud provider's controller manager.
    CloudControllerManager,
    /// The node's agent.
    Kubelet,
    /// The node's service proxy.
    KubeProxy,
    /// The store.
    Etcd,
    /// Konnectivity's end on the node's side: it dials the last hop for the API server.
    KonnectivityAgent,
    /// Konnectivity's end on the API server's side.
    KonnectivityServer,
    /// A container runtime, which serves the kubelet's streams.
    ContainerRuntime,
    /// Several components in one process (`k3s server`, `kubelite`, `k0s controller`): which of them dialled, the process
    /// does not say.
    Server,
    /// Kubelet, kube-proxy and the tunnel's node end in one process (`k3s agent`, `rke2 agent`).
    Agent,
}

/// The distribution that a process betrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// k3s.
    K3s,
    /// RKE2.
    Rke2,
    /// k0s.
    K0s,
    /// MicroK8s.
    MicroK8s,
}

impl Component {
    /// The component that runs `executable` (a path) with `arguments` (without the first, which any program can set).
    #[must_use]
    pub fn of<'a>(executable: &str, arguments: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let name = executable.rsplit('/').next().unwrap_or(executable);
        if let Some(component) = Self::named(name) {
            return Some(component);
        }
        // Several programs in one file: the first word that is not an option names the program.
        let word = arguments.into_iter().take(8).find(|word| !word.starts_with('-'));
        match (name, word) {
            ("hyperkube", Some(word)) => Self::named(word).or_else(|| Self::named(&format!("kube-{word}"))),
            ("k3s" | "k3s-server" | "rke2", Some("server")) | ("k3s-server" | "kubelite", _) => {
                Some(Self::Server)
            }
            ("k0s", Some("controller")) => Some(Self::Server),
            ("k3s" | "k3s-agent" | "rke2", Some("agent")) | ("k3s-agent", _) | ("k0s", Some("worker")) => {
                Some(Self::Agent)
            }
            _ => None,
        }
    }

    /// Whether a process with this command name (at most 15 bytes, as the kernel keeps it) may be a component.
    #[must_use]
    pub fn may_be_called(command: &str) -> bool {
        const BEGINNINGS: [&str; 17] = [
            "kube-",
            "kubelet",
            "kubelite",
            "hyperkube",
            "cloud-",
            "etcd",
            "proxy-",
            "konnectivity",
            "containerd",
            "crio",
            "cri-",
            "dockerd",
            "k3s",
            "rke2",
            "k0s",
            "exe",
            "agent",
        ];
        command.is_empty() || BEGINNINGS.iter().any(|beginning| command.starts_with(beginning))
    }

    fn named(program: &str) -> Option<Self> {
        Some(match program {
            "kube-apiserver" => Self::KubeApiserver,
            "kube-controller-manager" => Self::KubeControllerManager,
            "kube-scheduler" => Self::KubeScheduler,
            "cloud-controller-manager" => Self::CloudControllerManager,
            "kubelet" => Self::Kubelet,
            "kube-proxy" => Self::KubeProxy,
            "etcd" => Self::Etcd,
            "proxy-agent" | "konnectivity-agent" => Self::KonnectivityAgent,
            "proxy-server" | "konnectivity-server" => Self::KonnectivityServer,
            "containerd" | "crio" | "cri-dockerd" | "dockerd" => Self::ContainerRuntime,
            _ => return None,
        })
    }

    /// Whether what it dials can be a request that the API server passes on: its own, or one that came through a tunnel.
    #[must_use]
    pub const fn dials_for_apiserver(self) -> bool {
        matches!(self, Self::KubeApiserver | Self::KonnectivityAgent | Self::Server | Self::Agent)
    }

    /// Whether it serves the Kubernetes API.
    #[must_use]
    pub const fn serves_api(self) -> bool {
        matches!(self, Self::KubeApiserver | Self::Server)
    }
}

impl Distribution {
    /// The distribution that an executable's path belongs to.
    #[must_use]
    pub fn of(executable: &str) -> Option<Self> {
        let name = executable.rsplit('/').next().unwrap_or(executable);
        match name {
            "k3s" | "k3s-server" | "k3s-agent" => Some(Self::K3s),
            "rke2" => Some(Self::Rke2),
            "k0s" => Some(Self::K0s),
            "kubelite" => Some(Self::MicroK8s),
            _ if executable.contains("/rancher/rke2/") => Some(Self::Rke2),
            _ if executable.contains("/rancher/k3s/") => Some(Self::K3s),
            _ if executable.contains("/k0s/bin/") => Some(Self::K0s),
            _ if executable.starts_with("/snap/microk8s/") => Some(Self::MicroK8s),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::K3s => "k3s",
            Self::Rke2 => "rke2",
            Self::K0s => "k0s",
            Self::MicroK8s => "microk8s",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_component_by_its_executable() {
        for (executable, component) in [
            ("/usr/local/bin/kube-apiserver", Component::KubeApiserver),
            ("/usr/bin/kubelet", Component::Kubelet),
            ("/proxy-agent", Component::KonnectivityAgent),
            ("/snap/microk8s/1/kubelite", Component::Server),
            ("/var/lib/k0s/bin/kube-scheduler", Component::KubeScheduler),
        ] {
            assert_eq!(Component::of(executable, []), Some(component), "{executable}");
        }
        assert_eq!(Component::of("/usr/bin/curl", ["kube-apiserver"]), None);
        assert_eq!(Component::of("/opt/kubelet/bin/x", []), None);
    }

    #[test]
    fn arguments_tell_apart_what_one_executable_can_be() {
        let of = |executable: &str, arguments: &[&str]| Component::of(executable, arguments.iter().copied());
        assert_eq!(of("/usr/local/bin/k3s", &["server", "--tls-san", "x"]), Some(Component::Server));
        assert_eq!(of("/usr/local/bin/k3s", &["--debug", "agent"]), Some(Component::Agent));
        assert_eq!(of("/usr/local/bin/k3s", &["kubectl", "get", "pods"]), None);
        assert_eq!(of("/hyperkube", &["kubelet"]), Some(Component::Kubelet));
        assert_eq!(of("/hyperkube", &["apiserver"]), Some(Component::KubeApiserver));
        assert_eq!(of("/usr/local/bin/k0s", &["worker"]), Some(Component::Agent));
        assert_eq!(of("/usr/local/bin/k3s", &[]), None);
    }

    #[test]
    fn a_command_name_rules_components_out() {
        for command in [
            "kube-apiserver",
            "kube-controller",
            "cloud-controlle",
            "kubelet",
            "k3s-server",
            "konnectivity-ag",
            "",
        ] {
            assert!(Component::may_be_called(command), "{command}");
        }
        for command in ["kubectl", "curl", "peer", "nginx"] {
            assert!(!Component::may_be_called(command), "{command}");
        }
    }

    #[test]
    fn a_path_betrays_the_distribution() {
        assert_eq!(Distribution::of("/var/lib/rancher/k3s/data/0a/bin/k3s"), Some(Distribution::K3s));
        assert_eq!(Distribution::of("/var/lib/rancher/rke2/bin/kubelet"), Some(Distribution::Rke2));
        assert_eq!(Distribution::of("/usr/bin/kubelet"), None);
    }
}
