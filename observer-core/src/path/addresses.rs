//! Addresses of which somebody who knows has said what they are.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Addresses that are remembered from connections; the oldest goes for a new one.
const LEARNED: usize = 64;

/// Where API servers are, and where they dial from. Given by the source or the configuration (kubeconfigs, the endpoints of
/// the `kubernetes` service, command line), and learned from connections whose ends are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Where an API server is reached: its own address, a service's, a load balancer's, a relay's. Names no node.
    pub endpoints: HashSet<SocketAddr>,
    /// Addresses of the machines that API servers run on: what they dial comes from there. Never a load balancer's.
    pub hosts: HashSet<IpAddr>,
    /// Addresses of other nodes than this one.
    pub other_nodes: HashSet<IpAddr>,
    /// Services' addresses, which no server has: something on the way leads to one.
    pub services: HashSet<SocketAddr>,
    /// What connections showed.
    pub learned: Learned,
}

/// What connections showed of API servers, the one seen last at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    endpoints: VecDeque<SocketAddr>,
    /// Machines that serve TLS at the port where API servers do.
    likely: VecDeque<IpAddr>,
    /// Addresses that were seen to be translated to others'.
    services: VecDeque<SocketAddr>,
    /// Machines that passed sessions on instead of answering: balancers and relays.
    relays: VecDeque<IpAddr>,
}

impl Addresses {
    /// Whether an API server is reached at `address`.
    #[must_use]
    pub fn is_apiserver(&self, address: SocketAddr) -> bool {
        self.endpoints.contains(&address) || self.learned.endpoints.contains(&address)
    }

    /// Whether something that dials from `ip` may be an API server: one is reached there, or most likely is.
    #[must_use]
    pub fn may_be_apiserver(&self, ip: IpAddr) -> bool {
        let endpoints = || self.endpoints.iter().chain(&self.learned.endpoints);
        let is_reached = || self.learned.likely.contains(&ip) || endpoints().any(|it| it.ip() == ip);
        self.hosts.contains(&ip) || (!self.learned.relays.contains(&ip) && is_reached())
    }

    /// A kubelet or a kube-proxy of this node was seen to use an API server at `address`.
    pub fn learn(&mut self, address: SocketAddr) {
        if !self.endpoints.contains(&address) {
            remember(&mut self.learned.endpoints, address);
        }
    }

    /// TLS was spoken to `ip` at the port of API servers.
    pub fn suppose(&mut self, ip: IpAddr) {
        remember(&mut self.learned.likely, ip);
    }

    /// Whether `address` is a service's.
    #[must_use]
    pub fn is_service(&self, address: SocketAddr) -> bool {
        let is_told = self.services.contains(&address) || self.learned.services.contains(&address);
        is_told && !self.hosts.contains(&address.ip())
    }

    /// What was sent to `address` went to another one.
    pub(crate) fn serves_at(&mut self, address: SocketAddr) {
        remember(&mut self.learned.services, address);
    }

    /// A session was passed on at `ip`, on another machine than this one: that an API server is reached there names no node.
    pub(crate) fn relays_at(&mut self, ip: IpAddr) {
        remember(&mut self.learned.relays, ip);
    }

    /// Takes what was told anew; what was learned stays.
    pub fn tell(&mut self, told: Self) {
        let learned = core::mem::take(&mut self.learned);
        *self = Self { learned, ..told };
    }
}

fn remember<T: PartialEq>(seen: &mut VecDeque<T>, one: T) {
    match seen.iter().position(|known| *known == one) {
        // Most often it is the last one again.
        Some(at) if at + 1 == seen.len() => return,
        Some(at) => drop(seen.remove(at)),
        None if seen.len() == LEARNED => drop(seen.pop_front()),
        None => {}
    }
    seen.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn what_was_learned_is_bounded_and_the_latest_stays() {
        let mut addresses = Addresses::default();
        for port in 1..=100 {
            addresses.learn(at(port));
            addresses.learn(at(1));
        }
        assert_eq!(addresses.learned.endpoints.len(), LEARNED);
        assert!(addresses.is_apiserver(at(1)) && addresses.is_apiserver(at(100)));
        assert!(!addresses.is_apiserver(at(2)));
        addresses.tell(Addresses { endpoints: HashSet::from([at(1), at(2)]), ..Addresses::default() });
        assert!(addresses.is_apiserver(at(2)) && addresses.is_apiserver(at(100)));
        assert!(addresses.may_be_apiserver(at(1).ip()));
    }

    #[test]
    fn a_balancer_leads_to_an_api_server_and_is_none() {
        let mut addresses = Addresses::default();
        addresses.learn(at(6443));
        assert!(addresses.may_be_apiserver(at(1).ip()));
        addresses.relays_at(at(1).ip());
        assert!(addresses.is_apiserver(at(6443)));
        assert!(!addresses.may_be_apiserver(at(1).ip()));
        addresses.hosts.insert(at(1).ip());
        assert!(addresses.may_be_apiserver(at(1).ip()), "somebody who knows says otherwise");
    }
}
