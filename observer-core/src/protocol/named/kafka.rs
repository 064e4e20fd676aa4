//! Apache Kafka: the first request and the answer with its correlation id (Kafka protocol guide, "Protocol
//! Primitives" and "Common Request and Response Structure").
//!
//! The structure is weak, so a name needs all of it: an API that clients begin with, in a version that exists, a
//! small correlation id, a printable client id that fits the length, and an answer with the same correlation id.

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::Protocol;

/// The longest first request.
const LENGTH: u32 = 64 * 1024;

/// The reader of one request and its answer.
#[derive(Debug, Default)]
pub(crate) struct Kafka;

impl Kafka {
    pub(crate) fn detect(client: &[u8]) -> Detect {
        let at = |index: usize| client.get(index).copied();
        if at(0).is_some_and(|byte| byte != 0) || at(1).is_some_and(|byte| byte != 0) {
            return Detect::No;
        }
        let Some(length) = client.first_chunk::<4>().map(|length| u32::from_be_bytes(*length)) else {
            return Detect::NeedMore;
        };
        if !(10..=LENGTH).contains(&length) || at(4).is_some_and(|byte| byte != 0) {
            return Detect::No;
        }
        if at(6).is_some_and(|byte| byte != 0) || at(8).is_some_and(|byte| byte != 0) {
            return Detect::No;
        }
        let versions = match at(5) {
            None => return Detect::NeedMore,
            // Metadata, SaslHandshake, ApiVersions: what clients begin with.
            Some(3) => 0..=13,
            Some(17) => 0..=1,
            Some(18) => 0..=4,
            Some(_) => return Detect::No,
        };
        match at(7) {
            None => return Detect::NeedMore,
            Some(version) if !versions.contains(&version) => return Detect::No,
            Some(_) => {}
        }
        match client.get(12..14).map(|size| u16::from_be_bytes([size[0], size[1]])) {
            None => Detect::NeedMore,
            Some(0xffff) => Detect::Yes,
            Some(size) if size > 255 || u32::from(size) + 10 > length => Detect::No,
            Some(size) => {
                let end = 14 + usize::from(size);
                let name = client.get(14..end.min(client.len())).unwrap_or_default();
                if !name.iter().all(u8::is_ascii_graphic) {
                    Detect::No
                } else if client.len() < end {
                    Detect::NeedMore
                } else {
                    Detect::Yes
                }
            }
        }
    }

    fn advance(streams: &Streams) -> Result<Step, Step> {
        let request = streams.peek(ToServer, 14)?;
        let answer = streams.peek(ToClient, 8)?;
        let length = answer.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length));
        if !(6..=0x0400_0000).contains(&length) || answer.get(4..8) != request.get(8..12) {
            return Err(Step::Reject);
        }
        // ApiVersions and SaslHandshake answer with an error code first: none, or one of the small ones.
        if request.get(5) != Some(&3) {
            let error = streams.peek(ToClient, 10)?.get(8..10).unwrap_or_default();
            if !matches!(error, [0, 0..=120]) {
                return Err(Step::Reject);
            }
        }
        Ok(Step::Settled(Protocol::Kafka))
    }
}

impl Reader for Kafka {
    fn read(&mut self, streams: &mut Streams, _: &mut Notes) -> Step {
        match Self::advance(streams) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        Standing::Unproven
    }
}
