//! A request target taken apart, without its secrets.

use super::super::exposed::{Exposed, Secret};
use super::class::{self, HOST};
use super::credential;
use super::path::{cut, path};
use super::percent::decoded;
use super::text::text;

/// A request target taken apart; strings only where they are kept.
#[derive(Debug, Default)]
pub(in super::super) struct Target {
    pub(in super::super) path: Option<String>,
    pub(in super::super) authority: Option<String>,
    pub(in super::super) scheme: Option<&'static str>,
    pub(in super::super) has_query: bool,
}

/// Takes apart a request target in origin, absolute or asterisk form (RFC 9112, section 3.2).
pub(in super::super) fn target(raw: &[u8], exposed: &mut Exposed, keep: bool) -> Target {
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
        target.authority = authority(&after[..end], exposed, keep);
        rest = &after[end..];
    }
    let end = memchr::memchr2(b'?', b'#', rest).unwrap_or(rest.len());
    if rest.get(end) == Some(&b'?') {
        target.has_query = true;
        query(&rest[end + 1..], exposed);
    }
    target.path = if end == 0 { keep.then(|| String::from("/")) } else { path(&rest[..end], exposed, keep) };
    target
}

/// Host and port without `user:password@`.
pub(in super::super) fn authority(raw: &[u8], exposed: &mut Exposed, keep: bool) -> Option<String> {
    let host = match memchr::memrchr(b'@', raw) {
        Some(at) => {
            exposed.insert(Secret::Userinfo);
            &raw[at + 1..]
        }
        None => raw,
    };
    // Whatever is not a host, a port or an IPv6 literal has no business in this place.
    let (host, _) = cut(host, |b| !class::is(b, HOST));
    text(&host[..host.len().min(255)], exposed, keep)
}

/// Notes credentials among the parameters; keeps nothing.
fn query(raw: &[u8], exposed: &mut Exposed) {
    for pair in raw.split(|b| matches!(b, b'&' | b';' | b'?')) {
        let equals = memchr::memchr(b'=', pair);
        let value = equals.map_or(&[][..], |at| &pair[at + 1..]);
        if credential::is_key(&pair[..equals.unwrap_or(pair.len())])
            || value.len() >= credential::SHORTEST && decoded(value, credential::is_token)
        {
            exposed.insert(Secret::QueryCredential);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_absolute_target_apart() {
        let mut exposed = Exposed::default();
        let target = target(b"http://user:pw@web.example:80/a?token=x#f", &mut exposed, true);
        assert_eq!(target.path.as_deref(), Some("/a"));
        assert_eq!(target.authority.as_deref(), Some("web.example:80"));
        assert!(target.has_query);
        assert!(exposed.contains(Secret::Userinfo) && exposed.contains(Secret::QueryCredential));
    }

    #[test]
    fn names_a_token_by_its_looks_under_any_key() {
        for (query, is) in [
            ("x=eyJhbGciOiJub25lIn0.e30.", true),
            ("x=%65yJhbGciOiJub25lIn0.e30.", true),
            ("a=1&to%6ben=short", true),
            ("timeout=30s&watch=true", false),
            ("continue=abc", false),
        ] {
            let mut exposed = Exposed::default();
            target(format!("/p?{query}").as_bytes(), &mut exposed, false);
            assert_eq!(exposed.contains(Secret::QueryCredential), is, "{query}");
        }
    }
}
