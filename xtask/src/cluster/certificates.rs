//! Who is who: authorities, certificates and the kubeconfigs that use them.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::place::{CONTROL_PLANE, KUBERNETES, WORKERS};
use super::state;
use crate::process::command;

/// A file of the cluster's certificates, without its ending.
pub fn file(name: &str) -> String {
    state::file("pki").join(name).display().to_string()
}

/// Everything that is made. Authorities first.
fn wanted() -> Value {
    let (address, address6) = (CONTROL_PLANE.address(), CONTROL_PLANE.address6());
    let api = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "localhost",
        "127.0.0.1",
        "::1",
        KUBERNETES,
        &address,
        &address6,
    ];
    let services = ["web.default.svc", "web.default.svc.cluster.local"];
    let own = [&address, "127.0.0.1", "localhost"];
    let mut all = vec![
        json!({"File": "ca", "Name": "cluster"}),
        json!({"File": "etcd-ca", "Name": "etcd"}),
        json!({"File": "front-proxy-ca", "Name": "front-proxy"}),
        json!({"File": "konnectivity-ca", "Name": "konnectivity"}),
        json!({"File": "apiserver", "Issuer": "ca", "Name": "kube-apiserver", "Hosts": api}),
        json!({"File": "etcd", "Issuer": "etcd-ca", "Name": "etcd", "Hosts": own}),
        json!({"File": "etcd-client", "Issuer": "etcd-ca", "Name": "kube-apiserver-etcd-client"}),
        json!({"File": "front-proxy", "Issuer": "front-proxy-ca", "Name": "front-proxy-client"}),
        json!({"File": "konnectivity-server", "Issuer": "konnectivity-ca", "Name": "proxy-server", "Hosts": own}),
        json!({"File": "konnectivity-agent", "Issuer": "konnectivity-ca", "Name": "proxy-agent"}),
        json!({"File": "service-account", "Issuer": "ca", "Name": "service-account"}),
        json!({"File": "web", "Issuer": "ca", "Name": "web", "Hosts": services}),
    ];
    let masters = ["system:masters"];
    for (name, groups) in [("admin", masters), ("kubelet-client", masters)] {
        all.push(json!({"File": name, "Issuer": "ca", "Name": name, "Groups": groups}));
    }
    for name in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        all.push(json!({"File": name, "Issuer": "ca", "Name": format!("system:{name}")}));
    }
    for worker in WORKERS {
        let name = format!("system:node:{}", worker.name);
        all.push(json!({"File": worker.name, "Issuer": "ca", "Name": name, "Groups": ["system:nodes"]}));
    }
    Value::Array(all)
}

/// Makes them, and a kubeconfig for each who has one.
pub fn make(peer: &Path) -> Result<()> {
    let folder = state::file("pki");
    std::fs::create_dir_all(&folder)?;
    let mut maker = command(peer).arg("pki").arg(&folder).stdin(Stdio::piped()).spawn()?;
    serde_json::to_writer(maker.stdin.take().context("no pipe")?, &wanted())?;
    if !maker.wait()?.success() {
        bail!("the certificates could not be made");
    }
    for name in ["admin", "kube-controller-manager", "kube-scheduler", "kube-proxy", "node1", "node2"] {
        std::fs::write(kubeconfig(name), config(name).to_string())?;
    }
    Ok(())
}

/// The kubeconfig of somebody.
pub fn kubeconfig(name: &str) -> String {
    file(name) + ".kubeconfig"
}

fn config(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "cluster",
        "clusters": [{
            "name": "cluster",
            "cluster": {
                "server": format!("https://{}:6443", CONTROL_PLANE.address()),
                "certificate-authority": file("ca.crt"),
            },
        }],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": name}}],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate": file(&format!("{name}.crt")),
                    "client-key": file(&format!("{name}.key")),
                },
            },
            // Secrets to look for. Nobody uses them.
            {
                "name": "spare",
                "user": {
                    "token": "planted-token-of-a-kubeconfig",
                    "username": "spare",
                    "password": "planted-password-of-a-kubeconfig",
                    "client-key-data": "cGxhbnRlZC1rZXktb2YtYS1rdWJlY29uZmln",
                    "exec": {
                        "apiVersion": "client.authentication.k8s.io/v1",
                        "command": "/bin/false",
                        "interactiveMode": "Never",
                        "args": ["--secret=planted-argument-of-a-kubeconfig"],
                        "env": [{"name": "SECRET", "value": "planted-environment-of-a-kubeconfig"}],
                    },
                },
            },
        ],
    })
}
