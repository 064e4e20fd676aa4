//! TLS connections that carry much.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::frame::{ACK, FIN, PSH, Segment};
use super::mix::Script;
use super::short_tls::{ends, templates};
use super::template::{Ends, Template};

/// Bytes that a server sends on one connection, in records.
const AMOUNT: u32 = 4 << 20;
/// Ciphertext of one record.
const RECORD: usize = 16_384 + 17;
/// Payload of one segment.
const SEGMENT: usize = 1448;
/// Microseconds between two packets.
const STEP: u64 = 10;

/// Connections that begin like a captured one and then carry records from the server to the client.
pub fn connections() -> Result<impl Fn(u32) -> Download> {
    let template = templates()?.into_iter().find(|it| it.state().is_some_and(|state| state.tls13));
    let template = template.context("the fixtures hold no TLS 1.3 connection")?;
    let state = template.state().context("a connection without segments")?;
    let mut records = Vec::new();
    let amount = usize::try_from(AMOUNT).unwrap_or_default();
    while records.len() < amount {
        records.extend([23, 3, 3]);
        records.extend(u16::try_from(RECORD).unwrap_or_default().to_be_bytes());
        let filled = u64::try_from(records.len()).unwrap_or_default();
        // What is encrypted looks like noise.
        let mut noise = filled | 1;
        records.extend((0..RECORD).map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            noise.to_be_bytes()[0]
        }));
    }
    let records: Arc<[u8]> = records.into();
    Ok(move |number| {
        let ends = ends(number);
        Download {
            template: Arc::clone(&template),
            records: Arc::clone(&records),
            ports: state.ports,
            ends,
            next: state.next,
            place: 0,
            sent: 0,
            unacknowledged: 0,
            ending: 0,
            time: 0,
        }
    })
}

/// One such connection.
pub struct Download {
    template: Arc<Template>,
    records: Arc<[u8]>,
    ports: [u16; 2],
    ends: Ends,
    /// The next sequence number of the client, and of the server, before their shift.
    next: [u32; 2],
    place: usize,
    sent: usize,
    unacknowledged: u8,
    ending: u8,
    time: u64,
}

impl Download {
    fn segment(&self, from_client: bool, flags: u8, payload: &[u8], frame: &mut Vec<u8>) {
        let numbers = [0, 1].map(|at| self.next[at].wrapping_add(self.ends.shift[at]));
        let mut ends: [(Ipv4Addr, u16); 2] =
            [(self.ends.client, self.ports[0]), (self.ends.server, self.ports[1])];
        let (seq, ack) = if from_client {
            (numbers[0], numbers[1])
        } else {
            ends.reverse();
            (numbers[1], numbers[0])
        };
        Segment { ends, seq, ack, flags, payload }.put(frame);
    }
}

impl Script for Download {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<u64> {
        if self.place < self.template.open() {
            let after = self.template.play(self.place, self.ends, frame);
            self.place += 1;
            self.time = after.unwrap_or(self.time);
            return after;
        }
        self.time += STEP;
        if self.unacknowledged == 2 {
            self.unacknowledged = 0;
            self.segment(true, ACK, &[], frame);
        } else if self.sent < self.records.len() {
            let end = self.records.len().min(self.sent + SEGMENT);
            let payload = &self.records[self.sent..end];
            self.segment(false, PSH | ACK, payload, frame);
            self.next[1] = self.next[1].wrapping_add(u32::try_from(payload.len()).unwrap_or_default());
            self.sent = end;
            self.unacknowledged += 1;
        } else {
            match self.ending {
                0 => self.segment(true, FIN | ACK, &[], frame),
                1 => self.segment(false, FIN | ACK, &[], frame),
                2 => self.segment(true, ACK, &[], frame),
                _ => return None,
            }
            if let Some(next) = self.next.get_mut(usize::from(self.ending)) {
                *next = next.wrapping_add(1);
            }
            self.ending += 1;
        }
        Some(self.time)
    }
}
