//! From a cgroup path to the container in it. Names of pods, from the same path and the node's log folder, belong here
//! once they are read.

/// Length of the ids that containerd, CRI-O, Docker (cri-dockerd) and Podman give: 32 random bytes in lower-case hex.
const ID: usize = 64;

/// The id of the innermost container on a cgroup path.
///
/// Forms, by cgroup driver: systemd `cri-containerd-ID.scope`, `crio-ID.scope`, `docker-ID.scope`, `libpod-ID.scope`;
/// cgroupfs `…/podUID/ID`, `…/podUID/crio-ID`, `/docker/ID`; a systemd-driver kubelet on a containerd without
/// `SystemdCgroup` `…/kubepods-podUID.slice:cri-containerd:ID`. A container may have groups below its own (systemd in a
/// container, a whole node in it as with kind), so the deepest component that names one counts. `conmon` is the
/// runtime's own monitor, outside of the container it is named after.
#[must_use]
pub(crate) fn id(path: &[u8]) -> Option<&str> {
    path.split(|byte| *byte == b'/').rev().find_map(of_component)
}

fn of_component(component: &[u8]) -> Option<&str> {
    let name = component.strip_suffix(b".scope").unwrap_or(component);
    let (prefix, id) = name.split_at_checked(name.len().checked_sub(ID)?)?;
    let is_hex = id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_separated = prefix.is_empty() || prefix.ends_with(b"-") || prefix.ends_with(b":");
    let is_monitor = prefix.ends_with(b"conmon-");
    if is_hex && is_separated && !is_monitor { core::str::from_utf8(id).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e0011";
    const B: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

    fn finds(path: &str, expected: Option<&str>) {
        assert_eq!(id(path.as_bytes()), expected, "{path}");
    }

    #[test]
    fn knows_the_forms_of_the_systemd_driver() {
        for prefix in ["cri-containerd", "crio", "docker", "libpod"] {
            let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a_1b.slice";
            finds(&format!("{pod}/{prefix}-{A}.scope"), Some(A));
            finds(&format!("{pod}/{prefix}-{A}.scope/init.scope"), Some(A));
        }
    }

    #[test]
    fn knows_the_forms_of_the_cgroupfs_driver() {
        finds(&format!("/kubepods/burstable/pod0a-1b/{A}"), Some(A));
        finds(&format!("/kubepods/pod0a-1b/crio-{A}"), Some(A));
        finds(&format!("/docker/{A}"), Some(A));
        finds(&format!("/../../kubepods/pod0a-1b/{A}"), Some(A));
        finds(&format!("/system.slice/containerd.service/kubepods-pod0a.slice:cri-containerd:{A}"), Some(A));
    }

    #[test]
    fn takes_the_innermost_of_nested_containers() {
        finds(&format!("/docker/{A}/kubelet.slice/kubepods.slice/cri-containerd-{B}.scope"), Some(B));
        finds(&format!("/docker/{A}/init.scope"), Some(A));
        finds(&format!("/system.slice/k3s.service/kubepods/pod1/{B}"), Some(B));
    }

    #[test]
    fn does_not_take_a_monitor_or_a_lookalike_for_a_container() {
        finds(&format!("/kubepods.slice/crio-conmon-{A}.scope"), None);
        finds(&format!("/machine.slice/libpod-conmon-{A}.scope"), None);
        finds("/system.slice/ssh.service", None);
        finds(&format!("/x/{}", A.to_uppercase()), None);
        finds(&format!("/x/{}", &A[1..]), None);
        finds(&format!("/x/0{A}"), None);
    }
}
