//! Many connections at once, in order of time, as one capture.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufWriter, Write};

use anyhow::Result;

/// When the first connection begins, in microseconds since 1970.
const START: u64 = 1_700_000_000_000_000;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub connections: u64,
    pub packets: u64,
    pub bytes: u64,
}

/// One connection being written.
pub trait Script {
    /// Makes `frame` the next packet; returns how many microseconds after the connection's beginning it was seen, never
    /// less than for the one before; `None` when there are no more.
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<u64>;
}

/// Writes connections `0..connections`, one beginning `gap` microseconds after the other.
pub fn write<S: Script>(
    output: impl Write,
    connections: u32,
    gap: u64,
    begin: impl Fn(u32) -> S,
) -> Result<Written> {
    let mut output = BufWriter::with_capacity(1 << 20, output);
    let mut written = Written { connections: connections.into(), packets: 0, bytes: 24 };
    output
        .write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0])?;
    // The next packet of each open connection is ready in its frame; the earliest is on top.
    let mut open: Vec<(S, Vec<u8>, u64)> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut due: BinaryHeap<Reverse<(u64, u32, usize)>> = BinaryHeap::new();
    let mut coming = 0..connections;
    loop {
        while coming.start < connections {
            let begun = START + u64::from(coming.start) * gap;
            if due.peek().is_some_and(|Reverse((time, ..))| *time < begun) {
                break;
            }
            let Some(number) = coming.next() else { break };
            let (mut script, mut frame) = (begin(number), Vec::new());
            let Some(after) = script.next(&mut frame) else { continue };
            let place = free.pop().unwrap_or(open.len());
            if place == open.len() {
                open.push((script, frame, begun));
            } else {
                open[place] = (script, frame, begun);
            }
            due.push(Reverse((begun + after, number, place)));
        }
        let Some(Reverse((time, number, place))) = due.pop() else { break };
        let (script, frame, begun) = &mut open[place];
        let length = u32::try_from(frame.len())?;
        for field in [u32::try_from(time / 1_000_000)?, u32::try_from(time % 1_000_000)?, length, length] {
            output.write_all(&field.to_le_bytes())?;
        }
        output.write_all(frame)?;
        written.packets += 1;
        written.bytes += 16 + u64::from(length);
        match script.next(frame) {
            Some(after) => due.push(Reverse((time.max(*begun + after), number, place))),
            None => free.push(place),
        }
    }
    output.flush()?;
    Ok(written)
}
