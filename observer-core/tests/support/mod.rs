//! The labelled captures, read without the code under test: a classic pcap reader that sorts by sequence number.
//!
//! It is deliberately naive (no overlaps, no wrap-around): it stands beside the real reassembly, not for it.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod h2;
pub mod spoken;
pub mod talk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use observer_core::flow::Direction;

/// One row of `labels.jsonl`.
pub struct Label(pub serde_json::Value);

impl Label {
    /// A field as text; empty if it is not text.
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    pub fn is(&self, field: &str) -> bool {
        self.0[field].as_bool().unwrap_or_default()
    }
}

/// A run of bytes as one segment first carried them.
pub struct Run {
    pub direction: Direction,
    /// Offset in its stream.
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// Bytes of the opposite stream acknowledged by that segment.
    pub acked: u64,
}

pub struct Conversation {
    pub label: Label,
    /// In capture order, without repeats.
    pub runs: Vec<Run>,
}

impl Conversation {
    /// The whole stream of one direction.
    pub fn stream(&self, direction: Direction) -> Vec<u8> {
        self.sorted(direction).into_iter().flat_map(|run| run.bytes.iter().copied()).collect()
    }

    /// The runs of one direction in stream order.
    pub fn sorted(&self, direction: Direction) -> Vec<&Run> {
        let mut runs: Vec<_> = self.runs.iter().filter(|run| run.direction == direction).collect();
        runs.sort_by_key(|run| run.offset);
        runs
    }
}

/// `../shared/corpus` beside the workspace, if it is there.
pub fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    path.join("labels.jsonl").exists().then_some(path)
}

/// The whole corpus where it is present, else the project's own selection of it, which has many connections in a file.
pub fn captures() -> PathBuf {
    corpus().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures"))
}

/// Every labelled connection of [`captures`] whose label satisfies `wanted`.
pub fn conversations(wanted: impl Fn(&Label) -> bool) -> Vec<Conversation> {
    let captures = captures();
    let labels = std::fs::read_to_string(captures.join("labels.jsonl")).unwrap();
    labels
        .lines()
        .map(|line| Label(serde_json::from_str(line).unwrap()))
        .filter(|label| wanted(label))
        .map(|label| {
            let runs = runs(&std::fs::read(captures.join(label.text("file"))).unwrap(), &label);
            Conversation { label, runs }
        })
        .collect()
}

fn runs(pcap: &[u8], label: &Label) -> Vec<Run> {
    assert_eq!(pcap[..4], [0xd4, 0xc3, 0xb2, 0xa1], "classic little-endian pcap in {}", label.text("file"));
    let client: Option<std::net::Ipv4Addr> = label.0["client_ip"].as_str().map(|ip| ip.parse().unwrap());
    let mut runs = Vec::new();
    let mut isn: [Option<u32>; 2] = [None; 2];
    let mut client_port = None;
    let mut seen: [BTreeMap<u64, usize>; 2] = Default::default();
    let mut rest = &pcap[24..];
    while rest.len() >= 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let frame = &rest[16..16 + length];
        rest = &rest[16 + length..];
        assert_eq!(frame[12..14], [8, 0], "IPv4 in Ethernet");
        let ip = &frame[14..];
        if client.is_some_and(|client| client.octets() != ip[12..16] && client.octets() != ip[16..20]) {
            continue;
        }
        let total = u16::from_be_bytes([ip[2], ip[3]]) as usize;
        let tcp = &ip[usize::from(ip[0] & 15) * 4..total];
        let source_port = u16::from_be_bytes([tcp[0], tcp[1]]);
        let seq = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
        let ack = u32::from_be_bytes(tcp[8..12].try_into().unwrap());
        let (syn, has_ack) = (tcp[13] & 2 != 0, tcp[13] & 16 != 0);
        let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
        if syn && !has_ack {
            client_port = Some(source_port);
        }
        let direction =
            if client_port == Some(source_port) { Direction::ToServer } else { Direction::ToClient };
        if syn {
            isn[direction.index()] = Some(seq);
        }
        if payload.is_empty() {
            continue;
        }
        // Some re-ordered captures show data before the other side's SYN: the first data byte then gives it away.
        let first = isn[direction.index()].map_or(seq, |isn| isn.wrapping_add(1));
        let offset = u64::from(seq.wrapping_sub(first));
        let acked = isn[direction.reversed().index()]
            .filter(|_| has_ack)
            .map_or(u64::MAX, |isn| u64::from(ack.wrapping_sub(isn.wrapping_add(1))));
        if seen[direction.index()].insert(offset, payload.len()).is_none() {
            runs.push(Run { direction, offset, bytes: payload.to_vec(), acked });
        }
    }
    // Trim repeats that a retransmission cut differently.
    for direction in [Direction::ToServer, Direction::ToClient] {
        let mut next = 0;
        let mut order: Vec<usize> = (0..runs.len()).filter(|i| runs[*i].direction == direction).collect();
        order.sort_by_key(|i| runs[*i].offset);
        for i in order {
            let run = &mut runs[i];
            let repeated = usize::try_from(next.max(run.offset) - run.offset).unwrap().min(run.bytes.len());
            run.bytes.drain(..repeated);
            run.offset += repeated as u64;
            next = next.max(run.offset + run.bytes.len() as u64);
        }
    }
    runs.retain(|run| !run.bytes.is_empty());
    runs
}
