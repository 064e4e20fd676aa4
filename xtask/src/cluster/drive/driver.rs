//! What all driven items have at hand.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::expect::Expect;
use super::mouth::{Done, Mouth};
use super::pod::Pod;
use crate::cluster::control_plane::{self, TOKEN};
use crate::cluster::place::{CONTROL_PLANE, OUTSIDE, Place, WORKERS};
use crate::cluster::state::Shape;
use crate::cluster::{certificates, go, groups};
use crate::process::output;

/// A secret in the arguments of a process that dials.
pub const ARGUMENT: &str = "planted-argument-password";

/// The cluster, with a client in each place from which something is dialled.
#[derive(Debug)]
pub struct Driver {
    pub shape: Shape,
    /// Whoever is not in the cluster.
    pub outside: Mouth,
    /// On the control plane's machine.
    pub inside: Mouth,
    pods: Vec<Pod>,
    programs: std::path::PathBuf,
}

impl Driver {
    /// Looks at the cluster, and starts the clients.
    pub fn start(shape: Shape) -> Result<Self> {
        let (programs, peer) = (go::kubernetes(shape.version)?, go::cache().join("peer"));
        let client = |place: Place| {
            let mut command = place.client(&peer)?;
            Mouth::start(command.arg("client").arg(format!("--password={ARGUMENT}")), false)
        };
        let listed = output(control_plane::kubectl(&programs)?.args(["get", "pods", "-o", "json"]))?;
        let listed: Value = serde_json::from_str(&listed)?;
        let pods = listed["items"].as_array().into_iter().flatten().map(Pod::of).collect::<Result<_>>()?;
        Ok(Self { shape, outside: client(OUTSIDE)?, inside: client(CONTROL_PLANE)?, pods, programs })
    }

    /// A pod by name.
    pub fn pod(&self, name: &str) -> Result<&Pod> {
        self.pods.iter().find(|pod| pod.name == name).with_context(|| format!("there is no pod {name}"))
    }

    /// A command of kubectl's.
    pub fn kubectl(&self, words: &[&str]) -> Result<Command> {
        let mut kubectl = control_plane::kubectl(&self.programs)?;
        kubectl.args(words);
        Ok(kubectl)
    }

    /// A command of kubectl's that is ended after a while.
    pub fn kubectl_for(&self, time: Duration, words: &[&str]) -> Result<Value> {
        let start = now()?;
        let mut child = self.kubectl(words)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(time);
        let ended = child.try_wait()?;
        child.kill()?;
        child.wait()?;
        Ok(json!({"start": start, "end": now()?, "ended": ended.map(|it| it.to_string())}))
    }

    /// A client in a pod.
    pub fn in_pod(&self, name: &str) -> Result<Mouth> {
        Mouth::start(&mut self.kubectl(&["exec", "-i", name, "--", "/peer", "client"])?, true)
    }

    /// Who dials what the API server wants to reach: itself, or an agent for it. Its address and its program.
    pub fn last_hop(&self) -> (Place, &'static str) {
        if self.shape.konnectivity { (WORKERS[0], "proxy-agent") } else { (CONTROL_PLANE, "kube-apiserver") }
    }

    /// What is expected of a connection that [`Driver::last_hop`] dials.
    pub fn by_server(&self, destination: &str) -> Expect {
        let (place, program) = self.last_hop();
        let name = if self.shape.konnectivity { format!("{program}-{}", place.name) } else { program.into() };
        let expect = Expect::between("", destination).process("client", program, groups::pid_of(&name));
        if self.shape.konnectivity { expect } else { expect.address("source", &place.address()) }
    }

    /// What is expected of a connection to the API server.
    pub fn to_server(&self, expect: Expect) -> Expect {
        expect.process("server", "kube-apiserver", groups::pid_of("kube-apiserver"))
    }

    /// A request to the API server with an administrator's token, from outside, on a connection of its own.
    pub fn by_token(&mut self, path: &str, more: &Value) -> Result<Done> {
        let url = format!("https://{}:6443{path}", CONTROL_PLANE.address());
        let mut all = json!({"CA": certificates::file("ca.crt")});
        for (name, value) in more.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        all["Headers"]["Authorization"] = format!("Bearer {TOKEN}").into();
        self.outside.get(&url, &all)
    }

    /// What is expected of such a request's own connection.
    pub fn token_connection(&self, done: &Done) -> Expect {
        self.to_server(self.outside.sign(done.connection())).path("client-to-apiserver")
    }
}

/// The time, in UTC.
pub fn now() -> Result<String> {
    let told = output(crate::process::command("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"]))?;
    Ok(told.trim().into())
}
