//! Percent-encoding (RFC 3986, section 2.1).

/// Longest input that is decoded without an allocation, in bytes.
const SMALL: usize = 256;

/// Calls `see` with `raw` decoded once. Nothing is allocated unless `raw` is long and has something to decode.
pub(super) fn decoded<R>(raw: &[u8], see: impl FnOnce(&[u8]) -> R) -> R {
    let Some(first) = memchr::memchr(b'%', raw) else { return see(raw) };
    let mut small = [0; SMALL];
    let mut large;
    let out = if raw.len() <= SMALL {
        &mut small[..raw.len()]
    } else {
        large = vec![0; raw.len()];
        &mut large[..]
    };
    out[..first].copy_from_slice(&raw[..first]);
    let (mut from, mut to) = (first, first);
    while let Some(byte) = raw.get(from) {
        (out[to], from) = match (byte, digit(raw, from + 1), digit(raw, from + 2)) {
            (b'%', Some(high), Some(low)) => (high << 4 | low, from + 3),
            (byte, ..) => (*byte, from + 1),
        };
        to += 1;
    }
    see(&out[..to])
}

fn digit(raw: &[u8], at: usize) -> Option<u8> {
    char::from(*raw.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_encoded_and_leaves_the_rest() {
        for (raw, plain) in
            [("a", "a"), ("%41%4a%4A", "AJJ"), ("100%", "100%"), ("%4", "%4"), ("%zz%41", "%zzA")]
        {
            decoded(raw.as_bytes(), |out| assert_eq!(out, plain.as_bytes()));
        }
        decoded("%41".repeat(300).as_bytes(), |out| assert_eq!(out, [b'A'; 300]));
    }
}
