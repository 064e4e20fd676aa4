//! SSH: the identification strings of both sides (RFC 4253, section 4.2).

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Notes, Reader, Standing, Step, Streams, begins};
use crate::protocol::named::Protocol;

/// The longest identification string, CR LF included (RFC 4253, section 4.2).
const BANNER: usize = 255;
/// Lines that a server may send before its identification string.
const LINES: u8 = 50;

/// What both sides said of themselves; printable ASCII, at most 255 characters, anything else as `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The client's identification string without `SSH-`, such as `2.0-OpenSSH_9.2p1`.
    pub client: Option<String>,
    /// The server's.
    pub server: Option<String>,
}

impl Summary {
    pub(crate) fn memory(&self) -> usize {
        [&self.client, &self.server].into_iter().flatten().map(String::capacity).sum()
    }
}

/// The reader of the two strings.
#[derive(Debug, Default)]
pub(crate) struct Ssh {
    /// The client's string was read, or will never come.
    client: bool,
    lines: u8,
}

impl Ssh {
    /// Whether a stream begins with an identification string.
    pub(crate) fn detect(bytes: &[u8]) -> Detect {
        match (begins(bytes, b"SSH-2.0-"), begins(bytes, b"SSH-1.")) {
            (Detect::Yes, _) | (_, Detect::Yes) => Detect::Yes,
            (Detect::No, Detect::No) => Detect::No,
            _ => Detect::NeedMore,
        }
    }

    /// For a client that left without a word.
    pub(crate) const fn server_only() -> Self {
        Self { client: true, lines: 0 }
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        if !self.client {
            let line = streams.line(ToServer)?;
            let summary = notes.ssh.get_or_insert_default();
            summary.client = Some(banner(&line).ok_or(Step::Reject)?);
            self.client = true;
        }
        while self.lines < LINES {
            let line = streams.line(ToClient)?;
            self.lines += 1;
            if line.starts_with(b"SSH-") {
                let summary = notes.ssh.get_or_insert_default();
                summary.server = Some(banner(&line).ok_or(Step::Reject)?);
                return Ok(Step::Settled(Protocol::Ssh));
            }
        }
        Ok(Step::Reject)
    }
}

/// The text of an identification line, if it is one.
pub(crate) fn banner(line: &[u8]) -> Option<String> {
    let text = line.strip_prefix(b"SSH-")?;
    let version = text.starts_with(b"2.0-") || text.starts_with(b"1.");
    (version && line.len() <= BANNER).then(|| {
        text.iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' })
            .collect()
    })
}

impl Reader for Ssh {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        // A whole identification string of the client is unmistakable, whoever is (not) at the other end.
        if self.client && self.lines == 0 { Standing::Spoken(Protocol::Ssh) } else { Standing::Unproven }
    }
}
