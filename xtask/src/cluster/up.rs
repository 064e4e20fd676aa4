//! Putting the cluster up.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};

use super::control_plane::{self, kubectl};
use super::daemon::Daemon;
use super::packages::Packages;
use super::place::{CONTROL_PLANE, WORKERS};
use super::state::{self, Shape};
use super::{certificates, down, go, groups, image, place, worker};
use crate::process::output;

const OBJECTS: &str = include_str!("../../cluster/objects.yaml");

/// Builds and fetches what the cluster is made of, none of which needs root except for packages that are missing.
#[derive(Debug)]
pub struct Parts {
    packages: Packages,
    programs: std::path::PathBuf,
    konnectivity: Option<std::path::PathBuf>,
    peer: std::path::PathBuf,
}

impl Parts {
    /// Makes what is missing.
    pub fn ensure(shape: Shape) -> Result<Self> {
        Ok(Self {
            packages: Packages::ensure()?,
            programs: go::kubernetes(shape.version)?,
            konnectivity: if shape.konnectivity { Some(go::konnectivity()?) } else { None },
            peer: go::peer()?,
        })
    }
}

/// Puts it up; what was there before goes away, unless it is what is wanted.
pub fn up(parts: &Parts, shape: Shape) -> Result<()> {
    if Shape::running() == Some(shape) && is_ready(&parts.programs)? {
        eprintln!("The cluster is up already.");
        return Ok(());
    }
    // Groups that are empty may have been made for somebody who is to see all of it.
    if state::exists() || !groups::processes().is_empty() {
        down::down()?;
    }
    let began = Instant::now();
    if let Err(error) = build(parts, shape) {
        // Nothing half-done is left behind; its logs are.
        down::down()?;
        return Err(error);
    }
    eprintln!("The cluster is up after {:.1} s.", began.elapsed().as_secs_f64());
    Ok(())
}

fn build(parts: &Parts, shape: Shape) -> Result<()> {
    let Parts { packages, programs, .. } = parts;
    state::make()?;
    place::make()?;
    certificates::make(&parts.peer)?;
    let mut etcd = control_plane::etcd(packages)?;
    if shape.bare {
        etcd.listens(2379)?;
        let mut server = control_plane::api_server(programs, shape)?;
        control_plane::ready(&mut server, programs)?;
        return shape.keep();
    }
    let archive = image::make(&parts.peer)?;
    let runtimes = WORKERS.map(|place| -> Result<Daemon> {
        let runtime = worker::containerd(place, packages)?;
        worker::load_image(place, packages, &archive)?;
        Ok(runtime)
    });
    etcd.listens(2379)?;
    if let Some(konnectivity) = &parts.konnectivity {
        control_plane::tunnel_server(konnectivity)?;
    }
    let mut server = control_plane::api_server(programs, shape)?;
    control_plane::ready(&mut server, programs)?;
    control_plane::controllers(programs)?;
    for (place, runtime) in WORKERS.into_iter().zip(runtimes) {
        worker::kubelet(place, &runtime?, programs, shape)?;
        control_plane::service_proxy(programs, place, shape)?;
    }
    // A kube-proxy waits half a minute for its node. No kubelet makes this one.
    control_plane::apply(programs, &own_node().to_string())?;
    control_plane::service_proxy(programs, CONTROL_PLANE, shape)?;
    if let Some(konnectivity) = &parts.konnectivity {
        worker::tunnel_agent(WORKERS[0], konnectivity)?;
    }
    populate(&mut server, programs)?;
    shape.keep()
}

fn own_node() -> Value {
    let (name, address) = (CONTROL_PLANE.name, CONTROL_PLANE.address());
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"unschedulable": true},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    })
}

fn populate(server: &mut Daemon, programs: &Path) -> Result<()> {
    let asks = |words: &[&str]| Ok(crate::process::answer(kubectl(programs)?.args(words)).is_some());
    server.until("has a default service account", || asks(&["get", "serviceaccount", "default"]))?;
    let encoded = |name: &str| {
        let text = output(crate::process::command("base64").arg("-w0").arg(certificates::file(name)))?;
        Ok::<_, anyhow::Error>(text)
    };
    let objects = OBJECTS
        .replace("${CA}", &encoded("ca.crt")?)
        .replace("${CERT}", &encoded("web.crt")?)
        .replace("${KEY}", &encoded("web.key")?);
    control_plane::apply(programs, &objects)?;
    let wait = |condition: &str, what: &[&str]| {
        let mut wait = kubectl(programs)?;
        output(wait.args(["wait", &format!("--for=condition={condition}"), "--timeout=60s"]).args(what))
            .map(drop)
    };
    server.until("knows both nodes", || asks(&["get", "node", "node1", "node2"]))?;
    wait("Ready", &["node", "node1", "node2"])?;
    wait("Ready", &["pod", "--all"])?;
    wait("Available", &["apiservice", "v1.toys.example"])
}

fn is_ready(programs: &Path) -> Result<bool> {
    let mut ask = kubectl(programs)?;
    ask.args(["get", "--raw", "/readyz", "--request-timeout=5s"]);
    Ok(crate::process::answer(&mut ask).is_some())
}
