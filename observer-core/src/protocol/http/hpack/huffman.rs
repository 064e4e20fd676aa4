//! The Huffman code of HPACK (RFC 7541, appendix B). It is canonical: the lengths give the codes.

/// Code lengths in bits of the symbols 0 to 255; EOS has 30 ones.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26,
];

/// For each length: the first code, the number of codes, and where their symbols begin in `SYMBOLS`.
const ROWS: [(u32, u32, usize); 31] = rows();
const SYMBOLS: [u8; 256] = symbols();

const fn rows() -> [(u32, u32, usize); 31] {
    let mut rows = [(0, 0, 0); 31];
    let mut code = 0;
    let mut index = 0;
    let mut length = 1;
    while length <= 30 {
        code <<= 1;
        let mut count = 0;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                count += 1;
            }
            symbol += 1;
        }
        rows[length] = (code, count, index);
        code += count;
        index += count as usize;
        length += 1;
    }
    rows
}

const fn symbols() -> [u8; 256] {
    let mut symbols = [0; 256];
    let mut next = 0;
    let mut length = 1;
    while length <= 30 {
        let mut symbol = 0u8;
        loop {
            if LENGTHS[symbol as usize] == length {
                symbols[next] = symbol;
                next += 1;
            }
            if symbol == 255 {
                break;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
}

/// Decodes `raw` onto `out`; `None` on a code that is none, EOS, or padding that is not (RFC 7541, section 5.2). The
/// output has at most 8/5 of the input's length.
pub(super) fn decode(raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut code, mut length) = (0u32, 0usize);
    for byte in raw {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            let (first, count, index) = *ROWS.get(length)?;
            if let Some(nth) = code.checked_sub(first).filter(|nth| *nth < count) {
                out.push(*SYMBOLS.get(index + nth as usize)?);
                (code, length) = (0, 0);
            }
        }
    }
    (length < 8 && code == (1 << length) - 1).then_some(())
}
