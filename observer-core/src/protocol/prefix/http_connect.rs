//! HTTP CONNECT with HTTP/1 (RFC 9110, section 9.3.6): behind the request and a 2xx answer the streams are a tunnel.
//!
//! Nothing is taken before the answer is known, so that a refused CONNECT is read whole as HTTP. A client may ask again
//! on the same connection, with the credentials that a proxy asked for (407); as long as nothing but CONNECT was asked,
//! a tunnel is still to be expected.

use crate::flow::Direction::{self, ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Encapsulation, Notes, Reader, Standing, Step, Streams, begins};
use crate::protocol::named::{Exposed, Protocol};
use crate::protocol::prefix::{Claim, claim};

/// The longest head that is looked at; longer ones are left to the reader of HTTP.
const HEAD: usize = 16 * 1024;
/// The longest body of a refusal that is passed over.
const BODY: usize = 32 * 1024;

/// The reader of one request and its answer.
#[derive(Debug, Default)]
pub(crate) struct HttpConnect {
    /// How far each direction was searched for the end of its head.
    searched: [usize; 2],
    /// Where the present request and the next answer begin, behind refused ones and interim answers.
    begun: [usize; 2],
}

impl HttpConnect {
    pub(crate) fn detect(client: &[u8]) -> Detect {
        begins(client, b"CONNECT ")
    }

    /// Where the head of the present message ends, its empty line included (RFC 9112, section 2.2: LF alone will do).
    fn head(&mut self, streams: &Streams, direction: Direction) -> Result<usize, Step> {
        let bytes = streams.of(direction).bytes();
        let from = self.begun[direction.index()];
        let searched = &mut self.searched[direction.index()];
        let start = (*searched).max(from);
        for end in memchr::memchr_iter(b'\n', bytes.get(start..).unwrap_or_default()) {
            if let [.., b'\n', b'\n'] | [.., b'\n', b'\r', b'\n'] = bytes[from..=start + end] {
                *searched = start + end;
                return Ok(start + end + 1);
            }
        }
        *searched = bytes.len().max(start);
        Err(if bytes.len() > from + HEAD { Step::Http } else { Step::Wait(direction) })
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        loop {
            let asked = streams.of(ToServer).bytes().get(self.begun[0]..).unwrap_or_default();
            match begins(asked, b"CONNECT ") {
                Detect::Yes => {}
                Detect::NeedMore => return Err(Step::Wait(ToServer)),
                Detect::No => return Err(Step::Http),
            }
            let request = self.head(streams, ToServer)?;
            let from = self.begun[1];
            let status = streams.of(ToClient).bytes().get(from..).unwrap_or_default();
            if begins(status, b"HTTP/1.") == Detect::No {
                return Err(Step::Http);
            }
            let end = self.head(streams, ToClient)?;
            let answer = streams.of(ToClient).bytes().get(from..end).unwrap_or_default();
            match answer.get(8..12).unwrap_or_default() {
                [b' ', b'1', b'0' | b'1', b'0'..=b'9'] if answer.get(8..12) != Some(b" 101") => {
                    self.begun[1] = end;
                }
                [b' ', b'2', b'0'..=b'9', b'0'..=b'9'] => {
                    self.note(streams, request, notes)?;
                    streams.skip(ToServer, request as u64);
                    streams.skip(ToClient, end as u64);
                    return Ok(Step::Upgraded(Encapsulation::HttpConnect));
                }
                [b' ', b'3'..=b'5', b'0'..=b'9', b'0'..=b'9'] => {
                    let body = content_length(answer).ok_or(Step::Http)?;
                    streams.peek(ToClient, end + body)?;
                    self.begun = [request, end + body];
                }
                _ => return Err(Step::Http),
            }
        }
    }

    fn note(&self, streams: &Streams, request: usize, notes: &mut Notes) -> Result<(), Step> {
        let head = streams.peek(ToServer, request)?.get(self.begun[0]..request).unwrap_or_default();
        let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let target = first.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let mut says = Claim::new(Encapsulation::HttpConnect);
        let mut parts = target.rsplitn(2, |byte| *byte == b':');
        let port =
            parts.next().and_then(|port| core::str::from_utf8(port).ok()).and_then(|port| port.parse().ok());
        if let (Some(port), Some(host)) = (port, parts.next()) {
            says.name = Some(claim::name(host, port));
        }
        notes.claims.push(says);
        let exposes = |line: &[u8]| {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            name.eq_ignore_ascii_case(b"proxy-authorization") || name.eq_ignore_ascii_case(b"authorization")
        };
        // Credentials may stand in a request that was refused, too.
        let all = streams.peek(ToServer, request)?.get(..request).unwrap_or_default();
        if all.split(|byte| *byte == b'\n').any(exposes) {
            notes.expose(Exposed::Authorization);
        }
        Ok(())
    }
}

/// The length of the body that a refusal says it has, if it is one that can be waited for.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut length = None;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return None;
        }
        if name.eq_ignore_ascii_case(b"content-length") && length.is_none() {
            let value = core::str::from_utf8(value.get(1..)?).ok()?.trim();
            length = Some(value.parse().ok().filter(|length| *length <= BODY)?);
        }
    }
    length
}

impl Reader for HttpConnect {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        // A request without its answer could have opened a tunnel; one that was refused is all there was.
        if self.begun[0] > 0 { Standing::Http } else { Standing::MayUpgrade(Protocol::Http) }
    }
}
