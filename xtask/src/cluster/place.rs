//! The machines of the cluster: network namespaces on one cable.
//!
//! Nothing of it is in the machine's own network. The cable is a bridge in a namespace of its own, which also stands for
//! everybody who is outside the cluster.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::Result;

use super::groups;
use crate::process::{command, run};

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name, as Kubernetes knows it.
    pub name: &'static str,
    /// The last part of its address.
    number: u8,
    /// The third part of its pods' addresses.
    pods: Option<u8>,
}

/// Whoever dials the cluster from outside, and the cable.
pub const OUTSIDE: Place = Place { name: "outside", number: 254, pods: None };
/// etcd, the API server and the other parts of the control plane.
pub const CONTROL_PLANE: Place = Place { name: "cp", number: 1, pods: None };
/// The machines with pods.
pub const WORKERS: [Place; 2] =
    [Place { name: "node1", number: 2, pods: Some(1) }, Place { name: "node2", number: 3, pods: Some(2) }];
/// All machines that are plugged in.
pub const MACHINES: [Place; 3] = [CONTROL_PLANE, WORKERS[0], WORKERS[1]];

/// All pods' addresses.
pub const PODS: &str = "10.244.0.0/16";
/// All services' addresses.
pub const SERVICES: &str = "10.96.0.0/16";
/// The API server as pods know it: the first of [`SERVICES`].
pub const KUBERNETES: &str = "10.96.0.1";

/// How much longer than this a name may be does not matter: it is no interface's.
const PREFIX: &str = "observer-";

impl Place {
    /// Its IPv4 address.
    pub fn address(self) -> String {
        format!("10.89.0.{}", self.number)
    }

    /// Its IPv6 address.
    pub fn address6(self) -> String {
        format!("fd89::{}", self.number)
    }

    /// Addresses of its pods.
    pub fn pods(self) -> Option<String> {
        self.pods.map(|third| format!("10.244.{third}.0/24"))
    }

    /// Its network namespace, as `ip netns` knows it.
    pub fn namespace(self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// A command inside. The process that is started is the program itself. Not by `ip netns exec`: that mounts a new
    /// /sys, in which a kubelet finds no control groups.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace())).arg("--").arg(program);
        command
    }

    /// The same for what takes its time or waits for others, which `down` is to find.
    pub fn client(self, program: impl AsRef<OsStr>) -> Result<Command> {
        groups::command_in(self.name, "clients", self.command(program))
    }

    fn ip(self, words: &str) -> Result<()> {
        quietly(self.command("ip").args(words.split(' ')))
    }

    fn make(self) -> Result<()> {
        quietly(command("ip").args(["netns", "add", &self.namespace()]))?;
        self.ip("link set lo up")?;
        let settings = "cd /proc/sys/net && echo 1 >ipv4/ip_forward && echo 1 >ipv6/conf/all/forwarding";
        quietly(self.command("sh").args(["-c", settings]))
    }

    fn plug_in(self) -> Result<()> {
        let namespace = OUTSIDE.namespace();
        let port = format!("to-{}", self.name);
        self.ip(&format!("link add eth0 type veth peer name {port} netns {namespace}"))?;
        OUTSIDE.ip(&format!("link set {port} master cable up"))?;
        self.ip(&format!("addr add {}/24 dev eth0", self.address()))?;
        self.ip(&format!("addr add {}/64 dev eth0 nodad", self.address6()))?;
        self.ip("link set eth0 up")?;
        // Services' addresses belong to nobody: they need a route before they can be translated.
        self.ip(&format!("route add default via {}", OUTSIDE.address()))?;
        for other in WORKERS.into_iter().filter(|other| *other != self) {
            if let Some(pods) = other.pods() {
                self.ip(&format!("route add {pods} via {}", other.address()))?;
            }
        }
        Ok(())
    }
}

/// Makes all of them.
pub fn make() -> Result<()> {
    OUTSIDE.make()?;
    OUTSIDE.ip("link add cable type bridge")?;
    OUTSIDE.ip(&format!("addr add {}/24 dev cable", OUTSIDE.address()))?;
    OUTSIDE.ip(&format!("addr add {}/64 dev cable nodad", OUTSIDE.address6()))?;
    OUTSIDE.ip("link set cable up")?;
    for machine in MACHINES {
        machine.make()?;
        machine.plug_in()?;
    }
    Ok(())
}

/// Removes those that are there.
pub fn remove() -> Result<()> {
    for place in [OUTSIDE].into_iter().chain(MACHINES) {
        if std::path::Path::new("/run/netns").join(place.namespace()).exists() {
            run(command("ip").args(["netns", "delete", &place.namespace()]))?;
        }
    }
    Ok(())
}

/// Runs what is too small to be announced.
fn quietly(command: &mut Command) -> Result<()> {
    crate::process::output(command).map(drop)
}
