//! What Kubernetes lets be a name. An API server holds all objects to it; what does not keep to it is not Kubernetes'.

/// A DNS label (RFC 1123), as namespaces and containers are called.
pub(crate) fn label(name: &[u8]) -> Option<&str> {
    let is_inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let ends = name.first().into_iter().chain(name.last()).all(|byte| *byte != b'-');
    let fits = (1..=63).contains(&name.len()) && ends && name.iter().all(is_inner);
    if fits { core::str::from_utf8(name).ok() } else { None }
}

/// A DNS subdomain (RFC 1123), as pods and nodes are called.
pub(crate) fn subdomain(name: &[u8]) -> Option<&str> {
    let is_inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let ends = name.first().into_iter().chain(name.last()).all(|byte| byte.is_ascii_alphanumeric());
    let fits = (1..=253).contains(&name.len()) && ends && name.iter().all(is_inner);
    if fits { core::str::from_utf8(name).ok() } else { None }
}

/// What identifies an object for all time: a UUID, or the hash of a static pod's manifest.
pub(super) fn uid(uid: &str) -> bool {
    (32..=36).contains(&uid.len()) && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// A container as its runtime calls it.
pub(super) fn container(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_kubernetes_takes() {
        assert!(label(b"kube-system").is_some() && subdomain(b"node-1.example.com").is_some());
        assert!(uid("0a1b2c3d-1111-2222-3333-444455556666") && uid("00112233445566778899aabbccddeeff"));
        assert!(container(&"0f".repeat(32)));
    }

    #[test]
    fn takes_nothing_else() {
        for name in ["", "-a", "a-", "a_b", "A", "a\x1b[2J", "a\nb", "ä", "a/..", &"a".repeat(254)] {
            assert_eq!((label(name.as_bytes()), subdomain(name.as_bytes())), (None, None), "{name:?}");
        }
        assert!(!uid("") && !uid("x") && !uid(&"\u{1b}".repeat(34)) && !uid(&"0".repeat(37)));
        assert!(!container("") && !container("../x") && !container(&"0".repeat(65)));
    }
}
