use std::io::Write;

use observer_core::time::Timestamp;

use super::*;
use crate::pipeline::shard::Wanted;
use crate::source::pcap::Packet;

/// Sends each packet to the shard that its first byte names; 255 nowhere, 254 with another frame in its place.
#[derive(Debug)]
struct ByFirstByte(u32);

impl Router for ByFirstByte {
    type Read = u32;

    fn route(&mut self, packet: &Packet, frame: &[u8]) -> Option<(u8, u32, Wanted)> {
        self.0 += 1;
        match frame[0] {
            255 => None,
            254 => Some((7, self.0, Wanted::Joined(b"\x07joined".to_vec()))),
            shard => Some((shard % SHARDS, self.0, Wanted::Frame(packet.captured / 2..packet.captured))),
        }
    }
}

/// Says everything that happens to it.
struct Teller {
    number: usize,
    packets: u64,
    panics: bool,
}

impl Shard for Teller {
    type Read = u32;
    type Found = String;

    fn packet(&mut self, index: &u32, bytes: &[u8], found: &mut impl FnMut(String)) {
        assert!(!self.panics, "as told to");
        self.packets += 1;
        found(format!("{index} in {}: {} bytes, first {:?}", self.number, bytes.len(), bytes.first()));
        if bytes.len().is_multiple_of(3) {
            found(format!("{index} again"));
        }
    }

    fn advance(&mut self, now: Timestamp, found: &mut impl FnMut(String)) {
        if self.packets > 0 {
            found(format!("{} at {}", self.number, now.0));
        }
    }

    fn finish(self, found: &mut impl FnMut(String)) {
        found(format!("{} had {}", self.number, self.packets));
    }
}

#[derive(Default)]
struct Collector {
    lines: Vec<String>,
    most: Option<usize>,
}

impl Merger<String> for Collector {
    type Error = &'static str;

    fn found(&mut self, found: String) -> Result<(), &'static str> {
        if self.most == Some(self.lines.len()) {
            return Err("full");
        }
        self.lines.push(found);
        Ok(())
    }

    fn pause(&mut self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// A capture of a few blocks, with times that step back and jump.
fn capture() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    bytes.extend([0; 8]);
    bytes.extend([0, 0, 4, 0, 1, 0, 0, 0]);
    let mut random = 7_u32;
    for n in 0..9000_u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + random % 997;
        for field in [n / 1000 + random % 2, random % 1_000_000, length, length] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.push((random >> 8) as u8);
        bytes.resize(bytes.len() + length as usize - 1, n as u8);
    }
    file.write_all(&bytes).unwrap();
    file
}

fn tellers(panics: Option<usize>) -> Vec<Teller> {
    (0..usize::from(SHARDS))
        .map(|number| Teller { number, packets: 0, panics: panics == Some(number) })
        .collect()
}

fn lines(file: &tempfile::NamedTempFile, threads: usize) -> Vec<String> {
    let stream = Stream::open(file.path(), None).unwrap();
    let mut collector = Collector::default();
    let outcome =
        replay(stream, ByFirstByte(0), tellers(None), threads, &Stop::default(), &mut collector).unwrap();
    assert_eq!(outcome.packets, 9000);
    assert!(outcome.error.is_none());
    collector.lines
}

#[test]
fn finds_the_same_in_the_same_order_on_any_number_of_threads() {
    let file = capture();
    let alone = lines(&file, 1);
    assert!(alone.iter().any(|line| line.ends_with("in 7: 7 bytes, first Some(7)")), "frames are replaced");
    assert!(alone.iter().any(|line| line.contains(" at ")), "time is told");
    assert_eq!(alone.iter().filter(|line| line.contains(" had ")).count(), usize::from(SHARDS));
    for threads in [2, 3, 8, 16, 99] {
        assert!(lines(&file, threads) == alone, "{threads} threads");
    }
}

#[test]
fn ends_at_once_when_nobody_takes_the_findings() {
    let file = capture();
    for threads in [1, 2, 8] {
        let stream = Stream::open(file.path(), None).unwrap();
        let mut collector = Collector { most: Some(10), ..Collector::default() };
        let outcome =
            replay(stream, ByFirstByte(0), tellers(None), threads, &Stop::default(), &mut collector);
        assert_eq!(outcome.unwrap_err(), "full");
    }
}

#[test]
fn a_panic_of_a_thread_is_not_hidden() {
    let file = capture();
    for threads in [1, 2, 8] {
        let stream = Stream::open(file.path(), None).unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            replay(
                stream,
                ByFirstByte(0),
                tellers(Some(5)),
                threads,
                &Stop::default(),
                &mut Collector::default(),
            )
            .map(|outcome| outcome.packets)
        }));
        assert!(outcome.is_err(), "{threads} threads");
    }
}
