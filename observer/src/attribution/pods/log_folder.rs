//! A kubelet's folder of pod logs, which names every pod of the node that had a container.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

/// Pods read of one folder: a node has at most some hundred, and folders of pods that are gone are removed.
const MOST_PODS: usize = 16_384;
/// Containers read of one pod.
const MOST_CONTAINERS: usize = 64;

/// A pod's name as the folder gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// One folder: `/var/log/pods/NAMESPACE_NAME_UID/CONTAINER/` (kubelet `pkg/kubelet/kuberuntime/helpers.go`,
/// `BuildPodLogsDirectory`). The kubelet makes a pod's folder before its first container starts.
#[derive(Debug)]
pub(crate) struct LogFolder {
    path: PathBuf,
    by_uid: HashMap<String, Entry>,
}

impl LogFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, by_uid: HashMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn known(&self, uid: &str) -> Option<&Entry> {
        self.by_uid.get(uid)
    }

    /// Reads the folder anew. A folder that is not there, or not readable, leaves nothing known.
    pub(crate) fn read(&mut self) {
        self.read_up_to(MOST_PODS);
    }

    fn read_up_to(&mut self, most: usize) {
        self.by_uid.clear();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = openat(CWD, &self.path, flags, Mode::empty()) else { return };
        let Ok(entries) = Dir::read_from(&folder) else { return };
        for entry in entries.flatten().take(2 * most) {
            if self.by_uid.len() == most {
                break;
            }
            if let Some((uid, entry)) = parse(entry.file_name().to_bytes()) {
                self.by_uid.insert(uid, entry);
            }
        }
    }

    /// The name of the pod's only container: with several, the log folder does not say which of them a process is of.
    pub(crate) fn only_container(&self, uid: &str, entry: &Entry) -> Option<String> {
        let folder = self.path.join(format!("{}_{}_{uid}", entry.namespace, entry.name));
        let mut names =
            std::fs::read_dir(folder).ok()?.take(MOST_CONTAINERS).flatten().filter_map(|container| {
                let name = container.file_name();
                let name = label(name.as_bytes())?.to_owned();
                container.file_type().ok()?.is_dir().then_some(name)
            });
        let only = names.next()?;
        names.next().is_none().then_some(only)
    }
}

/// `NAMESPACE_NAME_UID`. Neither names nor UIDs can hold `_`, so a folder with anything else is not the kubelet's.
fn parse(folder: &[u8]) -> Option<(String, Entry)> {
    let mut parts = folder.split(|byte| *byte == b'_');
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let is_uid = (32..=36).contains(&uid.len())
        && uid.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    let entry = Entry { namespace: label(namespace)?.into(), name: subdomain(name)?.into() };
    is_uid.then(|| (String::from_utf8_lossy(uid).into_owned(), entry))
}

/// A DNS label (RFC 1123), as namespaces and containers are called.
fn label(name: &[u8]) -> Option<&str> {
    let is_inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let ends = name.first().into_iter().chain(name.last()).all(|byte| *byte != b'-');
    let fits = (1..=63).contains(&name.len()) && ends && name.iter().all(is_inner);
    if fits { core::str::from_utf8(name).ok() } else { None }
}

/// A DNS subdomain (RFC 1123), as pods are called.
fn subdomain(name: &[u8]) -> Option<&str> {
    let is_inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let ends = name.first().into_iter().chain(name.last()).all(|byte| byte.is_ascii_alphanumeric());
    let fits = (1..=253).contains(&name.len()) && ends && name.iter().all(is_inner);
    if fits { core::str::from_utf8(name).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0a1b2c3d-1111-2222-3333-444455556666";

    #[test]
    fn reads_the_names_of_pods() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(format!("kube-system_etcd-node1_{UID}/etcd"))).unwrap();
        let mut pods = LogFolder::new(folder.path().into());
        assert!(pods.known(UID).is_none());
        pods.read();
        let entry = pods.known(UID).unwrap().clone();
        assert_eq!((&*entry.namespace, &*entry.name), ("kube-system", "etcd-node1"));
        assert_eq!(pods.only_container(UID, &entry).as_deref(), Some("etcd"));
        std::fs::create_dir(folder.path().join(format!("kube-system_etcd-node1_{UID}/side"))).unwrap();
        assert_eq!(pods.only_container(UID, &entry), None, "one of two");
    }

    #[test]
    fn takes_no_hostile_name() {
        for name in [
            "",
            "_",
            "__",
            "a_b_c_d",
            "a_b",
            "default_web_notauid",
            "../x_web_0a1b2c3d-1111-2222-3333-444455556666",
            "Default_web_0a1b2c3d-1111-2222-3333-444455556666",
            "default_we\nb_0a1b2c3d-1111-2222-3333-444455556666",
            "default_-web_0a1b2c3d-1111-2222-3333-444455556666",
            "default_web_0A1B2C3D-1111-2222-3333-444455556666",
        ] {
            assert_eq!(parse(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(parse(format!("default_{}_{UID}", "a".repeat(254)).as_bytes()), None);
    }

    #[test]
    fn a_folder_with_more_than_the_bound_is_read_up_to_it() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..20 {
            let name = format!("default_p{number}_0a1b2c3d-1111-2222-3333-{number:012x}");
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut pods = LogFolder::new(folder.path().into());
        pods.read_up_to(10);
        assert_eq!(pods.by_uid.len(), 10);
        pods.read_up_to(30);
        assert_eq!(pods.by_uid.len(), 20);
    }

    proptest::proptest! {
        #[test]
        fn survives_any_name(bytes: Vec<u8>) {
            if let Some((uid, entry)) = parse(&bytes) {
                let whole = format!("{}_{}_{uid}", entry.namespace, entry.name);
                proptest::prop_assert_eq!(whole.as_bytes(), &bytes[..]);
            }
        }
    }
}
