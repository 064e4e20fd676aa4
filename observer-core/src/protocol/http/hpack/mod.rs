//! Decoding header blocks of HTTP/2 (RFC 7541), bounded.
//!
//! Our own, since the published stand-alone decoders are unmaintained, materialise every field or bound neither
//! table nor output; here a field is lent to the caller and gone.

mod fixed;
mod huffman;

use std::collections::VecDeque;

use fixed::STATIC;

/// Largest dynamic table that an encoder may choose, in bytes as RFC 7541 (section 4.1) counts them.
const MAX_TABLE: usize = 64 * 1024;

/// A block that does not decode: the state of its direction is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HpackError;

type Field = (Box<[u8]>, Box<[u8]>);

/// The decoder of one direction.
#[derive(Debug)]
pub(super) struct Decoder {
    table: VecDeque<Field>,
    size: usize,
    limit: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: VecDeque::new(), size: 0, limit: 4096, name: Vec::new(), value: Vec::new() }
    }
}

impl Decoder {
    /// Decodes a whole block, lending each field to `take`.
    ///
    /// # Errors
    /// If the block is malformed; the table is then no longer the encoder's.
    pub(super) fn decode(
        &mut self,
        mut block: &[u8],
        mut take: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), HpackError> {
        while let Some(first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer(&mut block, 7)?;
                    let (name, value) = self.entry(index)?;
                    take(name, value);
                }
                0x20..=0x3f => {
                    self.limit = integer(&mut block, 5)?;
                    if self.limit > MAX_TABLE {
                        return Err(HpackError);
                    }
                    self.evict();
                }
                _ => {
                    let indexed = *first >= 0x40;
                    let index = integer(&mut block, if indexed { 6 } else { 4 })?;
                    let mut name = core::mem::take(&mut self.name);
                    let mut value = core::mem::take(&mut self.value);
                    name.clear();
                    value.clear();
                    if index == 0 {
                        string(&mut block, &mut name)?;
                    } else {
                        name.extend_from_slice(self.entry(index)?.0);
                    }
                    string(&mut block, &mut value)?;
                    take(&name, &value);
                    if indexed {
                        self.insert(&name, &value);
                    }
                    (self.name, self.value) = (name, value);
                }
            }
        }
        // A huge field is rare: do not keep its room.
        if self.name.capacity() + self.value.capacity() > 8192 {
            (self.name, self.value) = (Vec::new(), Vec::new());
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), HpackError> {
        let index = index.checked_sub(1).ok_or(HpackError)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        self.table.get(index - STATIC.len()).map(|(name, value)| (&**name, &**value)).ok_or(HpackError)
    }

    fn insert(&mut self, name: &[u8], value: &[u8]) {
        self.size += name.len() + value.len() + 32;
        self.table.push_front((name.into(), value.into()));
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.limit
            && let Some((name, value)) = self.table.pop_back()
        {
            self.size -= name.len() + value.len() + 32;
        }
    }

    /// Bytes of heap held.
    pub(super) fn held(&self) -> usize {
        self.size + self.name.capacity() + self.value.capacity() + self.table.capacity() * 32
    }
}

/// An integer with a prefix of `bits` (RFC 7541, section 5.1), at most 2^28.
fn integer(block: &mut &[u8], bits: u32) -> Result<usize, HpackError> {
    let mask = (1usize << bits) - 1;
    let (first, mut rest) = block.split_first().ok_or(HpackError)?;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first().ok_or(HpackError)?;
            rest = after;
            if shift > 21 {
                return Err(HpackError);
            }
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Ok(value)
}

fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let huffman = block.first().ok_or(HpackError)? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (raw, rest) = block.split_at_checked(length).ok_or(HpackError)?;
    *block = rest;
    if huffman {
        return huffman::decode(raw, out).ok_or(HpackError);
    }
    out.extend_from_slice(raw);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
    }

    fn read(decoder: &mut Decoder, hex: &str) -> Vec<String> {
        let mut fields = Vec::new();
        decoder
            .decode(&bytes(hex), |name, value| {
                fields.push(format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
            })
            .unwrap();
        fields
    }

    #[test]
    fn decodes_the_requests_of_rfc_7541_c_3_and_c_4() {
        for blocks in [
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
        ] {
            let mut decoder = Decoder::default();
            let host = ":authority=www.example.com";
            assert_eq!(read(&mut decoder, blocks[0]), [":method=GET", ":scheme=http", ":path=/", host]);
            assert_eq!(
                read(&mut decoder, blocks[1]),
                [":method=GET", ":scheme=http", ":path=/", host, "cache-control=no-cache"]
            );
            assert_eq!(
                read(&mut decoder, blocks[2]),
                [":method=GET", ":scheme=https", ":path=/index.html", host, "custom-key=custom-value"]
            );
            assert_eq!((decoder.table.len(), decoder.size), (3, 164));
        }
    }

    #[test]
    fn decodes_the_fields_of_rfc_7541_c_2() {
        for (block, field, size) in [
            ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key=custom-header", 55),
            ("040c2f73616d706c652f70617468", ":path=/sample/path", 0),
            ("100870617373776f726406736563726574", "password=secret", 0),
            ("82", ":method=GET", 0),
        ] {
            let mut decoder = Decoder::default();
            assert_eq!(read(&mut decoder, block), [field]);
            assert_eq!(decoder.size, size);
        }
    }

    #[test]
    fn decodes_the_responses_of_rfc_7541_c_5_and_c_6_and_evicts() {
        let plain = [
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e17\
             68747470733a2f2f7777772e6578616d706c652e636f6d",
            "4803333037c1c0bf",
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d41\
             53444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f\
             6e3d31",
        ];
        let coded = [
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8\
             e9ae82ae43d3",
            "4883640effc1c0bf",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b\
             3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        ];
        let (private, location) = ("cache-control=private", "location=https://www.example.com");
        let [early, late] = [21, 22].map(|second| format!("date=Mon, 21 Oct 2013 20:13:{second} GMT"));
        let cookie = "set-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        for blocks in [plain, coded] {
            let mut decoder = Decoder { limit: 256, ..Decoder::default() };
            assert_eq!(read(&mut decoder, blocks[0]), [":status=302", private, &early, location]);
            assert_eq!((decoder.table.len(), decoder.size), (4, 222));
            assert_eq!(read(&mut decoder, blocks[1]), [":status=307", private, &early, location]);
            assert_eq!((decoder.table.len(), decoder.size), (4, 222));
            let third = [":status=200", private, &late, location, "content-encoding=gzip", cookie];
            assert_eq!(read(&mut decoder, blocks[2]), third);
            assert_eq!((decoder.table.len(), decoder.size), (3, 215));
        }
    }

    #[test]
    fn refuses_malformed_blocks() {
        for bad in ["80", "be", "ff8080808001", "4105", "3fffffff7f", "0081ff00", "0084ffffffff00"] {
            assert_eq!(Decoder::default().decode(&bytes(bad), |_, _| {}), Err(HpackError), "{bad}");
        }
    }

    #[test]
    fn a_size_update_empties_the_table() {
        let mut decoder = Decoder::default();
        read(&mut decoder, "828684410f7777772e6578616d706c652e636f6d");
        read(&mut decoder, "20");
        assert_eq!((decoder.table.len(), decoder.size), (0, 0));
    }
}
