//! HTTP CONNECT with HTTP/1 (RFC 9110, section 9.3.6): behind the request and a 2xx answer the streams are a tunnel.
//!
//! Nothing is taken before the answer is known, so that a refused CONNECT is read whole as HTTP.

use crate::flow::Direction::{self, ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Encapsulation, Notes, Reader, Standing, Step, Streams, begins};
use crate::protocol::named::Exposed;
use crate::protocol::prefix::{Claim, claim};

/// The longest head that is looked at; longer ones are left to the reader of HTTP.
const HEAD: usize = 16 * 1024;

/// The reader of one request and its answer.
#[derive(Debug, Default)]
pub(crate) struct HttpConnect {
    /// How far each direction was searched for the end of its head.
    searched: [usize; 2],
    /// The length of interim answers before the final one.
    interim: usize,
}

impl HttpConnect {
    pub(crate) fn detect(client: &[u8]) -> Detect {
        begins(client, b"CONNECT ")
    }

    /// The length of the head that starts at `from`, its empty line included.
    fn head(&mut self, streams: &Streams, direction: Direction, from: usize) -> Result<usize, Step> {
        let bytes = streams.of(direction).bytes();
        let searched = self.searched.get_mut(direction.index()).ok_or(Step::Http)?;
        let start = (*searched).max(from);
        let found =
            bytes.get(start..).unwrap_or_default().windows(4).position(|window| window == b"\r\n\r\n");
        match found {
            Some(at) => {
                *searched = start + at;
                Ok(start + at + 4)
            }
            None if bytes.len() > HEAD => Err(Step::Http),
            None => {
                *searched = bytes.len().saturating_sub(3).max(start);
                Err(Step::Wait(direction))
            }
        }
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        let request = self.head(streams, ToServer, 0)?;
        loop {
            let from = self.interim;
            let status = streams.of(ToClient).bytes().get(from..).unwrap_or_default();
            if begins(status, b"HTTP/1.") == Detect::No {
                return Err(Step::Http);
            }
            let end = self.head(streams, ToClient, from)?;
            let code = streams.of(ToClient).bytes().get(from + 8..from + 12).unwrap_or_default();
            match code {
                [b' ', b'1', b'0' | b'1', b'0'..=b'9'] if code != b" 101" => {
                    self.interim = end;
                    self.searched[1] = end;
                }
                [b' ', b'2', b'0'..=b'9', b'0'..=b'9'] => {
                    self.note(streams, request, notes)?;
                    streams.skip(ToServer, request as u64);
                    streams.skip(ToClient, end as u64);
                    return Ok(Step::Upgraded(Encapsulation::HttpConnect));
                }
                _ => return Err(Step::Http),
            }
        }
    }

    fn note(&self, streams: &Streams, request: usize, notes: &mut Notes) -> Result<(), Step> {
        let head = streams.peek(ToServer, request)?.get(..request).unwrap_or_default();
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
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
        if lines.any(exposes) {
            notes.expose(Exposed::Authorization);
        }
        Ok(())
    }
}

impl Reader for HttpConnect {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        Standing::Http
    }
}
