//! Pods by the control groups of their processes, named by the kubelet's log folders: no call to the API.

mod kubelet;
mod log_folder;
mod uid;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use observer_core::party::{Component, Named, Pod};

use super::container;
use super::roots::Roots;
use crate::kubernetes::OwnPods;
use kubelet::Kubelet;
use log_folder::LogFolder;
pub(crate) use uid::uid;

/// Pods kept by UID.
const MOST_KEPT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Least time between two looks for what was not there, and least multiple of a look's own time: 5 % of one core.
const LEAST_PAUSE: Duration = Duration::from_millis(500);
const PAUSE_FACTOR: u32 = 20;

/// What the node may be called.
#[derive(Clone, Debug, Default)]
pub struct NodeName {
    /// Its name as the operator gave it.
    pub told: Option<Arc<str>>,
    /// This machine's name, in lower case: the node's, if neither the operator nor the kubelet's command line says another
    /// (kubelet `pkg/util/node/node.go`, `GetHostname`).
    pub hostname: Option<Arc<str>>,
}

/// A pod, and the node that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) pod: Arc<Pod>,
    pub(crate) node: Option<Arc<str>>,
}

/// Names pods and nodes.
#[derive(Debug)]
pub(crate) struct Pods {
    roots: Roots,
    name: NodeName,
    kubelets: Vec<Kubelet>,
    /// One for each kubelet, or the one that was configured.
    folders: Vec<LogFolder>,
    /// Named pods by UID. A UID is never used again, so what is known stays true.
    known: LruCache<String, Placed>,
    next_look: Option<Instant>,
    /// The same pods as the API has them, where it is asked.
    api: Option<Arc<OwnPods>>,
}

impl Pods {
    pub(crate) fn new(roots: Roots) -> Self {
        Self {
            roots,
            name: NodeName::default(),
            kubelets: Vec::new(),
            folders: Vec::new(),
            known: LruCache::new(MOST_KEPT),
            next_look: None,
            api: None,
        }
    }

    pub(crate) fn on(&mut self, name: NodeName) {
        self.name = name;
    }

    pub(crate) fn with(&mut self, api: Arc<OwnPods>) {
        self.api = Some(api);
    }

    /// The pod whose control group is on `path`; `None` if none is.
    pub(crate) fn of(&mut self, path: &[u8]) -> Option<Placed> {
        let uid = uid(path)?;
        // The API knows which container of the pod it is; its UID is in the control group all the same.
        if let Some(pod) = self.api.as_ref().and_then(|api| api.pod(&uid, container::id(path))) {
            return Some(Placed { pod, node: self.only_node() });
        }
        if let Some(placed) = self.known.get(&uid) {
            return Some(placed.clone());
        }
        let named = self.look_up(&uid).or_else(|| {
            // A pod that is new, or a kubelet.
            if self.look() { self.look_up(&uid) } else { None }
        });
        if let Some(placed) = named {
            self.known.put(uid, placed.clone());
            return Some(placed);
        }
        let pod = Pod {
            uid: Some(uid),
            namespace: None,
            name: None,
            container: None,
            named: Named::ControlGroupUid,
        };
        Some(Placed { pod: Arc::new(pod), node: self.only_node() })
    }

    /// The node whose own processes are in this network namespace: that of the kubelet there. `component`: what part of the
    /// control plane the process is, which may be a kubelet that has just started.
    pub(crate) fn node(&mut self, netns: Option<u32>, component: Option<Component>) -> Option<Arc<str>> {
        if self.name.told.is_some() {
            return self.only_node();
        }
        let is_unknown =
            |this: &Self| netns.is_some() && this.kubelets.iter().all(|kubelet| kubelet.netns != netns);
        if self.kubelets.is_empty() || (component.is_some() && is_unknown(self)) {
            if component == Some(Component::Kubelet) {
                self.next_look = None;
            }
            self.look();
        }
        match self.kubelets.as_slice() {
            [] => None,
            [only] if netns.is_none() || only.netns.is_none() || netns == only.netns => self.only_node(),
            several => {
                let mut found =
                    several.iter().filter(|kubelet| kubelet.netns.is_some() && kubelet.netns == netns);
                match (found.next(), found.next()) {
                    (Some(kubelet), None) => kubelet.node.clone(),
                    _ => None,
                }
            }
        }
    }

    fn only_node(&self) -> Option<Arc<str>> {
        match (&self.name.told, self.kubelets.as_slice()) {
            (Some(node), _) => Some(Arc::clone(node)),
            // A machine without a kubelet is no node (an external etcd, a load balancer).
            (None, [kubelet]) => kubelet.node.clone().or_else(|| self.name.hostname.clone()),
            (None, _) => None,
        }
    }

    fn look_up(&self, uid: &str) -> Option<Placed> {
        let mut found =
            self.folders.iter().enumerate().filter_map(|(at, folder)| Some((at, folder.known(uid)?)));
        let (at, entry) = found.next()?;
        let others: Vec<_> = found.map(|(_, other)| other).collect();
        if others.iter().any(|other| *other != entry) {
            return None;
        }
        let alone = others.is_empty();
        let folder = self.folders.get(at)?;
        let pod = Pod {
            uid: Some(uid.to_owned()),
            namespace: Some(entry.namespace.to_string()),
            name: Some(entry.name.to_string()),
            container: folder.only_container(uid, entry),
            named: Named::ControlGroup,
        };
        // Kubelets that share a folder do not tell whose pod it is.
        let node = match self.kubelets.get(at) {
            Some(kubelet) if alone && self.kubelets.len() > 1 => kubelet.node.clone(),
            _ => self.only_node(),
        };
        Some(Placed { pod: Arc::new(pod), node })
    }

    /// Looks for kubelets and reads their folders, not more often than the pause allows. Whether it did.
    fn look(&mut self) -> bool {
        let started = Instant::now();
        if self.next_look.is_some_and(|next| started < next) {
            return false;
        }
        self.kubelets = Kubelet::running(&self.roots);
        let paths: Vec<PathBuf> = match &self.roots.pod_logs {
            Some(path) => vec![path.clone()],
            None => self.kubelets.iter().map(|kubelet| kubelet.pod_logs.clone()).collect(),
        };
        if !self.folders.iter().map(LogFolder::path).eq(paths.iter().map(PathBuf::as_path)) {
            self.folders = paths.into_iter().map(LogFolder::new).collect();
        }
        for folder in &mut self.folders {
            folder.read();
        }
        self.next_look = Some(Instant::now() + LEAST_PAUSE.max(started.elapsed() * PAUSE_FACTOR));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    const UID: &str = "0a1b2c3d-1111-2222-3333-444455556666";
    const OTHER: &str = "ffffffff-1111-2222-3333-444455556666";

    fn kubelet(fake: &Fake, pid: u32, node: &str, netns: u32) {
        fake.process(pid, b"kubelet", 1, 50)
            .executable(pid, b"/usr/bin/kubelet")
            .network_namespace(pid, netns);
        fake.arguments(pid, &["kubelet", &format!("--hostname-override={node}")]);
    }

    fn log(fake: &Fake, kubelet: u32, folder: &str) {
        let path = fake.roots().proc.join(format!("{kubelet}/root/var/log/pods/{folder}"));
        std::fs::create_dir_all(path).unwrap();
    }

    #[test]
    fn names_a_pod_and_its_node_from_the_log_folder_of_the_kubelet() {
        let fake = Fake::new();
        kubelet(&fake, 7, "node1", 99);
        log(&fake, 7, &format!("default_web_{UID}/web"));
        let mut pods = Pods::new(fake.roots().clone());
        let placed = pods.of(format!("/kubepods/pod{UID}/x").as_bytes()).unwrap();
        assert_eq!(
            (placed.pod.namespace.as_deref(), placed.pod.name.as_deref()),
            (Some("default"), Some("web"))
        );
        assert_eq!((placed.pod.container.as_deref(), placed.node.as_deref()), (Some("web"), Some("node1")));
        assert_eq!(pods.of(b"/system.slice/ssh.service"), None);
    }

    #[test]
    fn a_pod_without_a_folder_keeps_its_uid() {
        let fake = Fake::new();
        kubelet(&fake, 7, "node1", 99);
        let mut pods = Pods::new(fake.roots().clone());
        let placed = pods.of(format!("/kubepods/pod{UID}/x").as_bytes()).unwrap();
        assert_eq!((placed.pod.uid.as_deref(), placed.pod.named), (Some(UID), Named::ControlGroupUid));
    }

    #[test]
    fn keeps_the_name_of_a_pod_that_has_gone_and_finds_one_that_came() {
        let fake = Fake::new();
        kubelet(&fake, 7, "node1", 99);
        log(&fake, 7, &format!("default_web_{UID}"));
        let mut pods = Pods::new(fake.roots().clone());
        let path = format!("/kubepods/pod{UID}/x");
        assert_eq!(pods.of(path.as_bytes()).unwrap().pod.named, Named::ControlGroup);
        fake.remove(7);
        pods.next_look = None;
        assert_eq!(pods.of(path.as_bytes()).unwrap().pod.named, Named::ControlGroup);
        kubelet(&fake, 8, "node1", 99);
        log(&fake, 8, &format!("default_new_{OTHER}"));
        let placed = pods.of(format!("/kubepods/pod{OTHER}").as_bytes()).unwrap();
        assert_eq!(placed.pod.name.as_deref(), Some("new"));
    }

    #[test]
    fn two_kubelets_on_one_machine_stay_apart() {
        let fake = Fake::new();
        kubelet(&fake, 7, "node1", 99);
        kubelet(&fake, 8, "node2", 98);
        log(&fake, 7, &format!("default_web_{UID}"));
        log(&fake, 8, &format!("default_web_{OTHER}"));
        let mut pods = Pods::new(fake.roots().clone());
        let mut node = |uid: &str| pods.of(format!("/kubepods/pod{uid}").as_bytes()).unwrap().node;
        assert_eq!((node(UID).as_deref(), node(OTHER).as_deref()), (Some("node1"), Some("node2")));
        assert_eq!(
            (pods.node(Some(98), None).as_deref(), pods.node(Some(5), None), pods.node(None, None)),
            (Some("node2"), None, None)
        );
    }

    #[test]
    fn kubelets_whose_folders_differ_about_a_pod_name_nobody() {
        let fake = Fake::new();
        kubelet(&fake, 7, "node1", 99);
        kubelet(&fake, 8, "node2", 98);
        log(&fake, 7, &format!("default_web_{UID}"));
        log(&fake, 8, &format!("default_evil_{UID}"));
        let mut pods = Pods::new(fake.roots().clone());
        let placed = pods.of(format!("/kubepods/pod{UID}").as_bytes()).unwrap();
        assert_eq!((placed.pod.name.as_deref(), placed.pod.named), (None, Named::ControlGroupUid));
    }

    #[test]
    fn a_kubelet_that_has_just_started_is_no_other_ones_node() {
        let fake = Fake::new();
        kubelet(&fake, 7, "node1", 99);
        let mut pods = Pods::new(fake.roots().clone());
        assert_eq!(pods.node(Some(99), None).as_deref(), Some("node1"));
        kubelet(&fake, 8, "node2", 98);
        assert_eq!(pods.node(Some(98), None), None);
        assert_eq!(pods.node(Some(98), Some(Component::Kubelet)).as_deref(), Some("node2"));
    }

    #[test]
    fn the_api_knows_which_container_of_a_pod_it_is() {
        let fake = Fake::new();
        kubelet(&fake, 7, "node1", 99);
        log(&fake, 7, &format!("default_web_{UID}/a"));
        log(&fake, 7, &format!("default_web_{UID}/b"));
        let id = "4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e0011";
        let mut pods = Pods::new(fake.roots().clone());
        let path = format!("/kubepods/pod{UID}/{id}");
        assert_eq!(pods.of(path.as_bytes()).unwrap().pod.container, None);
        pods.with(OwnPods::of_one(UID, "default", "web", (id, "b")));
        let placed = pods.of(path.as_bytes()).unwrap();
        assert_eq!((placed.pod.container.as_deref(), placed.node.as_deref()), (Some("b"), Some("node1")));
    }

    #[test]
    fn what_is_configured_goes_before_what_is_found() {
        let fake = Fake::new();
        kubelet(&fake, 7, "node1", 99);
        let logs = fake.roots().proc.join("logs");
        std::fs::create_dir_all(logs.join(format!("default_web_{UID}"))).unwrap();
        let mut pods = Pods::new(Roots { pod_logs: Some(logs), ..fake.roots().clone() });
        pods.on(NodeName { told: Some("told".into()), hostname: Some("host".into()) });
        let placed = pods.of(format!("/kubepods/pod{UID}").as_bytes()).unwrap();
        assert_eq!((placed.pod.name.as_deref(), placed.node.as_deref()), (Some("web"), Some("told")));
    }

    #[test]
    fn a_machine_without_a_kubelet_is_no_node() {
        let fake = Fake::new();
        let mut pods = Pods::new(fake.roots().clone());
        pods.on(NodeName { hostname: Some("host".into()), ..NodeName::default() });
        assert_eq!(pods.node(Some(1), None), None);
        fake.process(7, b"kubelet", 1, 50).executable(7, b"/usr/bin/kubelet");
        pods.next_look = None;
        assert_eq!(pods.node(Some(1), None).as_deref(), Some("host"));
    }
}
