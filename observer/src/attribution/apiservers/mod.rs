//! Which addresses are API servers, as far as this node's files say: the kubeconfigs of the components that run here.

mod kubeconfig;

pub use kubeconfig::Server;

use observer_core::party::Component;
use serde::Deserialize;

use super::roots::Roots;
use super::running::Running;

/// The key that the configuration files of kube-proxy, scheduler and controller manager share
/// (component-base `config/v1alpha1/types.go`, `ClientConnectionConfiguration`).
#[derive(Debug, Deserialize)]
struct Configuration {
    #[serde(rename = "clientConnection")]
    client: ClientConnection,
}

#[derive(Debug, Deserialize)]
struct ClientConnection {
    kubeconfig: String,
}

/// The kubeconfigs that k3s and RKE2 write for the kubelet in their own process.
const OF_AGENTS: [&str; 2] =
    ["/var/lib/rancher/k3s/agent/kubelet.kubeconfig", "/var/lib/rancher/rke2/agent/kubelet.kubeconfig"];

/// The API servers that the components on this machine are told to use, each once. Those that run in pods are not asked:
/// any pod can have a program of that name. Blocks while files are read.
#[must_use]
pub fn told(roots: &Roots) -> Vec<Server> {
    let mut found: Vec<Server> = Vec::new();
    for running in Running::list(roots).into_iter().filter(|running| !running.is_in_pod()) {
        for server in servers(&running) {
            if !found.iter().any(|known| known.address == server.address) {
                found.push(server);
            }
        }
    }
    found
}

fn servers(running: &Running) -> Vec<Server> {
    let mut paths: Vec<String> = Vec::new();
    match running.component {
        Component::Kubelet
        | Component::KubeProxy
        | Component::KubeScheduler
        | Component::KubeControllerManager
        | Component::CloudControllerManager => {
            paths.extend(running.arguments.value("kubeconfig").map(str::to_owned));
            let configuration = running.arguments.value("config").and_then(|path| running.file(path));
            let configuration =
                configuration.and_then(|it| serde_saphyr::from_slice::<Configuration>(&it).ok());
            paths.extend(configuration.map(|it| it.client.kubeconfig));
        }
        Component::Agent => paths.extend(OF_AGENTS.map(str::to_owned)),
        _ => {}
    }
    paths.iter().filter_map(|path| Server::of(&running.file(path)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    fn kubeconfig(server: &str) -> String {
        format!(
            "clusters:\n- name: c\n  cluster: {{server: '{server}'}}\nusers: [{{name: u, user: {{token: planted}}}}]\n"
        )
    }

    #[test]
    fn reads_what_the_components_on_this_machine_are_told() {
        let fake = Fake::new();
        fake.process(7, b"kubelet", 1, 50).executable(7, b"/usr/bin/kubelet");
        fake.arguments(7, &["kubelet", "--kubeconfig=/k"]);
        fake.process(8, b"kube-proxy", 1, 50).executable(8, b"/usr/bin/kube-proxy");
        fake.arguments(8, &["kube-proxy", "--config", "/c"]);
        fake.process(9, b"curl", 1, 50).executable(9, b"/usr/bin/curl");
        fake.arguments(9, &["curl", "--kubeconfig=/k"]);
        for (pid, file, text) in [
            (7, "k", kubeconfig("https://10.0.0.1:6443")),
            (8, "c", "mode: nftables\nclientConnection: {kubeconfig: /p, qps: 5}\n".to_owned()),
            (8, "p", kubeconfig("https://10.0.0.2:6443")),
            (9, "k", kubeconfig("https://6.6.6.6:6443")),
        ] {
            let root = fake.roots().proc.join(format!("{pid}/root"));
            std::fs::create_dir_all(&root).unwrap();
            std::fs::write(root.join(file), text).unwrap();
        }
        fake.process(10, b"kubelet", 1, 50).executable(10, b"/kubelet");
        fake.arguments(10, &["kubelet", "--kubeconfig=/k"]);
        fake.cgroup(10, "/kubepods/pod0a1b2c3d-1111-2222-3333-444455556666/x");
        std::fs::create_dir_all(fake.roots().proc.join("10/root")).unwrap();
        std::fs::write(fake.roots().proc.join("10/root/k"), kubeconfig("https://6.6.6.7:6443")).unwrap();
        let addresses: Vec<String> = told(fake.roots()).iter().map(|it| it.address.to_string()).collect();
        assert_eq!(addresses, ["10.0.0.1:6443", "10.0.0.2:6443"]);
    }

    #[test]
    fn a_kubeconfig_that_is_a_pipe_is_not_waited_for() {
        let fake = Fake::new();
        fake.process(7, b"kubelet", 1, 50).executable(7, b"/usr/bin/kubelet");
        fake.arguments(7, &["kubelet", "--kubeconfig=/k"]);
        let root = fake.roots().proc.join("7/root");
        std::fs::create_dir_all(&root).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, root.join("k"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(told(fake.roots()).is_empty());
    }
}
