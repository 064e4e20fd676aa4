//! A kubelet's folder of pod logs, which names every pod of the node that had a container.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, DirEntry, FileType, Mode, OFlags, openat, statat};

use crate::kubernetes::names::{label, subdomain};

/// Pods kept of one folder: a node has at most some hundred, and folders of pods that are gone are removed.
const MOST_PODS: usize = 16_384;
/// Entries read of one folder, whatever they are called.
const MOST_ENTRIES: usize = 1_000_000;
/// Entries read of one pod's folder.
const MOST_CONTAINERS: usize = 64;

/// A pod's name as the folder gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// One folder: `/var/log/pods/NAMESPACE_NAME_UID/CONTAINER/` (kubelet `pkg/kubelet/kuberuntime/helpers.go`,
/// `BuildPodLogsDirectory`). The kubelet makes a pod's folder before its first container starts. A pod may have been given
/// the folder to write into: what it makes there may take a name from another pod, and never give one.
#[derive(Debug)]
pub(crate) struct LogFolder {
    path: PathBuf,
    /// `None` for a UID that several claim.
    by_uid: HashMap<String, Option<Entry>>,
}

impl LogFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, by_uid: HashMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn known(&self, uid: &str) -> Option<&Entry> {
        self.by_uid.get(uid)?.as_ref()
    }

    /// Reads the folder anew. One that is not there, not readable, or too large to be read to its end, leaves nothing known.
    pub(crate) fn read(&mut self) {
        self.read_up_to(MOST_PODS);
    }

    fn read_up_to(&mut self, most: usize) {
        self.by_uid.clear();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = openat(CWD, &self.path, flags, Mode::empty()) else { return };
        let Ok(entries) = Dir::read_from(&folder) else { return };
        for (number, entry) in entries.enumerate() {
            let Ok(entry) = entry else { continue };
            if number == MOST_ENTRIES {
                // Behind it may be another that claims what was read.
                self.by_uid.clear();
                return;
            }
            let Some((uid, pod)) = parse(entry.file_name().to_bytes()) else { continue };
            if !is_folder(&folder, &entry) {
                continue;
            }
            if let Some(known) = self.by_uid.get_mut(&uid) {
                *known = None;
            } else if self.by_uid.len() < most {
                self.by_uid.insert(uid, Some(pod));
            }
        }
    }

    /// The name of the pod's only container: with several, the log folder does not say which of them a process is of.
    pub(crate) fn only_container(&self, uid: &str, entry: &Entry) -> Option<String> {
        let folder = self.path.join(format!("{}_{}_{uid}", entry.namespace, entry.name));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, folder, flags, Mode::empty()).ok()?;
        let mut only = None;
        for (number, entry) in Dir::read_from(&folder).ok()?.flatten().enumerate() {
            if number == MOST_CONTAINERS {
                return None;
            }
            if let Some(name) = label(entry.file_name().to_bytes())
                && is_folder(&folder, &entry)
                && only.replace(name.to_owned()).is_some()
            {
                return None;
            }
        }
        only
    }
}

/// Whether an entry is a folder itself, and no link to one.
fn is_folder(above: &OwnedFd, entry: &DirEntry) -> bool {
    match entry.file_type() {
        FileType::Unknown => statat(above, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory),
        kind => kind == FileType::Directory,
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
    fn a_uid_that_two_folders_claim_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut pods = LogFolder::new(folder.path().into());
        for name in ["default_web", "default_evil", "default_worse"] {
            std::fs::create_dir(folder.path().join(format!("{name}_{UID}"))).unwrap();
            pods.read();
            assert_eq!(pods.known(UID).is_some(), name == "default_web", "{name}");
        }
    }

    #[test]
    fn what_is_no_folder_of_its_own_names_nobody() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(elsewhere.path().join("secret")).unwrap();
        let name = format!("default_web_{UID}");
        let place = folder.path().join(&name);
        let mut pods = LogFolder::new(folder.path().into());
        for target in [elsewhere.path(), Path::new("/"), Path::new(&name), Path::new("..")] {
            std::os::unix::fs::symlink(target, &place).unwrap();
            pods.read();
            assert_eq!(pods.known(UID), None, "{}", target.display());
            std::fs::remove_file(&place).unwrap();
        }
        std::fs::write(&place, "").unwrap();
        pods.read();
        assert_eq!(pods.known(UID), None, "a file");
        // Read as a folder, and replaced by a link before its containers are.
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        pods.read();
        let entry = pods.known(UID).unwrap().clone();
        std::fs::remove_dir(&place).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &place).unwrap();
        assert_eq!(pods.only_container(UID, &entry), None);
    }

    #[test]
    fn a_hundred_thousand_hostile_names_hide_no_pod() {
        use std::os::unix::ffi::OsStringExt as _;
        // In memory, where there is a place for that: it is a hundred thousand folders.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let make = |name: Vec<u8>| {
            std::fs::create_dir(folder.path().join(std::ffi::OsString::from_vec(name))).unwrap()
        };
        for number in 0..100_000u32 {
            make(match number % 5 {
                0 => format!("\u{1b}[2J{number}").into_bytes(),
                1 => format!("a\nb{number}_x_{UID}").into_bytes(),
                2 => [b"\xff\xfe".as_slice(), number.to_string().as_bytes()].concat(),
                3 => format!("{}{number}", "x".repeat(240)).into_bytes(),
                _ => format!("default_p{number}_notauid").into_bytes(),
            });
        }
        make(format!("default_web_{UID}").into_bytes());
        let mut pods = LogFolder::new(folder.path().into());
        pods.read();
        assert_eq!(pods.known(UID).map(|entry| &*entry.name), Some("web"));
    }

    #[test]
    fn pods_beyond_the_bound_are_not_known_and_their_doubles_are() {
        let folder = tempfile::tempdir().unwrap();
        let uid = |number: u32| format!("0a1b2c3d-1111-2222-3333-{number:012x}");
        for number in 0..20 {
            for name in ["a", "b"] {
                std::fs::create_dir(folder.path().join(format!("default_{name}_{}", uid(number)))).unwrap();
            }
        }
        let mut pods = LogFolder::new(folder.path().into());
        pods.read_up_to(10);
        assert!((0..20).all(|number| pods.known(&uid(number)).is_none()));
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
