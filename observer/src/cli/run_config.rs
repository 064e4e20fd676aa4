//! What `observer run` was asked to do, once command line and configuration file are put together.

use core::time::Duration;
use std::path::PathBuf;

use super::api_server::ApiServer;
use super::config_file;
use super::failure::Failure;
use super::network::Network;
use super::port_range::PortRange;
use super::selection::{Ports, Processes};
use super::shown::shown;
use super::typed::{Format, KubernetesApi, RunTyped, Scope};

/// How long a connection may go without a verdict, unless told otherwise.
pub(super) const VERDICT_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything the daemon needs to know to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunConfig {
    /// Which connections are watched.
    pub scope: Scope,
    /// Ports that are watched, dialled or listening.
    pub ports: Vec<PortRange>,
    /// Executables that are watched on every port.
    pub processes: Vec<String>,
    /// Processes that are watched on every port.
    pub pids: Vec<u32>,
    /// Control groups that are watched with all below them, as paths below `cgroup_root`.
    pub cgroups: Vec<PathBuf>,
    /// Peers that are watched on every port.
    pub addresses: Vec<Network>,
    /// How events are written; `None`: by whether the output is a terminal.
    pub format: Option<Format>,
    /// The file that events are appended to; `None`: standard output.
    pub output: Option<PathBuf>,
    /// How long a connection may go without a verdict.
    pub verdict_timeout: Duration,
    /// Size of the kernel's ring for openings and closings, in bytes.
    pub lifecycle_ring: u32,
    /// Size of the kernel's ring for payload, in bytes.
    pub payload_ring: u32,
    /// Where the process file system is mounted.
    pub proc_root: PathBuf,
    /// Where the cgroup v2 hierarchy is mounted; `None`: found by itself.
    pub cgroup_root: Option<PathBuf>,
    /// The kubelet's folder of pod logs; `None`: where the running kubelets keep it.
    pub pod_logs: Option<PathBuf>,
    /// The name of this node; `None`: as the running kubelet says.
    pub node_name: Option<String>,
    /// The file that some of it may come from, for messages.
    pub config: Option<PathBuf>,
    /// Machines of API servers.
    pub apiservers: Vec<ApiServer>,
    /// The cluster's name.
    pub cluster_name: Option<String>,
    /// The cluster's id; `None`: as the API says, where it is asked.
    pub cluster_id: Option<String>,
    /// The kubeconfig to ask the Kubernetes API with; `None`: the service account, where there is one.
    pub kubeconfig: Option<PathBuf>,
    /// Whether the Kubernetes API is asked.
    pub kubernetes_api: KubernetesApi,
}

impl RunConfig {
    /// Puts together what was typed and the configuration file it names. What was typed wins; a list that was typed
    /// takes the place of the file's.
    ///
    /// # Errors
    /// The file cannot be read or is wrong, or two settings contradict each other.
    pub fn resolve(typed: RunTyped) -> Result<Self, Failure> {
        let file = typed.config.as_deref().map(config_file::read).transpose()?.unwrap_or_default();
        let scope = typed.scope.or(file.scope).unwrap_or(Scope::Watched);
        let ports = either(typed.port, file.port);
        let processes = either(typed.process, file.process);
        let config = Self {
            scope,
            pids: either(typed.pid, file.pid),
            cgroups: either(typed.cgroup, file.cgroup),
            addresses: either(typed.address, file.address),
            format: typed.format.or(file.format),
            output: typed.output.or(file.output),
            verdict_timeout: typed.verdict_timeout.or(file.verdict_timeout).unwrap_or(VERDICT_TIMEOUT),
            lifecycle_ring: typed.lifecycle_ring.or(file.lifecycle_ring).unwrap_or(8 << 20),
            payload_ring: typed.payload_ring.or(file.payload_ring).unwrap_or(4 << 20),
            proc_root: typed.proc_root.or(file.proc_root).unwrap_or_else(|| "/proc".into()),
            cgroup_root: typed.cgroup_root.or(file.cgroup_root),
            pod_logs: typed.pod_logs.or(file.pod_logs),
            node_name: typed.node_name.or(file.node_name),
            config: typed.config,
            apiservers: either(typed.apiserver, file.apiserver),
            cluster_name: typed.cluster_name.or(file.cluster_name),
            cluster_id: typed.cluster_id.or(file.cluster_id),
            kubeconfig: typed.kubeconfig.or(file.kubeconfig),
            kubernetes_api: typed.kubernetes_api.or(file.kubernetes_api).unwrap_or(KubernetesApi::Auto),
            ports: Ports::resolve(&ports),
            processes: Processes::resolve(&processes),
        };
        if config.kubernetes_api == KubernetesApi::Off && config.kubeconfig.is_some() {
            return Err(Failure::usage(
                "--kubernetes-api off never asks the API, so --kubeconfig has no effect; leave out one of the two",
            ));
        }
        let named = [
            ("--port", !ports.is_empty()),
            ("--process", !processes.is_empty()),
            ("--pid", !config.pids.is_empty()),
            ("--cgroup", !config.cgroups.is_empty()),
            ("--address", !config.addresses.is_empty()),
        ];
        if config.scope == Scope::All
            && let Some((option, _)) = named.into_iter().find(|(_, named)| *named)
        {
            return Err(config.refused(&format!(
                "--scope all watches every connection, so {option} has no effect; leave out one of the two"
            )));
        }
        if config.scope == Scope::Watched
            && config.ports.is_empty()
            && config.processes.is_empty()
            && named.into_iter().skip(2).all(|(_, named)| !named)
        {
            return Err(config.refused(
                "nothing is left to watch; give --port, --process, --pid, --cgroup or --address something, \
                 or --scope all",
            ));
        }
        Ok(config)
    }

    /// Something is wrong with a setting, wherever it was made.
    pub(super) fn refused(&self, message: &str) -> Failure {
        match &self.config {
            None => Failure::usage(message),
            Some(file) => Failure::usage(format!("{message} (settings are from {} too)", shown(file))),
        }
    }
}

impl RunConfig {
    /// The settings that a running daemon cannot change and that `other` has otherwise, by their names in the file.
    #[must_use]
    pub fn fixed_settings_that_differ(&self, other: &Self) -> Vec<&'static str> {
        let fixed = [
            ("format", self.format != other.format),
            ("output", self.output != other.output),
            ("verdict-timeout", self.verdict_timeout != other.verdict_timeout),
            ("lifecycle-ring", self.lifecycle_ring != other.lifecycle_ring),
            ("payload-ring", self.payload_ring != other.payload_ring),
            ("proc-root", self.proc_root != other.proc_root),
            ("cgroup-root", self.cgroup_root != other.cgroup_root),
            ("pod-logs", self.pod_logs != other.pod_logs),
            ("node-name", self.node_name != other.node_name),
        ];
        fixed.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }
}

fn either<T>(typed: Vec<T>, file: Vec<T>) -> Vec<T> {
    if typed.is_empty() { file } else { typed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::typed::{Command, Typed};
    use clap::Parser;

    fn resolve(words: &str) -> Result<RunConfig, Failure> {
        let typed =
            Typed::try_parse_from(["observer", "run"].into_iter().chain(words.split_whitespace())).unwrap();
        let Command::Run(typed) = typed.command else { panic!("not run") };
        RunConfig::resolve(*typed)
    }

    #[test]
    fn watches_the_control_plane_unless_told_otherwise() {
        let config = resolve("").unwrap();
        assert_eq!(config.scope, Scope::Watched);
        assert!(config.ports.contains(&PortRange::one(6443)));
        assert!(config.processes.iter().any(|name| name == "kube-apiserver"));
        assert_eq!(config.verdict_timeout, Duration::from_secs(10));
    }

    #[test]
    fn watches_one_process_alone() {
        let config = resolve("--port none --process none --pid 17").unwrap();
        assert!(config.ports.is_empty() && config.processes.is_empty());
        assert_eq!(config.pids, [17]);
    }

    #[test]
    fn names_what_a_running_daemon_cannot_change() {
        let before = resolve("--port 1").unwrap();
        assert!(before.fixed_settings_that_differ(&resolve("--port 2 --pid 7").unwrap()).is_empty());
        let after = resolve("--port 1 --payload-ring 8M --output /tmp/x").unwrap();
        assert_eq!(before.fixed_settings_that_differ(&after), ["output", "payload-ring"]);
    }

    #[test]
    fn refuses_settings_that_contradict_each_other() {
        assert!(resolve("--scope all --pid 17").unwrap_err().to_string().contains("--pid has no effect"));
        assert!(resolve("--port none --process none").unwrap_err().to_string().contains("nothing is left"));
        assert!(resolve("--scope all").is_ok());
    }
}
