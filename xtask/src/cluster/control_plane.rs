//! etcd, the API server and what belongs to it.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::certificates::{file, kubeconfig};
use super::daemon::{Daemon, Setting};
use super::packages::Packages;
use super::place::{CONTROL_PLANE, OUTSIDE, PODS, SERVICES};
use super::state::{self, Shape};

/// A bearer token of the cluster's administrators, and a secret to look for.
pub const TOKEN: &str = "planted-bearer-token-of-an-administrator";

/// Where the API server hands connections to konnectivity.
fn tunnel_socket() -> String {
    state::file("konnectivity.sock").display().to_string()
}

/// Starts etcd.
pub fn etcd(packages: &Packages) -> Result<Daemon> {
    let address = CONTROL_PLANE.address();
    let mut words = Words::new(packages.file("usr/bin/etcd"));
    words.flag("name", "cp");
    words.flag("data-dir", state::file("etcd").display());
    words.flag("listen-client-urls", format!("https://{address}:2379"));
    words.flag("advertise-client-urls", format!("https://{address}:2379"));
    words.flag("listen-peer-urls", format!("https://{address}:2380"));
    words.flag("initial-advertise-peer-urls", format!("https://{address}:2380"));
    words.flag("initial-cluster", format!("cp=https://{address}:2380"));
    words.flag("listen-metrics-urls", "http://127.0.0.1:2381");
    for part in ["", "peer-"] {
        words.flag(&format!("{part}cert-file"), file("etcd.crt"));
        words.flag(&format!("{part}key-file"), file("etcd.key"));
        words.flag(&format!("{part}trusted-ca-file"), file("etcd-ca.crt"));
        words.flag(&format!("{part}client-cert-auth"), "true");
    }
    Daemon::start(CONTROL_PLANE, "etcd", &Setting::default(), &words.0)
}

/// Starts the API server.
pub fn api_server(programs: &Path, shape: Shape) -> Result<Daemon> {
    std::fs::write(file("tokens.csv"), format!("{TOKEN},driver,driver,\"system:masters\"\n"))?;
    let mut words = Words::new(programs.join("kube-apiserver"));
    words.flag("advertise-address", CONTROL_PLANE.address());
    words.flag("secure-port", 6443);
    words.pair("tls-cert-file", "tls-private-key-file", "apiserver");
    words.flag("client-ca-file", file("ca.crt"));
    words.flag("etcd-servers", format!("https://{}:2379", CONTROL_PLANE.address()));
    words.flag("etcd-cafile", file("etcd-ca.crt"));
    words.pair("etcd-certfile", "etcd-keyfile", "etcd-client");
    words.pair("kubelet-client-certificate", "kubelet-client-key", "kubelet-client");
    words.flag("kubelet-preferred-address-types", "InternalIP");
    words.flag("requestheader-client-ca-file", file("front-proxy-ca.crt"));
    words.flag("requestheader-allowed-names", "front-proxy-client");
    words.flag("requestheader-username-headers", "X-Remote-User");
    words.flag("requestheader-group-headers", "X-Remote-Group");
    words.flag("requestheader-extra-headers-prefix", "X-Remote-Extra-");
    words.pair("proxy-client-cert-file", "proxy-client-key-file", "front-proxy");
    words.flag("service-account-issuer", "https://kubernetes.default.svc");
    words.flag("service-account-key-file", file("service-account.key"));
    words.flag("service-account-signing-key-file", file("service-account.key"));
    words.flag("service-cluster-ip-range", SERVICES);
    words.flag("authorization-mode", "Node,RBAC");
    words.flag("enable-admission-plugins", "NodeRestriction");
    words.flag("token-auth-file", file("tokens.csv"));
    words.flag("allow-privileged", "true");
    if shape.bare {
        audit(&mut words)?;
    }
    if shape.konnectivity {
        let config = state::file("egress.json");
        let cluster = json!({"proxyProtocol": "GRPC", "transport": {"uds": {"udsName": tunnel_socket()}}});
        let selection = json!({
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": cluster}],
        });
        std::fs::write(&config, selection.to_string())?;
        words.flag("egress-selector-config-file", config.display());
    }
    Daemon::start(CONTROL_PLANE, "kube-apiserver", &Setting::default(), &words.0)
}

/// Has each request written down once, as it comes: who, and what.
fn audit(words: &mut Words) -> Result<()> {
    let policy = state::file("audit.json");
    let rules = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["ResponseStarted", "ResponseComplete", "Panic"],
        "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
    });
    std::fs::write(&policy, rules.to_string())?;
    words.flag("audit-policy-file", policy.display());
    words.flag("audit-log-path", state::file("audit.log").display());
    Ok(())
}

/// Starts the controller manager and the scheduler.
pub fn controllers(programs: &Path) -> Result<[Daemon; 2]> {
    let start = |name: &str, more: &mut dyn FnMut(&mut Words)| {
        let mut words = Words::new(programs.join(name));
        for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            words.flag(flag, kubeconfig(name));
        }
        words.flag("leader-elect", "false");
        more(&mut words);
        Daemon::start(CONTROL_PLANE, name, &Setting::default(), &words.0)
    };
    Ok([
        start("kube-controller-manager", &mut |words| {
            words.flag("service-account-private-key-file", file("service-account.key"));
            words.flag("root-ca-file", file("ca.crt"));
            words.flag("use-service-account-credentials", true);
        })?,
        start("kube-scheduler", &mut |_| ())?,
    ])
}

/// Starts konnectivity's server.
pub fn tunnel_server(konnectivity: &Path) -> Result<Daemon> {
    let mut words = Words::new(konnectivity.join("proxy-server"));
    words.flag("mode", "grpc");
    words.flag("uds-name", tunnel_socket());
    words.flag("server-port", 0);
    words.flag("agent-port", 8132);
    words.flag("admin-port", 8133);
    words.flag("health-port", 8134);
    words.flag("cluster-ca-cert", file("konnectivity-ca.crt"));
    words.pair("cluster-cert", "cluster-key", "konnectivity-server");
    Daemon::start(CONTROL_PLANE, "proxy-server", &Setting::default(), &words.0)
}

/// A command of the cluster's `kubectl`, by somebody outside.
pub fn kubectl(programs: &Path) -> Result<std::process::Command> {
    let mut command = OUTSIDE.client(programs.join("kubectl"))?;
    command.arg("--kubeconfig").arg(kubeconfig("admin"));
    // Where it remembers what the server offers.
    command.arg("--cache-dir").arg(state::file("kubectl"));
    Ok(command)
}

/// Waits until the API server is ready to serve everything.
pub fn ready(server: &mut Daemon, programs: &Path) -> Result<()> {
    server.listens(6443)?;
    server.until("is ready", || {
        Ok(crate::process::answer(kubectl(programs)?.args(["get", "--raw", "/readyz"])).is_some())
    })
}

/// Creates objects, retried until the server takes them all.
pub fn apply(programs: &Path, objects: &str) -> Result<()> {
    use std::io::Write as _;
    let mut create = kubectl(programs)?;
    create.args(["apply", "--validate=false", "-f", "-"]).stdin(std::process::Stdio::piped());
    let mut child = create.stdout(std::process::Stdio::null()).spawn()?;
    child.stdin.take().context("no pipe")?.write_all(objects.as_bytes())?;
    anyhow::ensure!(child.wait()?.success(), "the API server refused the objects");
    Ok(())
}

/// A command line in the making.
#[derive(Debug)]
pub struct Words(pub Vec<String>);

impl Words {
    /// Of this program.
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self(vec![program.as_ref().display().to_string()])
    }

    /// Adds `--name=value`.
    pub fn flag(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.push(format!("--{name}={value}"));
    }

    /// Adds the flags for a certificate and its key.
    pub fn pair(&mut self, certificate: &str, key: &str, name: &str) {
        self.flag(certificate, file(&format!("{name}.crt")));
        self.flag(key, file(&format!("{name}.key")));
    }
}

/// Where kube-proxy is: wherever service addresses are dialled, the control plane included.
pub fn service_proxy(programs: &Path, place: super::place::Place, shape: Shape) -> Result<Daemon> {
    let mut words = Words::new(programs.join("kube-proxy"));
    words.flag("kubeconfig", kubeconfig("kube-proxy"));
    words.flag("hostname-override", place.name);
    words.flag("proxy-mode", shape.proxy.name());
    words.flag("cluster-cidr", PODS);
    // These settings are the machine's, not the namespace's.
    words.flag("conntrack-max-per-core", 0);
    words.flag("conntrack-tcp-timeout-established", "0s");
    words.flag("conntrack-tcp-timeout-close-wait", "0s");
    Daemon::start(place, &format!("kube-proxy-{}", place.name), &Setting::default(), &words.0)
}
