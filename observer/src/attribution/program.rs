//! Which programs are watched on every port, by the file name of their executable.

use std::collections::BTreeSet;

use super::folder::Folder;
use super::roots::Roots;

/// Executables of the components of a control plane and of those that dial for them.
const COMPONENTS: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "cloud-controller-manager",
    "etcd",
    // Several components in one executable: old Kubernetes and OpenShift, k3s, RKE2, k0s, MicroK8s.
    "hyperkube",
    "k3s",
    "k3s-server",
    "k3s-agent",
    "rke2",
    "k0s",
    "kubelite",
    // Konnectivity: the tunnel's two ends.
    "proxy-agent",
    "proxy-server",
    "konnectivity-agent",
    "konnectivity-server",
];

/// Bytes of a command name in the kernel (`TASK_COMM_LEN`), the zero at its end included.
const COMM: usize = 16;

/// The names of watched executables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    names: BTreeSet<String>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { names: COMPONENTS.iter().map(|name| (*name).to_owned()).collect() }
    }
}

impl Watch {
    /// No program at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self { names: BTreeSet::new() }
    }

    /// These, and executables called `name`; or the one at the path `name`, if it has a `/`.
    #[must_use]
    pub fn with(mut self, name: &str) -> Self {
        self.names.insert(name.to_owned());
        self
    }

    /// The watched name that an executable's path stands for.
    #[must_use]
    pub fn program(&self, executable: &str) -> Option<&str> {
        let base = executable.rsplit('/').next()?;
        self.names.get(base).or_else(|| self.names.get(executable)).map(String::as_str)
    }

    /// The watched program that runs in a process now, by its executable: the command name is no proof, since any
    /// program can set it. `None` too if the process is gone or its executable cannot be read.
    #[must_use]
    pub fn program_of(&self, roots: &Roots, pid: u32) -> Option<&str> {
        self.program(&Folder::open(roots, pid).ok()?.executable().ok()?)
    }

    /// The command names that a watched program has right after its `exec`: the first 15 bytes of its file name, padded
    /// with zeros (`kube-controller-manager` is `kube-controller`). What has such a name is a *candidate*.
    pub fn command_names(&self) -> impl Iterator<Item = [u8; COMM]> + '_ {
        let names: BTreeSet<[u8; COMM]> = self
            .names
            .iter()
            .filter_map(|name| {
                let base = name.rsplit('/').next()?.as_bytes();
                let mut comm = [0; COMM];
                let kept = base.len().min(COMM - 1);
                comm.get_mut(..kept)?.copy_from_slice(base.get(..kept)?);
                Some(comm)
            })
            .collect();
        names.into_iter()
    }

    /// Every process that runs a watched program now, with the program's name. One look at each process: repeat it to
    /// find renamed ones that started since.
    pub fn running<'a>(&'a self, roots: &'a Roots) -> impl Iterator<Item = (u32, &'a str)> {
        roots.pids().into_iter().flatten().filter_map(|pid| Some((pid, self.program_of(roots, pid)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn knows_a_component_by_its_executable_wherever_it_lies() {
        let watch = Watch::default();
        assert_eq!(watch.program("/usr/local/bin/kube-apiserver"), Some("kube-apiserver"));
        assert_eq!(watch.program("/snap/microk8s/1234/kubelite"), Some("kubelite"));
        assert_eq!(watch.program("/usr/bin/curl"), None);
        assert_eq!(watch.program("/opt/kubelet/bin/x"), None);
    }

    #[test]
    fn takes_a_name_or_a_path_of_the_operator() {
        let watch = Watch::nothing().with("caddy").with("/opt/a/server");
        assert_eq!(watch.program("/x/caddy"), Some("caddy"));
        assert_eq!(watch.program("/opt/a/server"), Some("/opt/a/server"));
        assert_eq!(watch.program("/opt/b/server"), None);
    }

    #[test]
    fn command_names_are_cut_as_the_kernel_cuts_them() {
        let names: Vec<_> = Watch::default().command_names().collect();
        assert!(names.contains(b"kube-controller\0"));
        assert!(names.contains(b"cloud-controlle\0"));
        assert!(names.contains(b"etcd\0\0\0\0\0\0\0\0\0\0\0\0"));
        assert!(names.iter().all(|name| name[15] == 0));
    }

    #[test]
    fn finds_running_programs_by_executable_and_not_by_name() {
        let fake = Fake::new();
        fake.process(7, b"renamed", 1, 50).executable(7, b"/usr/bin/kubelet (deleted)");
        fake.process(8, b"kubelet", 1, 50).executable(8, b"/usr/bin/curl");
        fake.process(9, b"kubelet", 1, 50);
        let watch = Watch::default();
        assert_eq!(watch.running(fake.roots()).collect::<Vec<_>>(), [(7, "kubelet")]);
    }
}
