//! Connections with both ends on this node: the end that dialled tells the bytes, the other one only that it is there
//! and how it ended.

use observer_common::{Config, Mode, Pair, SocketState, direction, reach, step};

use crate::headers::Headers;
use crate::maps::HANDSHAKES;

#[inline(always)]
fn slot(client: u32) -> Option<*mut Pair> {
    HANDSHAKES.get_ptr_mut(Pair::slot(client))
}

/// A first SYN without data leaves a socket that will tell its connection. One that is watched for its command name
/// alone may be disproved, and tells nothing then.
#[inline(always)]
pub unsafe fn dialled(socket: *const SocketState, config: &Config) {
    // SAFETY: the caller checked the pointer; the slot is a map value.
    unsafe {
        if config.pairs == 0
            || (*socket).multipath | (*socket).joins != 0
            || (*socket).reach & !reach::COMMAND == 0
        {
            return;
        }
        if let Some(pair) = slot((*socket).isn_local) {
            (*pair).step = step::NONE;
            (*pair).client = (*socket).isn_local;
            (*pair).step = step::DIALLED;
        }
    }
}

/// A SYN is sent again: what became of the first is not known.
#[inline(always)]
pub unsafe fn repeated(socket: *const SocketState) {
    // SAFETY: as above.
    unsafe {
        if let Some(pair) = slot((*socket).isn_local)
            && (*pair).client == (*socket).isn_local
        {
            (*pair).step = step::NONE;
        }
    }
}

/// A listener answers, watched or not. Whether a watched socket of this node dialled it: then its record is not needed.
#[inline(always)]
pub unsafe fn answers(listener: *const SocketState, headers: &Headers) -> bool {
    let client = headers.ack.wrapping_sub(1);
    // SAFETY: as above.
    unsafe {
        let Some(pair) = slot(client) else { return false };
        if (*pair).client != client || (*pair).step == step::NONE {
            return false;
        }
        if (*pair).step == step::DIALLED {
            (*pair).server = headers.seq;
            (*pair).listener = (*listener).cookie;
            (*pair).step = step::ANSWERED;
        }
        (*pair).server == headers.seq
    }
}

/// The answer reaches the socket that dialled: the cookie of the listener that gave it, if it is of this node.
#[inline(always)]
pub unsafe fn answered(socket: *const SocketState, headers: &Headers) -> u64 {
    // SAFETY: as above.
    unsafe {
        match slot((*socket).isn_local) {
            Some(pair)
                if (*pair).step == step::ANSWERED
                    && (*pair).client == (*socket).isn_local
                    && (*pair).server == headers.seq =>
            {
                (*pair).listener
            }
            _ => 0,
        }
    }
}

/// The connection was announced with the listener's cookie.
#[inline(always)]
pub unsafe fn told(socket: *const SocketState) {
    // SAFETY: as above.
    unsafe {
        if let Some(pair) = slot((*socket).isn_local)
            && (*pair).client == (*socket).isn_local
        {
            (*pair).step = step::TOLD;
        }
    }
}

/// Whether the third segment of a handshake, at the listener, is of a connection that is told by its other end.
#[inline(always)]
pub unsafe fn is_told(headers: &Headers) -> bool {
    let client = headers.seq.wrapping_sub(1);
    // SAFETY: as above.
    unsafe { slot(client).is_some_and(|pair| (*pair).is_told(client, headers.ack.wrapping_sub(1))) }
}

/// An accepted socket that nothing else makes watched shows its first packet: whether it is the other end of a socket of
/// this node that is watched. Where the first bytes came with the handshake, its numbers are not in this packet, and the
/// end stays unknown.
#[inline(always)]
pub unsafe fn is_other_end<const DIRECTION: u8>(socket: *const SocketState, headers: &Headers) -> bool {
    let (seq, ack) = (headers.seq.wrapping_sub(1), headers.ack.wrapping_sub(1));
    let (client, server) = if DIRECTION == direction::IN { (seq, ack) } else { (ack, seq) };
    // SAFETY: as above.
    unsafe {
        slot(client)
            .is_some_and(|pair| (*pair).is_told(client, server) && (*pair).listener == (*socket).listener)
    }
}

/// An accepted socket shows its first packet: whether its other end tells the bytes.
#[inline(always)]
pub unsafe fn accepted(socket: *mut SocketState) {
    // SAFETY: as above.
    unsafe {
        if let Some(pair) = slot((*socket).isn_remote)
            && (*pair).is_told((*socket).isn_remote, (*socket).isn_local)
            && (*pair).listener == (*socket).listener
        {
            (*pair).step = step::NONE;
            (*socket).paired = 1;
            (*socket).mode = Mode::ENOUGH;
        }
    }
}
