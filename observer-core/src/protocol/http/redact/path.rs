//! A path without secrets.
//!
//! Kept: names of Kubernetes objects in API paths, replica-set hashes, UIDs, folders of `/var/log/pods`. Redacted:
//! tokens of known shapes, one-time streaming tokens, and what is long and without structure outside API paths; that
//! includes bare container ids (64 hexadecimal digits), which cannot be told from session keys.

use super::super::exposed::{Exposed, Secret};
use super::credential;
use super::percent::decoded;
use super::text::push_text;

/// What stands for a secret.
pub(super) const MARK: &str = "[redacted]";

/// Longest path that is kept, in bytes; what lies beyond is cut off.
pub(super) const MAX_PATH: usize = 2048;

/// Judges a path that holds no query, and copies it without its secrets if it is to be kept.
pub(super) fn path(raw: &[u8], exposed: &mut Exposed, keep: bool) -> Option<String> {
    // A segment that the bound cuts is left out: half a secret may not look like one.
    let bounded = match raw.get(..MAX_PATH) {
        Some(head) => &head[..memchr::memrchr(b'/', head).map_or(0, |at| at + 1)],
        None => raw,
    };
    let mut out = keep.then(|| String::with_capacity(bounded.len()));
    let is_marked = has_mark(bounded);
    let mut place = Place { previous: b"", api: false, first: true };
    // All before `copied` is in `out`.
    let (mut copied, mut start) = (0, 0);
    while start < bounded.len() {
        let (segment, rest) = cut(&bounded[start..], |b| b == b'/');
        let end = start + segment.len();
        if !segment.is_empty() && place.is_secret(segment, is_marked, rest) {
            exposed.insert(Secret::PathCredential);
            if let Some(out) = &mut out {
                push_text(out, &bounded[copied..start]);
                out.push_str(MARK);
                copied = end;
            }
        }
        start = end + 1;
    }
    if let Some(out) = &mut out {
        push_text(out, &bounded[copied..]);
    }
    out
}

/// What the segments so far say about the next.
struct Place<'a> {
    previous: &'a [u8],
    /// In the part of an API path (`/api/…`, `/apis/…`) where segments are resources and names of objects.
    api: bool,
    first: bool,
}

impl<'a> Place<'a> {
    /// `is_marked`: the path [`has_mark`]; `rest` is what lies behind the segment.
    fn is_secret(&mut self, segment: &'a [u8], is_marked: bool, rest: &[u8]) -> bool {
        let secret = self.by_place(rest)
            || if is_marked {
                decoded(segment, |plain| credential::in_marked_segment(plain, self.api))
            } else {
                credential::in_segment(segment, self.api)
            };
        if self.first {
            self.api = matches!(segment, b"api" | b"apis");
        } else if segment == b"proxy" {
            // Behind it begins the path of the object that is proxied to, with rules of its own.
            self.api = false;
        }
        self.first = false;
        self.previous = segment;
        secret
    }

    /// Streaming tokens: `/exec/TOKEN`, `/cri/exec/TOKEN` (kubelet `pkg/kubelet/… streaming/server.go`), which are
    /// the last segment; the kubelet's own `/exec/NAMESPACE/POD/CONTAINER` has more. And what follows `/token/`.
    fn by_place(&self, rest: &[u8]) -> bool {
        if self.api {
            return false;
        }
        let is = |word: &str| self.previous.eq_ignore_ascii_case(word.as_bytes());
        match (self.previous.len(), self.previous.first().map_or(0, |b| b | b' ')) {
            (4, b'e') => is("exec") && is_last(rest),
            (6, b'a') => is("attach") && is_last(rest) || is("apikey"),
            (11, b'p') => is("portforward") && is_last(rest),
            (5, b't') => is("token"),
            (6, b's') => is("secret"),
            (6, b'b') => is("bearer"),
            (7, b'a') => is("api_key") || is("api-key"),
            (8, b'p') => is("password"),
            (12, b'a') => is("access_token"),
            _ => false,
        }
    }
}

/// Whether no segment is left.
fn is_last(rest: &[u8]) -> bool {
    rest.iter().all(|b| *b == b'/')
}

/// `bytes` up to the first that `ends` them, and from there on.
pub(super) fn cut(bytes: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|b| ends(*b)).unwrap_or(bytes.len()))
}

/// Whether a byte asks for a closer look: something is encoded, or marked as a credential.
pub(super) fn has_mark(raw: &[u8]) -> bool {
    memchr::memchr3(b'%', b'@', b'=', raw).is_some()
}

/// Whether all of `raw` can be told as it is. Has no branch, so that it looks at many bytes at once.
pub(super) fn is_printable(raw: &[u8]) -> bool {
    raw.iter().fold(true, |all, b| all & (b.wrapping_sub(b' ') < 0x7f - b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(raw: &str) -> String {
        let (mut with, mut without) = (Exposed::default(), Exposed::default());
        let out = path(raw.as_bytes(), &mut with, true).unwrap();
        assert_eq!(path(raw.as_bytes(), &mut without, false), None);
        assert_eq!(with, without, "the same is exposed whether the text is kept or not");
        assert_eq!(with.is_empty(), !out.contains(MARK));
        out
    }

    #[test]
    fn keeps_names_of_kubernetes_objects() {
        for kept in [
            "/api/v1/namespaces/default/pods/http:web-7d4b9c6f5d-x2x9z:8080/proxy/a%20b/",
            "/api/v1/namespaces/exec/pods",
            "/api/v1/namespaces/default/pods/exec/proxy",
            "/api/v1/namespaces/default/pods/web/exec",
            "/api/v1/namespaces/default/configmaps/0123456789abcdef0123456789abcdef0123",
            "/api/v1/namespaces/default/configmaps/kube-root-ca.crt",
            "/api/v1/namespaces/token/secrets/password/x",
            "/api/v1/namespaces/kube-system/secrets/bootstrap-token-07401b",
            "/api/v1/namespaces/default/services/https:web-canary-20260102030405:https/proxy/healthz",
            "/api/v1/nodes/ip-10-0-123-45.eu-central-1.compute.internal/proxy/metrics/cadvisor",
            "/apis/apps/v1/namespaces/kube-system/deployments/coredns-76f75df574",
            "/apis/apps/v1/namespaces/kube-system/controllerrevisions/kube-proxy-7b9c5d8f6f",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/gke-prod-pool-1-0f3c2a1b-9xkz",
            "/apis/batch/v1/namespaces/default/jobs/backup-28459201/status",
            "/exec/default/web-0/main",
            "/portForward/default/web-0",
            "/containerLogs/default/web-7d4b9c6f5d-x2x9z/main",
            "/pods/6f0e7a52-9a3c-4a54-8f93-0d2c8fbd0a11",
            "/logs/pods/default_web-7d4b9c6f5d-x2x9z_6f0e7a52-9a3c-4a54-8f93-0d2c8fbd0a11/main/0.log",
            "/logs/pods/kube-system_etcd-node1_0f3c2a1b9d8e7f605142332415061708/etcd/0.log",
            "/metrics/cadvisor",
            "/t.T/Ping",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
            "*",
            "/",
            "//",
            "",
        ] {
            assert_eq!(redacted(kept), kept);
        }
    }

    #[test]
    fn takes_tokens_out_of_paths() {
        for (raw, clean) in [
            ("/exec/aB3_x-9Z", "/exec/[redacted]"),
            ("/exec/aB3_x-9Z/", "/exec/[redacted]/"),
            ("/cri/exec/aB3_x-9Z", "/cri/exec/[redacted]"),
            ("/attach/aB3_x-9Z", "/attach/[redacted]"),
            ("/portforward/aB3_x-9Z", "/portforward/[redacted]"),
            ("/api/v1/nodes/n1:33333/proxy/exec/aB3_x-9Z", "/api/v1/nodes/n1:33333/proxy/exec/[redacted]"),
            ("/x/eyJhbGciOiJub25lIn0.e30./y", "/x/[redacted]/y"),
            ("/x/%65yJhbGciOiJub25lIn0.e30./y", "/x/[redacted]/y"),
            ("/a/0123456789abcdef0123456789abcdef", "/a/[redacted]"),
            ("/a/session-0123456789abcdef0123456789abcdef/b", "/a/[redacted]/b"),
            ("/a_b/eyJ~eyJhbGciOiJub25lIn0.e30./y", "/a_b/[redacted]/y"),
            (
                "/containers/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/json",
                "/containers/[redacted]/json",
            ),
            ("/a;jsessionid=AB12/b", "/[redacted]/b"),
            ("/a%3Ftoken=AB12/b", "/[redacted]/b"),
            ("/a%3Ab%40c/b", "/[redacted]/b"),
            ("/http:/u:pw@host/b", "/http:/[redacted]/b"),
            ("/token/short/b", "/token/[redacted]/b"),
            ("token/short", "token/[redacted]"),
        ] {
            assert_eq!(redacted(raw), clean, "{raw}");
        }
    }

    #[test]
    fn a_segment_cut_by_the_bound_is_left_out() {
        let mut raw = format!("/{}", "a/".repeat(MAX_PATH / 2 - 8));
        raw.push_str("eyJhbGciOiJub25lIn0.e30.c2ln/more");
        let mut exposed = Exposed::default();
        let clean = path(raw.as_bytes(), &mut exposed, true).unwrap();
        assert!(clean.len() <= MAX_PATH && !clean.contains("eyJ"));
    }

    #[test]
    fn what_controls_a_terminal_is_replaced() {
        let mut exposed = Exposed::default();
        assert_eq!(
            path(b"/a\x1b[2J/\xff\xc2\x9b", &mut exposed, true).unwrap(),
            "/a\u{fffd}[2J/\u{fffd}\u{fffd}"
        );
    }
}
