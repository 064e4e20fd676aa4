//! Where bytes of targets and fields become strings: nothing secret passes.

use std::borrow::Cow;

use super::exposed::{Exposed, Secret};

/// What stands for a secret.
const MARK: &str = "[redacted]";

/// Longest path that is kept, in bytes; what lies beyond is cut off.
pub(super) const MAX_PATH: usize = 2048;

/// Query keys (lower case) whose values are credentials.
const KEYS: &[&str] = &[
    "token",
    "access_token",
    "access-token",
    "accesstoken",
    "refresh_token",
    "id_token",
    "id_token_hint",
    "auth_token",
    "authtoken",
    "auth",
    "authorization",
    "bearer",
    "jwt",
    "api_key",
    "api-key",
    "apikey",
    "key",
    "private_key",
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "secret",
    "client_secret",
    "client_assertion",
    "code",
    "credential",
    "credentials",
    "session",
    "sessionid",
    "session_id",
    "jsessionid",
    "phpsessid",
    "sid",
    "sig",
    "signature",
    "x-amz-signature",
    "x-amz-security-token",
    "x-amz-credential",
    "x-goog-signature",
    "x-goog-credential",
    "assertion",
    "samlresponse",
    "ticket",
    "x-vault-token",
];

/// Beginnings of tokens that services give out.
const TOKEN_PREFIXES: &[&[u8]] = &[
    b"ghp_",
    b"gho_",
    b"ghs_",
    b"ghu_",
    b"github_pat_",
    b"glpat-",
    b"xoxb-",
    b"xoxp-",
    b"hvs.",
    b"hvb.",
    b"sha256~",
    b"k8s-aws-v1.",
    b"ya29.",
    b"AKIA",
    b"ASIA",
];

/// A request target taken apart.
#[derive(Debug, Default)]
pub(super) struct Target {
    pub(super) path: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) scheme: Option<&'static str>,
    pub(super) has_query: bool,
}

/// Takes apart a request target in origin, absolute or asterisk form (RFC 9112, section 3.2).
pub(super) fn target(raw: &[u8], exposed: &mut Exposed) -> Target {
    let mut target = Target::default();
    let mut rest = raw;
    let has_scheme = raw.first().is_some_and(u8::is_ascii_alphabetic);
    if let Some(at) = has_scheme.then(|| memchr::memmem::find(raw, b"://")).flatten() {
        target.scheme = match &raw[..at] {
            s if s.eq_ignore_ascii_case(b"http") => Some("http"),
            s if s.eq_ignore_ascii_case(b"https") => Some("https"),
            _ => None,
        };
        let after = &raw[at + 3..];
        let end = after.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(after.len());
        target.authority = authority(&after[..end], exposed);
        rest = &after[end..];
    }
    let end = memchr::memchr2(b'?', b'#', rest).unwrap_or(rest.len());
    if rest.get(end) == Some(&b'?') {
        target.has_query = true;
        query(&rest[end + 1..], exposed);
    }
    target.path = Some(if end == 0 { String::from("/") } else { path(&rest[..end], exposed) });
    target
}

/// Host and port without `user:password@`.
pub(super) fn authority(raw: &[u8], exposed: &mut Exposed) -> Option<String> {
    let host = match memchr::memrchr(b'@', raw) {
        Some(at) => {
            exposed.insert(Secret::Userinfo);
            &raw[at + 1..]
        }
        None => raw,
    };
    // Whatever is not a host, a port or an IPv6 literal has no business in this place.
    let end = host
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || b".:-_[]%*".contains(b)))
        .unwrap_or(host.len());
    text(&host[..end.min(255)], exposed)
}

/// Notes credentials among the parameters; keeps nothing.
pub(super) fn query(raw: &[u8], exposed: &mut Exposed) {
    for pair in raw.split(|b| *b == b'&' || *b == b';' || *b == b'?') {
        let equals = memchr::memchr(b'=', pair);
        if is_credential_key(&pair[..equals.unwrap_or(pair.len())])
            || equals.is_some_and(|at| is_token(&decoded(&pair[at + 1..])))
        {
            exposed.insert(Secret::QueryCredential);
        }
    }
}

fn is_credential_key(raw: &[u8]) -> bool {
    const LONGEST: usize = 24;
    if raw.is_empty() || raw.len() > 3 * LONGEST {
        return false;
    }
    let key = decoded(raw);
    KEYS.iter().any(|known| key.eq_ignore_ascii_case(known.as_bytes()))
}

/// Percent-decodes once (RFC 3986, section 2.1).
fn decoded(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let digit =
        |at: usize| raw.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        match (raw[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// A path without secrets. `raw` holds no query.
pub(super) fn path(raw: &[u8], exposed: &mut Exposed) -> String {
    // A segment that the bound cuts is left out: half a secret may not look like one.
    let bounded = match raw.get(..MAX_PATH) {
        Some(head) => &head[..memchr::memrchr(b'/', head).map_or(0, |at| at + 1)],
        None => raw,
    };
    let mut out = String::with_capacity(bounded.len());
    let mut context = Context::new(bounded);
    for (at, segment) in bounded.split(|b| *b == b'/').enumerate() {
        if at > 0 {
            out.push('/');
        }
        if context.is_secret(segment) {
            exposed.insert(Secret::PathCredential);
            out.push_str(MARK);
        } else {
            push_text(&mut out, segment);
        }
    }
    out
}

/// What the segments so far say about the next.
struct Context<'a> {
    /// Segments not yet seen that are not empty.
    left: usize,
    previous: &'a [u8],
    /// In the part of an API path (`/api/…`, `/apis/…`) where segments are resources and names of objects.
    api: bool,
    first: bool,
}

impl<'a> Context<'a> {
    fn new(path: &[u8]) -> Self {
        let left = path.split(|b| *b == b'/').filter(|segment| !segment.is_empty()).count();
        Self { left, previous: b"", api: false, first: true }
    }

    fn is_secret(&mut self, segment: &'a [u8]) -> bool {
        if segment.is_empty() {
            return false;
        }
        self.left -= 1;
        let plain = decoded(segment);
        let secret = self.by_place() || by_looks(&plain, self.api);
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
    fn by_place(&self) -> bool {
        let verb = ["exec", "attach", "portforward"]
            .iter()
            .any(|v| self.previous.eq_ignore_ascii_case(v.as_bytes()));
        if self.api {
            return false;
        }
        let named = ["token", "access_token", "apikey", "api_key", "api-key", "password", "secret", "bearer"]
            .iter()
            .any(|v| self.previous.eq_ignore_ascii_case(v.as_bytes()));
        verb && self.left == 0 || named
    }
}

/// Whether a (decoded) segment holds a secret by its looks.
fn by_looks(segment: &[u8], api: bool) -> bool {
    // `user:password@`, and `;jsessionid=…` or an encoded `?token=…`.
    if let Some(at) = memchr::memchr(b'@', segment)
        && segment[..at].contains(&b':')
    {
        return true;
    }
    segment.split(|b| b"?&;=,:/@ ".contains(b)).any(|piece| is_token(piece) || !api && is_random(piece))
        || memchr::memchr(b'=', segment).is_some()
            && segment
                .split(|b| b"?&;/".contains(b))
                .filter_map(|pair| memchr::memchr(b'=', pair).map(|at| &pair[..at]))
                .any(is_credential_key)
        || api && is_random(segment) && !is_object_name(segment)
}

/// A name of a Kubernetes object in a proxy path: DNS-1123 subdomain, with `scheme:` and `:port` around it.
fn is_object_name(segment: &[u8]) -> bool {
    segment.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(b))
}

/// A token by an unmistakable shape: a JSON web token or a known beginning.
fn is_token(piece: &[u8]) -> bool {
    let web = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    if let Some(at) = memchr::memmem::find(piece, b"eyJ") {
        return piece[at..].iter().take_while(|b| web(b)).count() >= 10;
    }
    TOKEN_PREFIXES.iter().any(|prefix| piece.starts_with(prefix) && piece.len() >= prefix.len() + 12)
}

/// Long and without structure: hexadecimal, base64, base32.
/// Other bytes end a run; so do dots, which names of services are made with.
fn is_random(piece: &[u8]) -> bool {
    piece.split(|b| !(b.is_ascii_alphanumeric() || b"-_+~".contains(b))).any(is_random_run)
}

fn is_random_run(piece: &[u8]) -> bool {
    let (mut upper, mut lower, mut digit) = (0, 0, 0);
    for byte in piece {
        match byte {
            b'A'..=b'Z' => upper += 1,
            b'a'..=b'z' => lower += 1,
            b'0'..=b'9' => digit += 1,
            _ => {}
        }
    }
    let solid = upper + lower + digit == piece.len();
    piece.len() >= 24 && upper > 0 && lower > 0 && digit > 0
        || piece.len() >= 32 && solid && digit > 0
        || piece.len() >= 40 && upper >= 8 && lower >= 8
}

/// A field's value, bounded and without tokens; `None` if nothing is left.
pub(super) fn text(raw: &[u8], exposed: &mut Exposed) -> Option<String> {
    const MAX: usize = 256;
    let raw = raw.trim_ascii();
    if raw.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(raw.len().min(MAX));
    // Words are judged whole; the cut comes after.
    let mut after_scheme = false;
    for (at, word) in raw.split(|b| *b == b' ' || *b == b'\t').enumerate() {
        if at > 0 {
            out.push(' ');
        }
        if out.len() + word.len() > MAX {
            break;
        }
        let plain = decoded(word);
        let secret = after_scheme && !word.is_empty()
            || plain.split(|b| b"?&;=,:/@()\"".contains(b)).any(|piece| is_token(piece) || is_random(piece));
        after_scheme = word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"basic");
        if secret {
            exposed.insert(Secret::PathCredential);
            out.push_str(MARK);
        } else {
            push_text(&mut out, word);
        }
    }
    out.truncate(out.trim_end().len());
    (!out.is_empty()).then_some(out)
}

/// Appends bytes as printable text: what is not UTF-8 or controls a terminal becomes U+FFFD.
fn push_text(out: &mut String, raw: &[u8]) {
    if raw.iter().all(|b| (b' '..0x7f).contains(b)) {
        out.push_str(&String::from_utf8_lossy(raw));
        return;
    }
    out.extend(
        String::from_utf8_lossy(raw)
            .chars()
            .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }),
    );
}

/// A media type, protocol name or the like: token bytes and `/`, lower case, up to the first other byte.
pub(super) fn name(raw: &[u8]) -> Option<String> {
    let raw = raw.trim_ascii();
    let end =
        raw.iter().position(|b| !(b.is_ascii_alphanumeric() || b"/+.-_".contains(b))).unwrap_or(raw.len());
    let name = &raw[..end];
    let fits = !name.is_empty()
        && name.len() <= 96
        && !name.split(|b| *b == b'/').any(|p| is_token(p) || is_random(p));
    fits.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// A method that may be told.
pub(super) fn method(raw: &[u8]) -> Cow<'static, str> {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    if let Some(known) = KNOWN.iter().find(|known| known.as_bytes() == raw) {
        return Cow::Borrowed(known);
    }
    let fits = raw.len() <= 20 && raw.iter().all(|b| b.is_ascii_uppercase() || *b == b'-' || *b == b'_');
    if fits { Cow::Owned(String::from_utf8_lossy(raw).into_owned()) } else { Cow::Borrowed("[unrecognised]") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(raw: &str) -> String {
        path(raw.as_bytes(), &mut Exposed::default())
    }

    #[test]
    fn keeps_names_of_kubernetes_objects() {
        for kept in [
            "/api/v1/namespaces/default/pods/http:web-7d4b9c6f5d-x2x4z:8080/proxy/a%20b/",
            "/api/v1/namespaces/exec/pods",
            "/api/v1/namespaces/default/pods/exec/proxy",
            "/api/v1/namespaces/default/pods/web/exec",
            "/api/v1/namespaces/default/configmaps/0123456789abcdef0123456789abcdef0123",
            "/apis/apps/v1/namespaces/kube-system/deployments/coredns-76f75df574",
            "/exec/default/web-0/main",
            "/portForward/default/web-0",
            "/containerLogs/default/web-0/main",
            "/pods/6f0e7a52-9a3c-4a54-8f93-0d2c8fbd0a11",
            "/metrics/cadvisor",
            "/t.T/Ping",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            "*",
            "/",
        ] {
            assert_eq!(redacted(kept), kept);
        }
    }

    #[test]
    fn takes_tokens_out_of_paths() {
        for (raw, clean) in [
            ("/exec/aB3_x-9Z", "/exec/[redacted]"),
            ("/cri/exec/aB3_x-9Z", "/cri/exec/[redacted]"),
            ("/attach/aB3_x-9Z", "/attach/[redacted]"),
            ("/portforward/aB3_x-9Z", "/portforward/[redacted]"),
            ("/api/v1/nodes/n1:33333/proxy/exec/aB3_x-9Z", "/api/v1/nodes/n1:33333/proxy/exec/[redacted]"),
            ("/x/eyJhbGciOiJub25lIn0.e30./y", "/x/[redacted]/y"),
            ("/x/%65yJhbGciOiJub25lIn0.e30./y", "/x/[redacted]/y"),
            ("/a/0123456789abcdef0123456789abcdef", "/a/[redacted]"),
            ("/a;jsessionid=AB12/b", "/[redacted]/b"),
            ("/a%3Ftoken=AB12/b", "/[redacted]/b"),
            ("/http:/u:pw@host/b", "/http:/[redacted]/b"),
            ("/token/short/b", "/token/[redacted]/b"),
        ] {
            assert_eq!(redacted(raw), clean, "{raw}");
        }
    }

    #[test]
    fn takes_an_absolute_target_apart() {
        let mut exposed = Exposed::default();
        let target = target(b"http://user:pw@web.example:80/a?token=x#f", &mut exposed);
        assert_eq!(target.path.as_deref(), Some("/a"));
        assert_eq!(target.authority.as_deref(), Some("web.example:80"));
        assert!(target.has_query);
        assert!(exposed.contains(Secret::Userinfo) && exposed.contains(Secret::QueryCredential));
    }

    #[test]
    fn a_segment_cut_by_the_bound_is_left_out() {
        let mut raw = format!("/{}", "a/".repeat(MAX_PATH / 2 - 8));
        raw.push_str("eyJhbGciOiJub25lIn0.e30.c2ln/more");
        let clean = redacted(&raw);
        assert!(clean.len() <= MAX_PATH && !clean.contains("eyJ"));
    }
}
