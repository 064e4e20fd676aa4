//! The addresses of both ends.

use std::net::{IpAddr, SocketAddr};

use super::known::Known;
use crate::Address;
use crate::engine::Role;
use crate::event::{BackendField, Nat};

/// The addresses of both ends: as the client dialled, and as the server saw them where that differs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) client_nat: Option<Nat>,
    pub(super) server_nat: Option<Nat>,
    /// What shows which server answers, where that is not the one that was dialled.
    pub(super) shown_by: Option<BackendField>,
}

impl Ends {
    pub(super) fn of(known: &Known, reversed: bool) -> Self {
        // A SYN meets the client's face first and the server's last; sockets say which they are.
        let near = known.faces.iter().find(|face| face.role == Role::Client).or(known.faces.first());
        let far = known.faces.iter().find(|face| face.role == Role::Server).or(known.faces.last());
        let none = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0);
        let (client, reached) =
            near.map_or((none, none), |face| (face.client.socket(), face.server.socket()));
        let (seen_client, backend) =
            far.map_or((client, reached), |face| (face.client.socket(), face.server.socket()));
        // Connection tracking is asked where the far end is not seen.
        let tracked = known.translated.as_deref().filter(|_| known.faces.len() == 1);
        let (seen_client, backend) =
            tracked.map_or((seen_client, backend), |[client, server]| (*client, *server));
        let dialled = known.dialled.map_or(reached, Address::socket);
        let nat =
            |from: SocketAddr, to: SocketAddr| (from != to).then(|| Nat { ip: to.ip(), port: to.port() });
        let (client_nat, server_nat) = (nat(client, seen_client), nat(dialled, backend));
        if reversed {
            let (client_nat, server_nat) = (server_nat, client_nat);
            return Self { client: dialled, server: client, client_nat, server_nat, shown_by: None };
        }
        let shown_by = server_nat.map(|_| {
            if reached == backend {
                BackendField::ClientEnd
            } else if tracked.is_some() {
                BackendField::ConnectionTracking
            } else {
                BackendField::BothEnds
            }
        });
        Self { client, server: dialled, client_nat, server_nat, shown_by }
    }

    /// The client's address as the server sees it.
    pub(super) fn seen_client(&self) -> SocketAddr {
        self.client_nat.map_or(self.client, |nat| SocketAddr::new(nat.ip, nat.port))
    }

    /// The address of the server that really answered.
    pub(super) fn backend(&self) -> SocketAddr {
        self.server_nat.map_or(self.server, |nat| SocketAddr::new(nat.ip, nat.port))
    }
}
