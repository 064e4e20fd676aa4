//! From a cgroup path to the UID of the pod that it belongs to.

/// The UID of the innermost pod on a cgroup path, as the API writes it.
///
/// Forms, by cgroup driver: cgroupfs `…/kubepods/burstable/podUID/ID`; systemd
/// `…/kubepods-burstable-podUID.slice/cri-containerd-ID.scope` with `_` for `-`, since `-` separates the levels of a slice
/// (kubelet `pkg/kubelet/cm/cgroup_manager_linux.go`); and `kubepods-podUID.slice:cri-containerd:ID`. The UID of a static
/// pod is the hash of its manifest, 32 hex digits without hyphens. A node that runs in a container (kind, k3s in Docker)
/// has its tree below that container's, so the deepest component counts.
#[must_use]
pub(crate) fn uid(path: &[u8]) -> Option<String> {
    path.split(|byte| *byte == b'/').rev().find_map(of_component)
}

fn of_component(component: &[u8]) -> Option<String> {
    let name = match component.windows(7).position(|window| window == b".slice:") {
        Some(end) => component.get(..end)?,
        None => component.strip_suffix(b".slice").unwrap_or(component),
    };
    // The UID itself holds no `pod`: it is hex. What stands before it is a slice's name, or nothing.
    let start = name.windows(3).rposition(|window| window == b"pod")?;
    let before = name.get(..start)?;
    if !(before.is_empty() || before.ends_with(b"-")) {
        return None;
    }
    let uid = name.get(start + 3..)?;
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_static = uid.len() == 32 && uid.iter().all(is_hex);
    let is_uuid = uid.len() == 36
        && uid.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => matches!(byte, b'-' | b'_'),
            _ => is_hex(byte),
        });
    (is_static || is_uuid).then(|| String::from_utf8_lossy(uid).replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0a1b2c3d-1111-2222-3333-444455556666";
    const SLICE: &str = "0a1b2c3d_1111_2222_3333_444455556666";
    const ID: &str = "4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e4f3c1b7a9d2e0011";

    fn finds(path: &str, expected: Option<&str>) {
        assert_eq!(uid(path.as_bytes()).as_deref(), expected, "{path}");
    }

    #[test]
    fn knows_the_forms_of_both_drivers() {
        finds(&format!("/kubepods/besteffort/pod{UID}/{ID}"), Some(UID));
        finds(&format!("/kubepods/pod{UID}"), Some(UID));
        finds(&format!("/node1/kubepods/burstable/pod{UID}/{ID}/init"), Some(UID));
        let slice = format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice");
        finds(&format!("{slice}/cri-containerd-{ID}.scope"), Some(UID));
        finds(
            &format!("/system.slice/containerd.service/kubepods-pod{SLICE}.slice:cri-containerd:{ID}"),
            Some(UID),
        );
    }

    #[test]
    fn knows_a_static_pod() {
        let hash = "00112233445566778899aabbccddeeff";
        finds(&format!("/kubepods/burstable/pod{hash}/{ID}"), Some(hash));
        finds(&format!("/kubepods.slice/kubepods-burstable-pod{hash}.slice/crio-{ID}.scope"), Some(hash));
    }

    #[test]
    fn takes_the_innermost_pod() {
        let other = "ffffffff-1111-2222-3333-444455556666";
        finds(
            &format!("/kubepods/pod{other}/{ID}/kubelet.slice/kubelet-kubepods-pod{SLICE}.slice/x"),
            Some(UID),
        );
        finds(&format!("/kubepods/pod{other}/{ID}/kubepods/pod{UID}/{ID}"), Some(UID));
    }

    #[test]
    fn takes_no_lookalike() {
        finds("/system.slice/podman.service", None);
        finds(&format!("/kubepods/xpod{UID}"), None);
        finds(&format!("/kubepods/pod{}", UID.to_uppercase()), None);
        finds("/kubepods/pod0a1b2c3d", None);
        finds(&format!("/machine.slice/libpod-{ID}.scope"), None);
        finds("", None);
    }

    proptest::proptest! {
        #[test]
        fn survives_any_path(bytes: Vec<u8>) {
            if let Some(uid) = uid(&bytes) {
                proptest::prop_assert!(uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
            }
        }
    }
}
