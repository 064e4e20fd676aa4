//! A machine with pods: containerd, kubelet, and the network plugins' configuration.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::certificates::{file, kubeconfig};
use super::control_plane::Words;
use super::daemon::{Daemon, Setting};
use super::packages::Packages;
use super::place::{CONTROL_PLANE, Place};
use super::state::{self, Shape};
use super::{groups, image};

/// A worker's containerd. Its mounts are the worker's.
pub fn containerd(place: Place, packages: &Packages) -> Result<Daemon> {
    let folder = state::file(place.name);
    for part in ["network", "containerd"] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    std::fs::write(folder.join("network/10-bridge.conflist"), network(place).to_string())?;
    let config = folder.join("containerd.toml");
    std::fs::write(&config, configuration(&folder, packages))?;
    let own = |fixed: &'static str| {
        let own = folder.join(fixed.trim_start_matches('/').replace('/', "-"));
        std::fs::create_dir_all(&own)?;
        Ok((own, fixed))
    };
    let mounts = state::FIXED.into_iter().map(own).collect::<Result<_>>()?;
    let setting = Setting { mounts, path: Some(packages.file("usr/bin")), ..Setting::default() };
    let mut words = Words::new(packages.file("usr/bin/containerd"));
    words.flag("config", config.display());
    let mut daemon = Daemon::start(place, &format!("containerd-{}", place.name), &setting, &words.0)?;
    daemon.made(&socket(place))?;
    Ok(daemon)
}

fn socket(place: Place) -> PathBuf {
    state::file(place.name).join("containerd.sock")
}

/// The containers' network: a bridge with a gateway, addresses from a list of our own.
fn network(place: Place) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": state::file(place.name).join("addresses"),
                "ranges": [[{"subnet": place.pods()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

fn configuration(folder: &Path, packages: &Packages) -> String {
    let (folder, root) = (folder.display(), packages.root.display());
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
address = "{folder}/containerd.sock"
[ttrpc]
address = "{folder}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
# Without CAP_SYS_RESOURCE a score cannot be lowered.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{root}/usr/lib/cni"
conf_dir = "{folder}/network"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{root}/usr/sbin/runc"
"#,
        image = image::NAME,
    )
}

/// Gives a worker's containerd the image.
pub fn load_image(place: Place, packages: &Packages, archive: &Path) -> Result<()> {
    let mut ctr = crate::process::command(packages.file("usr/bin/ctr"));
    ctr.arg("--address").arg(socket(place)).args(["--namespace", "k8s.io", "images", "import"]).arg(archive);
    crate::process::output(&mut ctr).map(drop)
}

/// A worker's kubelet.
pub fn kubelet(place: Place, containerd: &Daemon, programs: &Path, shape: Shape) -> Result<Daemon> {
    let folder = state::file(place.name);
    groups::make_for_pods(place.name)?;
    std::fs::create_dir_all(folder.join("static"))?;
    let config = folder.join("kubelet.json");
    std::fs::write(&config, kubelet_configuration(place, shape).to_string())?;
    let mut words = Words::new(programs.join("kubelet"));
    words.flag("config", config.display());
    words.flag("kubeconfig", kubeconfig(place.name));
    words.flag("hostname-override", place.name);
    words.flag("node-ip", place.address());
    words.flag("root-dir", folder.join("kubelet").display());
    words.flag("cert-dir", folder.join("kubelet-pki").display());
    let setting = Setting { mounts_of: Some(containerd.pid()), ..Setting::default() };
    Daemon::start(place, &format!("kubelet-{}", place.name), &setting, &words.0)
}

fn kubelet_configuration(place: Place, shape: Shape) -> Value {
    let folder = state::file(place.name);
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "readOnlyPort": 10255,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": file("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": groups::pods(place.name),
        "containerRuntimeEndpoint": format!("unix://{}", socket(place).display()),
        "podLogsDir": folder.join("pods"),
        "staticPodPath": folder.join("static"),
        "resolvConf": "/dev/null",
        "failSwapOn": false,
        "evictionHard": {"memory.available": "10Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "enforceNodeAllocatable": [],
    });
    if shape.version.refuses_cgroup_v1() {
        config["failCgroupV1"] = false.into();
    }
    config
}

/// Konnectivity's agent.
pub fn tunnel_agent(place: Place, konnectivity: &Path) -> Result<Daemon> {
    let mut words = Words::new(konnectivity.join("proxy-agent"));
    words.flag("ca-cert", file("konnectivity-ca.crt"));
    words.pair("agent-cert", "agent-key", "konnectivity-agent");
    words.flag("proxy-server-host", CONTROL_PLANE.address());
    words.flag("proxy-server-port", 8132);
    words.flag("agent-identifiers", format!("host={}", place.name));
    Daemon::start(place, &format!("proxy-agent-{}", place.name), &Setting::default(), &words.0)
}
