//! Field names that matter.

use super::exposed::Secret;

/// A field that is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ContentLength,
    TransferEncoding,
    Host,
    UserAgent,
    Server,
    ContentType,
    Upgrade,
    ForwardedFor,
    ForwardedUri,
    /// A reference that is not kept.
    Reference,
    /// A reference in a response that is not kept.
    Location,
    WebsocketProtocol,
    Authorization,
    /// Its presence says it all.
    Secret(Secret),
}

/// Every name in lower case, ordered by length.
const NAMES: [(&[u8], Field); 51] = [
    (b"host", Field::Host),
    (b"apikey", Field::Secret(Secret::ApiKeyHeader)),
    (b"cookie", Field::Secret(Secret::Cookie)),
    (b"server", Field::Server),
    (b"api-key", Field::Secret(Secret::ApiKeyHeader)),
    (b"referer", Field::Reference),
    (b"refresh", Field::Location),
    (b"upgrade", Field::Upgrade),
    (b"location", Field::Location),
    (b"x-api-key", Field::Secret(Secret::ApiKeyHeader)),
    (b"set-cookie", Field::Secret(Secret::SetCookie)),
    (b"user-agent", Field::UserAgent),
    (b"x-id-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-ssl-cert", Field::Secret(Secret::ClientCertificateHeader)),
    (b"client-cert", Field::Secret(Secret::ClientCertificateHeader)),
    (b"remote-user", Field::Secret(Secret::FrontProxyHeader)),
    (b"set-cookie2", Field::Secret(Secret::SetCookie)),
    (b"content-type", Field::ContentType),
    (b"x-auth-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-csrf-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-remote-uid", Field::Secret(Secret::FrontProxyHeader)),
    (b"authorization", Field::Authorization),
    (b"private-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-client-cert", Field::Secret(Secret::ClientCertificateHeader)),
    (b"x-remote-user", Field::Secret(Secret::FrontProxyHeader)),
    (b"x-vault-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"content-length", Field::ContentLength),
    (b"x-access-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-consul-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-gitlab-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-goog-api-key", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-original-uri", Field::Reference),
    (b"x-original-url", Field::Reference),
    (b"x-remote-group", Field::Secret(Secret::FrontProxyHeader)),
    (b"ssl-client-cert", Field::Secret(Secret::ClientCertificateHeader)),
    (b"ssl_client_cert", Field::Secret(Secret::ClientCertificateHeader)),
    (b"x-forwarded-for", Field::ForwardedFor),
    (b"x-forwarded-uri", Field::ForwardedUri),
    (b"x-functions-key", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-session-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-subject-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"content-location", Field::Location),
    (b"impersonate-user", Field::Secret(Secret::FrontProxyHeader)),
    (b"client-cert-chain", Field::Secret(Secret::ClientCertificateHeader)),
    (b"transfer-encoding", Field::TransferEncoding),
    (b"x-ssl-client-cert", Field::Secret(Secret::ClientCertificateHeader)),
    (b"proxy-authorization", Field::Secret(Secret::ProxyAuthorization)),
    (b"x-amz-security-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"sec-websocket-protocol", Field::WebsocketProtocol),
    (b"x-forwarded-client-cert", Field::Secret(Secret::ClientCertificateHeader)),
    (b"x-forwarded-access-token", Field::Secret(Secret::ApiKeyHeader)),
];

/// The few that are longer than all of `NAMES`.
const LONG: [(&[u8], Field); 2] = [
    (b"x-auth-request-access-token", Field::Secret(Secret::ApiKeyHeader)),
    (b"x-forwarded-tls-client-cert", Field::Secret(Secret::ClientCertificateHeader)),
];

const LONGEST: usize = 24;

/// What names of a user's extra attributes begin with.
const EXTRA: &[u8] = b"x-remote-extra-";

/// Where in `NAMES` each length begins; one more says where the last one ends.
const STARTS: [u8; LONGEST + 2] = starts();

#[expect(clippy::cast_possible_truncation, reason = "NAMES has far fewer than 256 entries")]
const fn starts() -> [u8; LONGEST + 2] {
    let mut starts = [0; LONGEST + 2];
    let mut length = 0;
    let mut at = 0;
    while length < starts.len() {
        while at < NAMES.len() && NAMES[at].0.len() < length {
            at += 1;
        }
        starts[length] = at as u8;
        length += 1;
    }
    starts
}

/// `NAMES` as [`words`].
const WORDS: [[u64; 3]; NAMES.len()] = {
    let mut all = [[0; 3]; NAMES.len()];
    let mut at = 0;
    while at < NAMES.len() {
        all[at] = words(NAMES[at].0);
        at += 1;
    }
    all
};

/// All bytes of a name of 4 to 24 bytes, some of them twice, with the bit that tells lower from upper case set. Two
/// names of one length with the same words differ in case, or in that one of them holds a control byte.
const fn words(name: &[u8]) -> [u64; 3] {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let length = name.len();
    if length < 4 {
        [0; 3]
    } else if length < 8 {
        [half(name, 0) << 32 | half(name, length - 4) | LOWER, 0, 0]
    } else if length <= 16 {
        [word(name, 0) | LOWER, word(name, length - 8) | LOWER, 0]
    } else {
        [word(name, 0) | LOWER, word(name, 8) | LOWER, word(name, length - 8) | LOWER]
    }
}

#[inline(always)]
const fn word(name: &[u8], at: usize) -> u64 {
    half(name, at) << 32 | half(name, at + 4)
}

#[inline(always)]
const fn half(name: &[u8], at: usize) -> u64 {
    u32::from_le_bytes([name[at], name[at + 1], name[at + 2], name[at + 3]]) as u64
}

impl Field {
    /// The field of this name, in any case; `None` if it is not looked into.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let found = if name.len() <= LONGEST {
            let (start, end) = (usize::from(STARTS[name.len()]), usize::from(STARTS[name.len() + 1]));
            let words = words(name);
            let of_length = WORDS[start..end].iter().position(|known| *known == words);
            of_length.map(|at| NAMES[start + at].1)
        } else {
            LONG.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
        };
        if found.is_some() || name.len() <= EXTRA.len() {
            return found;
        }
        let is_extra = name[..EXTRA.len()].eq_ignore_ascii_case(EXTRA);
        is_extra.then_some(Self::Secret(Secret::FrontProxyHeader))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_name_in_any_case() {
        assert!(NAMES.is_sorted_by_key(|(name, _)| name.len()));
        assert_eq!(NAMES.last().unwrap().0.len(), LONGEST);
        for (name, field) in NAMES.iter().chain(&LONG) {
            assert_eq!(name, &name.to_ascii_lowercase());
            assert_eq!(Field::named(name), Some(*field));
            assert_eq!(Field::named(&name.to_ascii_uppercase()), Some(*field));
            assert_eq!(Field::named(&name[1..]).filter(|_| name.len() > 12), None);
        }
        assert_eq!(Field::named(b"X-Remote-Extra-Scopes"), Some(Field::Secret(Secret::FrontProxyHeader)));
        for other in
            ["", "x", "accept", "x-remote-extr", "x-forwarded-proto", "a-name-that-is-longer-than-any-other"]
        {
            assert_eq!(Field::named(other.as_bytes()), None, "{other}");
        }
    }
}
