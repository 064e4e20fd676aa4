//! The pods of this node as the API has them, by UID and by container.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use observer_core::party::Pod;

use super::objects::Known;

/// Pods kept: a node runs some hundred at most.
const MOST: usize = 4096;

/// Written by the client's thread, read by whoever names processes.
#[derive(Debug, Default)]
pub struct OwnPods(RwLock<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    addresses: Vec<IpAddr>,
    containers: Vec<(String, Arc<Pod>)>,
    /// Two pods were told with its UID, so it stands for none.
    is_doubtful: bool,
}

impl OwnPods {
    /// The pod with a UID, with the name of the container in it if `container` (the runtime's id) is one of its own. A UID
    /// is never given twice, so what is said here is true whenever it is read.
    #[must_use]
    pub fn pod(&self, uid: &str, container: Option<&str>) -> Option<Arc<Pod>> {
        let pods = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = pods.get(uid).filter(|entry| !entry.is_doubtful)?;
        let named = container.and_then(|id| entry.containers.iter().find(|(known, _)| known == id));
        Some(Arc::clone(named.map_or(&entry.pod, |(_, pod)| pod)))
    }

    /// Whether one of them has an address: who is there is seen on this node.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        let pods = self.0.read().unwrap_or_else(PoisonError::into_inner);
        pods.values().any(|entry| entry.addresses.contains(&ip))
    }

    /// Takes a pod in, if there is room.
    pub(super) fn put(&self, known: &Known) -> bool {
        let Some(uid) = known.pod.uid.clone() else { return false };
        let named = |name: &String| Arc::new(Pod { container: Some(name.clone()), ..(*known.pod).clone() });
        let containers = known.containers.iter().map(|(id, name)| (id.clone(), named(name))).collect();
        let mut pods = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = pods.get(&uid);
        if before.is_none() && pods.len() >= MOST {
            return false;
        }
        let is_doubtful = before.is_some_and(|it| it.is_doubtful || !same(&it.pod, &known.pod));
        let pod = Arc::clone(&known.pod);
        pods.insert(uid, Entry { pod, addresses: known.addresses.clone(), containers, is_doubtful });
        true
    }

    /// Forgets all pods but those with these UIDs.
    pub(super) fn keep(&self, uids: &std::collections::HashSet<String>) {
        let mut pods = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pods.retain(|uid, _| uids.contains(uid));
    }

    pub(super) fn remove(&self, uid: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// A pod is never renamed.
fn same(one: &Pod, other: &Pod) -> bool {
    (&one.namespace, &one.name) == (&other.namespace, &other.name)
}

#[cfg(test)]
impl OwnPods {
    pub(crate) fn of_one(uid: &str, namespace: &str, name: &str, container: (&str, &str)) -> Arc<Self> {
        let pod = Pod {
            uid: Some(uid.into()),
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            container: None,
            named: observer_core::party::Named::Api,
        };
        let own = Self::default();
        own.put(&Known {
            pod: Arc::new(pod),
            node: None,
            addresses: vec![IpAddr::from([10, 0, 0, 9])],
            containers: vec![(container.0.into(), container.1.into())],
            since: observer_core::time::Timestamp::default(),
        });
        Arc::new(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_container_within_the_pod_by_its_id() {
        let own = OwnPods::of_one("u", "default", "web", ("abc", "side"));
        let container = |id| own.pod("u", id).unwrap().container.clone();
        assert_eq!(
            (container(Some("abc")).as_deref(), container(Some("x")), container(None)),
            (Some("side"), None, None)
        );
        assert!(own.has(IpAddr::from([10, 0, 0, 9])) && !own.has(IpAddr::from([10, 0, 0, 8])));
        own.keep(&std::collections::HashSet::new());
        assert_eq!(own.pod("u", None), None);
    }
}
