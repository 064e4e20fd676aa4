//! Redis serialization protocol, versions 2 and 3 (Redis documentation, "Redis serialization protocol
//! specification"). Inline commands are no evidence: any line of text would be one.

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::{Exposed, Protocol};

/// The longest number in a length, and the longest name of a command.
const DIGITS: usize = 7;
const NAME: usize = 24;
/// Words of the first command that are looked at.
const WORDS: u32 = 8;

/// The reader of the first command and its answer.
#[derive(Debug, Default)]
pub(crate) struct Redis {
    words: Option<u32>,
    index: u32,
    hello: bool,
}

impl Redis {
    /// `*N CR LF $M CR LF` and M bytes of a command's name.
    pub(crate) fn detect(client: &[u8]) -> Detect {
        let mut rest = client;
        let mut length = 0;
        for mark in [b'*', b'$'] {
            match rest.first() {
                None => return Detect::NeedMore,
                Some(first) if *first != mark => return Detect::No,
                Some(_) => {}
            }
            match number(rest.get(1..).unwrap_or_default()) {
                Ok((0, _)) => return Detect::No,
                Ok((value, used)) => {
                    length = value;
                    rest = rest.get(1 + used..).unwrap_or_default();
                }
                Err(detect) => return detect,
            }
        }
        if length as usize > NAME {
            return Detect::No;
        }
        let name = rest.get(..rest.len().min(length as usize)).unwrap_or_default();
        if !name.iter().all(|byte| byte.is_ascii_alphabetic() || b"._-".contains(byte)) {
            return Detect::No;
        }
        if name.len() == length as usize { Detect::Yes } else { Detect::NeedMore }
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        let words = match self.words {
            Some(words) => words,
            None => {
                let words = counted(&streams.line(ToServer)?, b'*')?;
                *self.words.insert(words)
            }
        };
        while self.index < words.min(WORDS) {
            let waiting = streams.of(ToServer).bytes();
            let Some(first) = waiting.first() else { return Err(Step::Wait(ToServer)) };
            if *first != b'$' {
                return Err(Step::Reject);
            }
            let (length, used) = match number(waiting.get(1..).unwrap_or_default()) {
                Ok(found) => found,
                Err(Detect::No) => return Err(Step::Reject),
                Err(_) => return Err(Step::Wait(ToServer)),
            };
            let whole = 1 + used + length as usize + 2;
            if length as usize <= NAME {
                let word = streams.peek(ToServer, whole)?.get(1 + used..whole - 2).unwrap_or_default();
                self.hello |= self.index == 0 && word.eq_ignore_ascii_case(b"HELLO");
                // AUTH as the command itself, or as an option of HELLO.
                if (self.index == 0 || self.hello) && word.eq_ignore_ascii_case(b"AUTH") {
                    notes.expose(Exposed::Password);
                }
            }
            streams.skip(ToServer, whole as u64);
            self.index += 1;
        }
        let kind = streams.peek(ToClient, 1)?.first().copied().unwrap_or_default();
        let line = streams.line(ToClient)?;
        let text = line.get(1..).unwrap_or_default();
        let fits = match kind {
            b'+' | b'-' => text.iter().all(|byte| *byte >= b' ' && *byte != 0x7f),
            b':' | b'$' | b'*' | b'%' | b'~' | b'>' => {
                let digits = text.strip_prefix(b"-").unwrap_or(text);
                !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
            }
            b'_' => text.is_empty(),
            b'#' => text == b"t" || text == b"f",
            _ => false,
        };
        if fits { Ok(Step::Settled(Protocol::Redis)) } else { Err(Step::Reject) }
    }
}

/// Digits up to CR LF: their value and how many bytes that were, CR LF included.
fn number(bytes: &[u8]) -> Result<(u32, usize), Detect> {
    let mut value = 0_u32;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' if index < DIGITS => value = value * 10 + u32::from(byte - b'0'),
            b'\r' if index > 0 => {
                return match bytes.get(index + 1) {
                    Some(b'\n') => Ok((value, index + 2)),
                    Some(_) => Err(Detect::No),
                    None => Err(Detect::NeedMore),
                };
            }
            _ => return Err(Detect::No),
        }
    }
    Err(Detect::NeedMore)
}

fn counted(line: &[u8], mark: u8) -> Result<u32, Step> {
    match line.split_first() {
        Some((first, digits)) if *first == mark => {
            core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Step::Reject)
        }
        _ => Err(Step::Reject),
    }
}

impl Reader for Redis {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        Standing::Unproven
    }
}
