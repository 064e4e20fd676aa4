//! What a secret looks like.

use super::class::{self, PATH_STOP, RUN};
use super::percent::decoded;

/// Shortest piece that is taken for a token, in bytes.
pub(super) const SHORTEST: usize = 10;
/// Shortest run that is taken for chance, in bytes.
const SHORTEST_RUN: usize = 24;
/// Shortest name of a credential, in bytes.
const SHORTEST_KEY: usize = 3;
/// Longest name of a credential, in bytes.
const LONGEST_KEY: usize = SHORTEST_KEY + KEYS.len() - 1;

/// Names (lower case) of parameters whose values are credentials, by length from [`SHORTEST_KEY`] on.
const KEYS: [&[&str]; 18] = [
    &["jwt", "key", "pwd", "sid", "sig"],
    &["auth", "pass", "code"],
    &["token"],
    &["bearer", "apikey", "passwd", "secret", "ticket"],
    &["api_key", "api-key", "session"],
    &["id_token", "password"],
    &["authtoken", "sessionid", "phpsessid", "signature", "assertion"],
    &["auth_token", "passphrase", "credential", "session_id", "jsessionid"],
    &["accesstoken", "private_key", "credentials"],
    &["access_token", "access-token", "samlresponse"],
    &["refresh_token", "id_token_hint", "authorization", "client_secret", "x-vault-token"],
    &[],
    &["x-amz-signature"],
    &["client_assertion", "x-amz-credential", "x-goog-signature"],
    &["x-goog-credential"],
    &[],
    &[],
    &["x-amz-security-token"],
];

/// Beginnings of tokens that services give out.
const PREFIXES: &[&[u8]] = &[
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

/// Whether a parameter of this name (still percent-encoded) holds a credential.
pub(super) fn is_key(raw: &[u8]) -> bool {
    if raw.len() < SHORTEST_KEY || raw.len() > 3 * LONGEST_KEY {
        return false;
    }
    decoded(raw, |key| {
        let known =
            key.len().checked_sub(SHORTEST_KEY).and_then(|n| KEYS.get(n)).copied().unwrap_or_default();
        known.iter().any(|known| key.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// A token by an unmistakable shape: a JSON web token or a known beginning.
pub(super) fn is_token(piece: &[u8]) -> bool {
    piece.len() >= SHORTEST && (is_service_token(piece) || is_web_token(piece))
}

fn is_service_token(piece: &[u8]) -> bool {
    matches!(piece.first(), Some(b'g' | b'x' | b'h' | b's' | b'k' | b'y' | b'A'))
        && PREFIXES.iter().any(|prefix| piece.len() >= prefix.len() + 12 && piece.starts_with(prefix))
}

/// Holds the beginning of a JSON object in base64 (RFC 7519, section 3).
fn is_web_token(piece: &[u8]) -> bool {
    let web = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    // Each byte is looked at by one candidate only: behind a run that was too short the next one is looked for.
    let mut rest = piece;
    while let Some(at) = memchr::memchr(b'J', rest) {
        let run = rest[at + 1..].iter().take_while(|b| web(b)).count();
        if rest[..at].ends_with(b"ey") && run + 3 >= SHORTEST {
            return true;
        }
        rest = &rest[at + 1..];
        if rest.len() < SHORTEST {
            return false;
        }
    }
    false
}

/// Long and without structure: hexadecimal, base64, base32. Other bytes end a run; so do dots, which names of
/// services are made with.
pub(super) fn is_random(piece: &[u8]) -> bool {
    piece.len() >= SHORTEST_RUN && piece.split(|b| !class::is(*b, RUN)).any(is_random_run)
}

fn is_random_run(run: &[u8]) -> bool {
    if run.len() < SHORTEST_RUN {
        return false;
    }
    let (mut upper, mut lower, mut digit) = (0, 0, 0);
    for byte in run {
        match byte {
            b'A'..=b'Z' => upper += 1,
            b'a'..=b'z' => lower += 1,
            b'0'..=b'9' => digit += 1,
            _ => {}
        }
    }
    let solid = upper + lower + digit == run.len();
    upper > 0 && lower > 0 && digit > 0
        || run.len() >= 32 && solid && digit > 0
        || run.len() >= 40 && upper >= 8 && lower >= 8
        || !solid && run.split(|b| b"-_+~".contains(b)).any(is_hexadecimal)
}

/// Hexadecimal of 128 bits or more within a longer name (`session-0f3c…`).
fn is_hexadecimal(part: &[u8]) -> bool {
    part.len() >= 32 && part.iter().all(u8::is_ascii_hexdigit) && part.iter().any(u8::is_ascii_digit)
}

/// Whether a path segment without `%`, `@` and `=` holds a secret. `object`: it is where an API path has names of
/// objects.
pub(super) fn in_segment(segment: &[u8], object: bool) -> bool {
    segment.len() >= SHORTEST
        && (pieces(segment).any(is_token)
            || segment.len() >= SHORTEST_RUN
                && !(object && is_object_name(segment))
                && !is_pod_folder(segment)
                && pieces(segment).any(is_random))
}

/// As [`in_segment`], of any (decoded) segment.
pub(super) fn in_marked_segment(segment: &[u8], object: bool) -> bool {
    // `user:password@`, and `;jsessionid=…` or an encoded `?token=…`.
    let has_user =
        || memchr::memchr(b'@', segment).is_some_and(|at| memchr::memchr(b':', &segment[..at]).is_some());
    let has_key = || {
        segment
            .split(|b| matches!(b, b'?' | b'&' | b';' | b'/'))
            .filter_map(|pair| memchr::memchr(b'=', pair).map(|at| &pair[..at]))
            .any(is_key)
    };
    in_segment(segment, object) || has_user() || has_key()
}

fn pieces(segment: &[u8]) -> impl Iterator<Item = &[u8]> {
    segment.split(|b| class::is(*b, PATH_STOP)).filter(|piece| piece.len() >= SHORTEST)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
}

/// A name of a Kubernetes object in an API path: DNS-1123 subdomain, with `scheme:` and `:port` around it.
fn is_object_name(segment: &[u8]) -> bool {
    segment.iter().all(|b| is_name_byte(*b) || *b == b':')
}

/// A folder of `/var/log/pods`: `NAMESPACE_POD_UID`. The UID of a static pod is 32 hexadecimal digits, as a secret
/// could be; the two names before it are what tells them apart.
fn is_pod_folder(segment: &[u8]) -> bool {
    let mut parts = segment.split(|b| *b == b'_');
    let (Some(namespace), Some(pod), Some(uid), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let name = |name: &[u8]| (1..=253).contains(&name.len()) && name.iter().all(|b| is_name_byte(*b));
    name(namespace)
        && name(pod)
        && matches!(uid.len(), 32 | 36)
        && uid.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_web_token_behind_a_false_start() {
        assert!(is_token(b"eyJ+eyJhbGciOiJub25lIn0.e30."));
        assert!(is_token(b"x.eyJhbGciOiJub25lIn0"));
        assert!(!is_token(b"eyJ+eyJ+eyJ+eyJ"));
    }

    #[test]
    fn knows_every_key_in_any_case() {
        for (at, keys) in KEYS.iter().enumerate() {
            for key in *keys {
                assert_eq!(key.len(), at + SHORTEST_KEY, "{key}");
                assert!(is_key(key.as_bytes()) && is_key(key.to_ascii_uppercase().as_bytes()));
            }
        }
        assert!(is_key(b"%74oken") && !is_key(b"") && !is_key(b"tokens") && !is_key(&[b'x'; 60]));
    }

    #[test]
    fn tells_chance_from_names() {
        for random in [
            "0123456789abcdef0123456789abcdef",
            "session-0123456789abcdef0123456789abcdef",
            "Zq7vX2mP9tKc4RbW8sLd3NfH",
            "a_b-Zq7vX2mP9tKc4RbW8sLd",
        ] {
            assert!(is_random(random.as_bytes()), "{random}");
        }
        for name in [
            "web-7d4b9c6f5d-x2x4z",
            "6f0e7a52-9a3c-4a54-8f93-0d2c8fbd0a11",
            "a-long-name-of-some-deployment-7d4b9c6f5d-x2x4z",
            "AggregatedDiscoveryService",
            "alertmanager-main-tls-assets-20260101120000",
        ] {
            assert!(!is_random(name.as_bytes()), "{name}");
        }
    }
}
