//! Finding the next message head by its looks, after bytes were missing.

use memchr::{memchr, memmem};

/// Longest line that is looked at; of a longer one only the end is kept.
const MAX_LINE: usize = 16 * 1024;

const METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE"];

/// Reads lines until one ends like the first line of a head. A body does not end in a line end, so the head may
/// begin within the line.
#[derive(Debug, Default)]
pub(super) struct Seek {
    line: Vec<u8>,
}

impl Seek {
    /// Looks through `bytes`. If a first line ends in them: how many bytes to it, and the line with its end.
    pub(super) fn find(
        &mut self,
        bytes: &[u8],
        first_line: impl Fn(&[u8]) -> Option<usize>,
    ) -> Option<(usize, Vec<u8>)> {
        let mut at = 0;
        while at < bytes.len() {
            let Some(end) = memchr(b'\n', &bytes[at..]).map(|n| at + n + 1) else {
                self.keep(&bytes[at..]);
                return None;
            };
            self.keep(&bytes[at..end]);
            at = end;
            if let Some(start) = first_line(&self.line) {
                let found = self.line.split_off(start);
                self.line.clear();
                return Some((at, found));
            }
            self.line.clear();
        }
        None
    }

    fn keep(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(MAX_LINE)..];
        if self.line.len() + bytes.len() > 2 * MAX_LINE {
            let surplus = self.line.len().saturating_sub(MAX_LINE);
            self.line.drain(..surplus);
        }
        self.line.extend_from_slice(bytes);
    }

    pub(super) fn held(&self) -> usize {
        self.line.capacity()
    }
}

/// Where in `line` a request line begins that reaches to its end.
pub(super) fn request_line(line: &[u8]) -> Option<usize> {
    let body = line.strip_suffix(b"\n")?;
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    let rest = body.strip_suffix(b" HTTP/1.1").or_else(|| body.strip_suffix(b" HTTP/1.0"))?;
    let space = memchr::memrchr(b' ', rest)?;
    let target = rest.get(space + 1..)?;
    let fits = matches!(target.first(), Some(b'/' | b'*')) || memmem::find(target, b":").is_some();
    let before = &rest[..space];
    let method = METHODS.iter().filter(|method| before.ends_with(method)).map(|method| method.len()).max()?;
    fits.then(|| before.len() - method)
}

/// Where in `line` a status line begins.
pub(super) fn status_line(line: &[u8]) -> Option<usize> {
    let at = memmem::rfind(line, b"HTTP/1.")?;
    (super::detect::status_line(&line[at..]) == crate::protocol::Detect::Yes).then_some(at)
}
