//! DNS over TCP (RFC 1035, sections 4.1 and 4.2.2; RFC 7766): one query and the answer with its id and question.

use crate::flow::Direction::{self, ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::Protocol;

/// The reader of one query and its answer.
#[derive(Debug, Default)]
pub(crate) struct Dns;

impl Dns {
    /// Length, header and question of a standard query.
    pub(crate) fn detect(client: &[u8]) -> Detect {
        let at = |index: usize| client.get(index).copied();
        let fits = |index: usize, byte: u8| match index {
            // QR, OPCODE, AA and TC are zero in a query; so are Z and RCODE.
            4 => byte & 0xfe == 0,
            5 => byte & 0xcf == 0,
            // One question, no answer, and at most one authority record (RFC 1995).
            6 | 8 | 9 | 10 => byte == 0,
            7 => byte == 1,
            11 => byte <= 1,
            _ => true,
        };
        if client.len() >= 2 && length(client) < 17 {
            return Detect::No;
        }
        if client.iter().take(12).enumerate().any(|(index, byte)| !fits(index, *byte)) {
            return Detect::No;
        }
        match (at(12), at(13)) {
            (Some(1..), _) | (_, Some(3..)) => return Detect::No,
            (_, None) => return Detect::NeedMore,
            _ => {}
        }
        match question(client) {
            Err(detect) => detect,
            Ok(end) if end > length(client) + 2 => Detect::No,
            Ok(_) => Detect::Yes,
        }
    }

    fn advance(streams: &Streams) -> Result<Step, Step> {
        let query = whole(streams, ToServer)?;
        let asked = question(query).map_err(|_| Step::Reject)?;
        let head = streams.peek(ToClient, 14)?;
        let same = head.get(2..4) == query.get(2..4);
        let flags = head.get(4).copied().unwrap_or_default();
        // The answer: same id, QR set, OPCODE zero.
        if !same || flags & 0xf8 != 0x80 || length(head) < 12 {
            return Err(Step::Reject);
        }
        if head.get(6..8) == Some(&[0, 1]) {
            let answer = streams.peek(ToClient, asked)?;
            let echoed = answer
                .get(14..asked)
                .is_some_and(|echo| echo.eq_ignore_ascii_case(query.get(14..asked).unwrap_or_default()));
            return if echoed { Ok(Step::Settled(Protocol::Dns)) } else { Err(Step::Reject) };
        }
        // Without a question only an error is an answer.
        let error = head.get(5).is_some_and(|flags| flags & 0x0f != 0);
        if error && length(head) == 12 { Ok(Step::Settled(Protocol::Dns)) } else { Err(Step::Reject) }
    }
}

fn length(bytes: &[u8]) -> usize {
    bytes.first_chunk::<2>().map_or(0, |length| usize::from(u16::from_be_bytes(*length)))
}

fn whole(streams: &Streams, direction: Direction) -> Result<&[u8], Step> {
    let length = length(streams.peek(direction, 2)?);
    Ok(streams.peek(direction, 2 + length)?.get(..2 + length).unwrap_or_default())
}

/// Where the question ends, from the start of the length field.
fn question(bytes: &[u8]) -> Result<usize, Detect> {
    let mut at = 14;
    loop {
        match bytes.get(at) {
            None => return Err(Detect::NeedMore),
            Some(0) => break,
            Some(label @ 1..=63) => {
                let label = usize::from(*label);
                let text = bytes.get(at + 1..(at + 1 + label).min(bytes.len())).unwrap_or_default();
                if !text.iter().all(|byte| byte.is_ascii_graphic()) {
                    return Err(Detect::No);
                }
                at += 1 + label;
            }
            Some(_) => return Err(Detect::No),
        }
        if at > 14 + 254 {
            return Err(Detect::No);
        }
    }
    match (bytes.get(at + 1..at + 3), bytes.get(at + 3..at + 5)) {
        (Some([0, 0]), _) => Err(Detect::No),
        // Types up to 258 and the meta types; classes IN, CH, HS and ANY.
        (Some([0 | 1 | 0x80, _]), Some([0, 1 | 3 | 4 | 255])) => Ok(at + 5),
        (Some([0 | 1 | 0x80, _]), None) | (None, _) => Err(Detect::NeedMore),
        _ => Err(Detect::No),
    }
}

impl Reader for Dns {
    fn read(&mut self, streams: &mut Streams, _: &mut Notes) -> Step {
        match Self::advance(streams) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        Standing::Unproven
    }
}
