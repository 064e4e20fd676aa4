//! The newer capture format (pcapng): sections of blocks, each section with its own byte order and interfaces
//! (draft-ietf-opsawg-pcapng).

use super::damage::Fault;
use super::interface::Interface;
use super::order::Order;
use super::packet::Packet;
use super::{MAX_BLOCK, MAX_PACKET};
use observer_core::time::Timestamp;

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
/// Obsolete, still written by old tools.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const MAX_INTERFACES: u32 = 1 << 16;

/// The section that is being read.
#[derive(Clone, Debug)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
    /// Interfaces in all sections so far.
    described: u32,
    /// When the packet before was captured; simple packets have no time of their own.
    time: Timestamp,
}

/// What lies at a place.
pub(super) enum Block {
    /// A packet; the next block begins at the second value.
    Packet(Packet, usize),
    /// Something else that was read whole; the next block begins there.
    Other(usize),
    /// A block of `length` bytes that holds nothing of use and need not be there whole.
    Skip { length: u32 },
}

impl Section {
    /// Before the first section header.
    pub(super) fn before_first() -> Self {
        Self { order: Order::Little, interfaces: Vec::new(), described: 0, time: Timestamp(0) }
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// Reads the block at `at` in `bytes`; `None` if not enough of it is there.
    pub(super) fn block(&mut self, bytes: &[u8], at: usize) -> Option<Result<Block, Fault>> {
        let rest = bytes.get(at..)?;
        if rest.len() < 8 {
            return None;
        }
        // The section header's type reads the same in both byte orders.
        let kind = self.order.u32(rest, 0);
        if kind == SECTION_HEADER {
            return self.begin(rest, at);
        }
        let length = self.order.u32(rest, 4);
        let least = match kind {
            INTERFACE_DESCRIPTION => 20,
            PACKET | ENHANCED_PACKET => 32,
            SIMPLE_PACKET => 16,
            _ => 12,
        };
        if length < least || !length.is_multiple_of(4) {
            return Some(Err(Fault::BlockLength { length }));
        }
        if !matches!(kind, INTERFACE_DESCRIPTION | PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
            return Some(Ok(Block::Skip { length }));
        }
        if length > MAX_BLOCK {
            return Some(Err(Fault::BlockLength { length }));
        }
        let block = rest.get(..length as usize)?;
        if let Err(fault) = self.check_trailer(block, length) {
            return Some(Err(fault));
        }
        let end = at + block.len();
        let body = block.get(8..block.len() - 4).unwrap_or_default();
        Some(match kind {
            INTERFACE_DESCRIPTION => self.describe(body).map(|()| Block::Other(end)),
            _ => self.packet(kind, body, at + 8).map(|packet| Block::Packet(packet, end)),
        })
    }

    /// Whether the length behind a whole block is that in front of it.
    fn check_trailer(&self, block: &[u8], leading: u32) -> Result<(), Fault> {
        let trailing = self.order.u32(block, block.len().saturating_sub(4));
        if leading == trailing { Ok(()) } else { Err(Fault::TrailingLength { leading, trailing }) }
    }

    fn begin(&mut self, rest: &[u8], at: usize) -> Option<Result<Block, Fault>> {
        let mark = rest.get(8..)?.first_chunk::<4>()?;
        let order = match *mark {
            [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
            [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
            _ => return Some(Err(Fault::ByteOrder)),
        };
        let length = order.u32(rest, 4);
        if length < 28 || !length.is_multiple_of(4) || length > MAX_BLOCK {
            return Some(Err(Fault::BlockLength { length }));
        }
        let block = rest.get(..length as usize)?;
        self.order = order;
        if let Err(fault) = self.check_trailer(block, length) {
            return Some(Err(fault));
        }
        let (major, minor) = (order.u16(block, 12), order.u16(block, 14));
        if major != 1 {
            return Some(Err(Fault::Version { major, minor }));
        }
        self.interfaces.clear();
        Some(Ok(Block::Other(at + block.len())))
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), Fault> {
        if self.described == MAX_INTERFACES {
            return Err(Fault::TooManyInterfaces);
        }
        self.interfaces.push(Interface::describe(self.order, body, self.described));
        self.described += 1;
        Ok(())
    }

    /// Reads a packet block whose body begins at `at`.
    fn packet(&mut self, kind: u32, body: &[u8], at: usize) -> Result<Packet, Fault> {
        let order = self.order;
        let number = match kind {
            ENHANCED_PACKET => order.u32(body, 0),
            PACKET => u32::from(order.u16(body, 0)),
            _ => 0,
        };
        let interface = usize::try_from(number)
            .ok()
            .and_then(|number| self.interfaces.get(number))
            .ok_or(Fault::UnknownInterface { interface: number })?;
        let (header, captured, original) = if kind == SIMPLE_PACKET {
            let original = order.u32(body, 0);
            let limit = if interface.snap_length == 0 { u32::MAX } else { interface.snap_length };
            // The padding cannot be told from the packet, so the captured length follows from the other two.
            let room = u32::try_from(body.len().saturating_sub(4)).unwrap_or(u32::MAX);
            (4, original.min(limit).min(room), original)
        } else {
            let ticks = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
            self.time = interface.time(ticks);
            (20, order.u32(body, 12), order.u32(body, 16))
        };
        if captured > MAX_PACKET {
            return Err(Fault::PacketTooLong { length: captured });
        }
        if body.len() - header < captured as usize {
            return Err(Fault::BlockLength { length: captured });
        }
        Ok(Packet {
            time: self.time,
            start: u32::try_from(at + header).unwrap_or(u32::MAX),
            captured,
            original: original.max(captured),
            interface: interface.number,
            link: interface.link,
        })
    }
}
