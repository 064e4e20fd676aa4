//! `/proc/PID/cgroup`: which control groups a process is in.

use super::container;
use super::printable::{MAX_PATH, printable};

/// The lines of `/proc/PID/cgroup` (cgroups(7)): one for each version 1 hierarchy, and `0::PATH` for version 2. Hybrid
/// nodes have both, and a container runtime there may use version 1 alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    v2: Option<Vec<u8>>,
    v1: Vec<Vec<u8>>,
}

impl Membership {
    /// Reads the file. A line that is not of the form is passed over. A path may hold `:`, never a line end (the kernel
    /// refuses to create such a group).
    #[must_use]
    pub fn parse(file: &[u8]) -> Self {
        let mut found = Self::default();
        for line in file.split(|byte| *byte == b'\n') {
            let mut parts = line.splitn(3, |byte| *byte == b':');
            let (Some(hierarchy), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            // The kernel marks a group that was removed while a process was in it.
            let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
            if !path.starts_with(b"/") || path.len() > MAX_PATH {
                continue;
            }
            if hierarchy == b"0" && controllers.is_empty() {
                found.v2 = Some(path.to_vec());
            } else if !found.v1.iter().any(|known| known == path) {
                found.v1.push(path.to_vec());
            }
        }
        found
    }

    /// The version 2 path as the kernel gave it, relative to the reader's own cgroup namespace.
    #[must_use]
    pub fn v2(&self) -> Option<&[u8]> {
        self.v2.as_deref()
    }

    /// The version 2 path, fit to print.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        self.v2.as_deref().map(|path| printable(path, MAX_PATH))
    }

    /// All its paths, the version 2 path first.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.v2.iter().chain(&self.v1).map(Vec::as_slice)
    }

    /// The container, from the version 2 path or else from the first version 1 path that names one.
    #[must_use]
    pub fn container_id(&self) -> Option<String> {
        self.paths().find_map(container::id).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e0011";

    #[test]
    fn reads_a_unified_node() {
        let file = format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n");
        let membership = Membership::parse(file.as_bytes());
        assert!(membership.path().unwrap().ends_with(".scope"));
        assert_eq!(membership.container_id().as_deref(), Some(ID));
    }

    #[test]
    fn finds_the_container_of_a_hybrid_node_in_version_1() {
        let file = format!(
            "9:name=systemd:/kubepods/besteffort/pod1/{ID}\n4:cpu,cpuacct:/kubepods/besteffort/pod1/{ID}\n0::/\n"
        );
        let membership = Membership::parse(file.as_bytes());
        assert_eq!(membership.path().as_deref(), Some("/"));
        assert_eq!(membership.container_id().as_deref(), Some(ID));
    }

    #[test]
    fn has_no_version_2_path_on_a_legacy_node() {
        let membership = Membership::parse(b"4:memory:/user.slice\n1:name=systemd:/user.slice\n");
        assert_eq!((membership.path(), membership.container_id()), (None, None));
    }

    #[test]
    fn keeps_a_colon_and_drops_the_mark_of_a_removed_group() {
        let membership = Membership::parse(b"0::/a:b (deleted)\n");
        assert_eq!(membership.path().as_deref(), Some("/a:b"));
    }

    proptest::proptest! {
        #[test]
        fn survives_any_bytes(bytes: Vec<u8>) {
            let membership = Membership::parse(&bytes);
            proptest::prop_assert!(membership.path().is_none_or(|path| path.chars().all(|c| !c.is_control())));
        }

        #[test]
        fn gives_back_any_path_the_kernel_can_print(path in "/[ -~]{0,80}") {
            proptest::prop_assume!(!path.ends_with(" (deleted)"));
            let membership = Membership::parse(format!("0::{path}\n").as_bytes());
            proptest::prop_assert_eq!(membership.v2(), Some(path.as_bytes()));
        }
    }
}
