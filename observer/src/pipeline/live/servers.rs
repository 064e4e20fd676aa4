//! Where the API servers are, from all that say so.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use observer_core::path::Addresses;

use crate::attribution::{Roots, apiservers};
use crate::cli::ApiServer;

/// How often the kubeconfigs on this machine are read again.
const PAUSE: Duration = Duration::from_secs(30);
/// Ports at which an API server that was named by its address alone is reached.
const PORTS: [u16; 2] = [6443, 443];

/// Shared by the thread that reads files and the one that hears the API and judges.
#[derive(Clone, Debug, Default)]
pub(super) struct Servers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By the operator: the machines themselves.
    configured: Vec<ApiServer>,
    /// By kubeconfigs: what this node uses, which may be a balancer.
    told: Vec<SocketAddr>,
    /// By the endpoints of the `kubernetes` service: the machines themselves.
    endpoints: Vec<SocketAddr>,
    /// The service `kubernetes`, as pods are told it.
    service: Option<SocketAddr>,
    /// Grows with every change.
    version: u64,
    read: Option<Instant>,
}

impl Servers {
    pub(super) fn of(configured: &[ApiServer]) -> Self {
        let service = in_cluster(|name| std::env::var(name).ok());
        let known = Known { configured: configured.to_vec(), service, version: 1, ..Known::default() };
        Self(Arc::new(Mutex::new(known)))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the kubeconfigs on this machine, now and then, on the caller's thread.
    pub(super) fn keep_up(&self, roots: &Roots) {
        let now = Instant::now();
        if self.known().read.is_some_and(|read| now.duration_since(read) < PAUSE) {
            return;
        }
        let mut told: Vec<SocketAddr> = apiservers::told(roots).iter().map(|server| server.address).collect();
        told.sort_unstable();
        let mut known = self.known();
        known.read = Some(now);
        // A component that is being restarted has not moved its API server.
        if !told.is_empty() && known.told != told {
            known.told = told;
            known.version += 1;
        }
    }

    /// Takes the endpoints of the `kubernetes` service.
    pub(super) fn endpoints(&self, endpoints: Vec<SocketAddr>) {
        let mut known = self.known();
        if known.endpoints != endpoints {
            known.endpoints = endpoints;
            known.version += 1;
        }
    }

    /// What is known, if that has changed since `version`.
    pub(super) fn news(&self, version: &mut u64) -> Option<Addresses> {
        let known = self.known();
        if core::mem::replace(version, known.version) == known.version {
            return None;
        }
        let configured = known.configured.iter();
        let by_operator = configured.clone().flat_map(|server| match server.port {
            Some(port) => vec![SocketAddr::new(server.ip, port)],
            None => PORTS.map(|port| SocketAddr::new(server.ip, port)).to_vec(),
        });
        Some(Addresses {
            endpoints: by_operator.chain(known.told.iter().chain(&known.endpoints).copied()).collect(),
            hosts: hosts(&known),
            services: known.service.into_iter().collect(),
            ..Addresses::default()
        })
    }

    /// The machines that API servers run on: whatever they dial is watched.
    pub(super) fn hosts(&self) -> BTreeSet<IpAddr> {
        hosts(&self.known()).into_iter().collect()
    }
}

/// The address of the service `kubernetes`, from the variables that the kubelet sets in every pod.
fn in_cluster(variable: impl Fn(&str) -> Option<String>) -> Option<SocketAddr> {
    let ip = variable("KUBERNETES_SERVICE_HOST")?.parse().ok()?;
    Some(SocketAddr::new(ip, variable("KUBERNETES_SERVICE_PORT")?.parse().ok()?))
}

fn hosts(known: &Known) -> HashSet<IpAddr> {
    let configured = known.configured.iter().map(|server| server.ip);
    configured.chain(known.endpoints.iter().map(SocketAddr::ip)).filter(|ip| !ip.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn tells_what_has_changed_once() {
        let servers = Servers::of(&["10.0.0.1".parse().unwrap(), "10.0.0.2:8443".parse().unwrap()]);
        let mut version = 0;
        let told = servers.news(&mut version).unwrap();
        assert_eq!(
            told.endpoints,
            HashSet::from([address("10.0.0.1:6443"), address("10.0.0.1:443"), address("10.0.0.2:8443")])
        );
        assert_eq!(told.hosts.len(), 2);
        assert_eq!(servers.news(&mut version), None);
        servers.endpoints(vec![address("10.0.0.3:6443")]);
        assert!(servers.news(&mut version).unwrap().hosts.contains(&address("10.0.0.3:1").ip()));
        servers.endpoints(vec![address("10.0.0.3:6443")]);
        assert_eq!(servers.news(&mut version), None);
    }

    #[test]
    fn a_kubeconfig_names_no_machine() {
        let servers = Servers::default();
        servers.known().told = vec![address("10.0.0.9:6443")];
        servers.known().version = 1;
        let told = servers.news(&mut 0).unwrap();
        assert!(told.is_apiserver(address("10.0.0.9:6443")) && told.hosts.is_empty(), "it may be a balancer");
    }
}
