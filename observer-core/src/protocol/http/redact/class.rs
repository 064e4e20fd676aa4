//! What bytes are good for, one look-up each.

/// A token byte (RFC 9110, section 5.6.2).
pub(in super::super) const TOKEN: u8 = 1;
/// A byte that a request target may hold: no white space, no control byte. Bytes above ASCII are tolerated as servers
/// do.
pub(in super::super) const TARGET: u8 = 1 << 1;
/// Ends a piece of a path segment or query.
pub(in super::super) const PATH_STOP: u8 = 1 << 2;
/// Ends a piece of a field value.
pub(in super::super) const TEXT_STOP: u8 = 1 << 3;
/// May stand within a run that looks like chance.
pub(in super::super) const RUN: u8 = 1 << 4;

/// Of a host, a port or an IPv6 literal.
pub(in super::super) const HOST: u8 = 1 << 5;

/// The classes of each byte.
const CLASS: [u8; 256] = classes();

/// Whether `byte` is of one of `classes`.
pub(in super::super) const fn is(byte: u8, classes: u8) -> bool {
    CLASS[byte as usize] & classes != 0
}

const fn among(byte: u8, set: &[u8]) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0u8;
    loop {
        let mut class = 0;
        let plain = byte.is_ascii_alphanumeric();
        if plain || among(byte, b"!#$%&'*+-.^_`|~") {
            class |= TOKEN;
        }
        if byte > b' ' && byte != 0x7f {
            class |= TARGET;
        }
        if among(byte, b"?&;=,:/@ ") {
            class |= PATH_STOP;
        }
        if among(byte, b"?&;=,:/@()\" \t") {
            class |= TEXT_STOP;
        }
        if plain || among(byte, b"-_+~") {
            class |= RUN;
        }
        if plain || among(byte, b".:-_[]%*") {
            class |= HOST;
        }
        classes[byte as usize] = class;
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}
