//! What of the cluster is seen, and therefore what must be told.

use serde_json::Value;

use super::connection::{Connection, translated};
use super::when::Run;

/// How the events are held against the truth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Is every connection of the machine watched?
    pub everything: bool,
    /// How much of the cluster is seen.
    pub view: View,
    /// Do the events come from a capture? Then nothing is known of processes, and content alone names what it can.
    pub capture: bool,
    /// When it was seen; always, if that is not said.
    pub run: Option<Run>,
}

/// How much of the cluster is seen.
#[derive(Clone, Copy, Debug, Default)]
pub enum View {
    /// All of it.
    #[default]
    All,
    /// One machine. Then nothing is told of connections that it has no end of, and nobody can know who is at the other end,
    /// unless its address says so.
    Machine(Machine),
    /// What passes from one machine to another.
    Cable,
}

/// A machine, by the beginnings of the addresses that are its own.
pub type Machine = &'static [&'static str];

/// The control plane's machine. Whatever is dialled on loopback and watched is there.
pub const CONTROL_PLANE: Machine = &["10.89.0.1", "fd89::1", "127.0.0.1", "::1"];
/// The worker with the pod `web`.
pub const WORKER: Machine = &["10.89.0.2", "fd89::2", "10.244.1."];
/// All machines.
const MACHINES: [Machine; 4] =
    [CONTROL_PLANE, WORKER, &["10.89.0.3", "fd89::3", "10.244.2."], &["10.89.0.254", "fd89::254"]];

/// Is this address one of the machine's? Whole, unless it is that of a network.
fn is_on(machine: Machine, address: &str) -> bool {
    machine.iter().any(|own| *own == address || (own.ends_with('.') && address.starts_with(own)))
}

impl Terms {
    /// Can nobody know who is at this end of the connection?
    pub(super) fn hides(&self, end: &str, connection: &Connection) -> bool {
        self.capture
            || match self.view {
                View::All => false,
                View::Machine(machine) => !connection.address(end).is_some_and(|it| is_on(machine, it)),
                View::Cable => true,
            }
    }

    /// Can it be told at all?
    pub(super) fn show(&self, connection: &Connection) -> bool {
        let ends = ["source", "destination"].map(|end| connection.address(end));
        // Every machine, and every pod, has a loopback of its own.
        let is_loopback = ends.into_iter().flatten().any(|it| it == "127.0.0.1" || it == "::1");
        let is_apart = is_loopback && connection.is_unwatched();
        (self.everything || self.capture || !connection.is_unwatched())
            && match self.view {
                View::All => !(self.capture && is_loopback),
                View::Machine(machine) => {
                    !is_apart && ends.into_iter().flatten().any(|it| is_on(machine, it))
                }
                View::Cable => {
                    let at = |it: &str| MACHINES.iter().position(|machine| is_on(machine, it));
                    let [from, to] = ends.map(|it| it.and_then(at));
                    from.is_some() && to.is_some() && from != to
                }
            }
    }
}

impl Connection {
    /// The address of an end: the client's own, and the server's behind any translation.
    fn address(&self, end: &str) -> Option<&str> {
        let value = &self.event[end];
        let value: &Value = if end == "source" { value } else { translated(value) };
        value["ip"].as_str()
    }
}
