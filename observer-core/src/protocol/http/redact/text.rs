//! Field values as text, without tokens.

use std::borrow::Cow;

use super::super::exposed::{Exposed, Secret};
use super::class::{self, TEXT_STOP};
use super::credential;
use super::path::{MARK, cut, has_mark, is_printable};
use super::percent::decoded;

/// Longest value that is looked at and kept, in bytes.
const MAX: usize = 256;

/// Judges a field's value, and copies it, bounded and without tokens, if it is to be kept; `None` if nothing is left.
pub(in super::super) fn text(raw: &[u8], exposed: &mut Exposed, keep: bool) -> Option<String> {
    let raw = raw.trim_ascii();
    // Words are judged whole: one that the bound cuts is left out.
    let bounded = match raw.get(..MAX) {
        Some(head) if raw.get(MAX).is_some_and(|b| !matches!(b, b' ' | b'\t')) => {
            &head[..memchr::memrchr2(b' ', b'\t', head).unwrap_or(0)]
        }
        Some(head) => head,
        None => raw,
    };
    let mut out = keep.then(|| String::with_capacity(bounded.len()));
    let (mut copied, mut start, mut after_scheme) = (0, 0, false);
    while start < bounded.len() {
        let (word, _) = cut(&bounded[start..], |b| b == b' ' || b == b'\t');
        let end = start + word.len();
        if is_secret(word) || after_scheme && !word.is_empty() {
            exposed.insert(Secret::PathCredential);
            if let Some(out) = &mut out {
                push_text(out, &bounded[copied..start]);
                out.push_str(MARK);
                copied = end;
            }
        }
        after_scheme = match word.len() {
            6 => word.eq_ignore_ascii_case(b"bearer"),
            5 => word.eq_ignore_ascii_case(b"basic"),
            _ => false,
        };
        start = end + 1;
    }
    let mut out = out?;
    push_text(&mut out, &bounded[copied..]);
    out.truncate(out.trim_end().len());
    (!out.is_empty()).then_some(out)
}

fn is_secret(word: &[u8]) -> bool {
    let judge = |word: &[u8]| {
        word.split(|b| class::is(*b, TEXT_STOP))
            .filter(|piece| piece.len() >= credential::SHORTEST)
            .any(|piece| credential::is_token(piece) || credential::is_random(piece))
    };
    word.len() >= credential::SHORTEST && if has_mark(word) { decoded(word, judge) } else { judge(word) }
}

/// Appends bytes as printable text: what is not UTF-8 or controls a terminal becomes U+FFFD.
pub(super) fn push_text(out: &mut String, raw: &[u8]) {
    if is_printable(raw)
        && let Ok(plain) = core::str::from_utf8(raw)
    {
        out.push_str(plain);
        return;
    }
    out.extend(
        String::from_utf8_lossy(raw)
            .chars()
            .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }),
    );
}

/// A media type, protocol name or the like: token bytes and `/`, lower case, up to the first other byte.
pub(in super::super) fn name(raw: &[u8]) -> Option<String> {
    let raw = raw.trim_ascii();
    let end =
        raw.iter().position(|b| !(b.is_ascii_alphanumeric() || b"/+.-_".contains(b))).unwrap_or(raw.len());
    let name = &raw[..end];
    let fits = !name.is_empty()
        && name.len() <= 96
        && !name.split(|b| *b == b'/').any(|p| credential::is_token(p) || credential::is_random(p));
    fits.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// A method that may be told.
pub(in super::super) fn method(raw: &[u8], keep: bool) -> Cow<'static, str> {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    if !keep {
        return Cow::Borrowed("");
    }
    if let Some(known) = KNOWN.iter().find(|known| known.as_bytes() == raw) {
        return Cow::Borrowed(known);
    }
    let fits = raw.len() <= 20 && raw.iter().all(|b| b.is_ascii_uppercase() || *b == b'-' || *b == b'_');
    if fits { Cow::Owned(String::from_utf8_lossy(raw).into_owned()) } else { Cow::Borrowed("[unrecognised]") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(raw: &str) -> Option<String> {
        let (mut with, mut without) = (Exposed::default(), Exposed::default());
        let out = text(raw.as_bytes(), &mut with, true);
        assert_eq!(text(raw.as_bytes(), &mut without, false), None);
        assert_eq!(with, without);
        out
    }

    #[test]
    fn keeps_what_programs_call_themselves() {
        for kept in [
            "kube-apiserver/v1.34.4 (linux/amd64) kubernetes/3f2a1b0",
            "Go-http-client/1.1",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "ELB-HealthChecker/2.0",
        ] {
            assert_eq!(told(kept).as_deref(), Some(kept));
        }
        assert_eq!(told(" \t "), None);
    }

    #[test]
    fn takes_tokens_out() {
        assert_eq!(told("x Bearer abc y").as_deref(), Some("x Bearer [redacted] y"));
        assert_eq!(told("x/Zq7vX2mP9tKc4RbW8sLd3NfH").as_deref(), Some("[redacted]"));
        assert_eq!(told("x%2FZq7vX2mP9tKc4RbW8sLd3NfH ok").as_deref(), Some("[redacted] ok"));
    }

    #[test]
    fn a_word_cut_by_the_bound_is_left_out() {
        let long = format!("{} Zq7vX2mP9tKc4RbW8sLd3NfH", "ab ".repeat(80));
        assert_eq!(told(&long).unwrap(), "ab ".repeat(80).trim_end());
        assert_eq!(told(&"x".repeat(300)), None);
        let fits = format!("{} cd ef", "a".repeat(253));
        assert_eq!(told(&fits).unwrap(), format!("{} cd", "a".repeat(253)));
    }
}
