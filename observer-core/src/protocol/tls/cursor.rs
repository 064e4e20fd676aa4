//! A reader over borrowed bytes that never reads past their end.

/// The bytes ended before the field did, or a length contradicts its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|b| b[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    pub(super) fn u24(&mut self) -> Result<usize, Malformed> {
        self.take(3).map(|b| usize::from(b[0]) << 16 | usize::from(b[1]) << 8 | usize::from(b[2]))
    }

    /// A vector with a one-byte length.
    pub(super) fn vec8(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u8()?.into();
        self.take(length)
    }

    /// A vector with a two-byte length.
    pub(super) fn vec16(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u16()?.into();
        self.take(length)
    }

    /// A vector with a three-byte length.
    pub(super) fn vec24(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u24()?;
        self.take(length)
    }
}

/// The two-byte code points in `bytes`; an odd last byte is left out.
pub(super) fn code_points(bytes: &[u8]) -> Box<[u16]> {
    bytes.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_to_read_past_the_end() {
        let mut cursor = Cursor::new(&[0, 3, 1, 2]);
        assert_eq!(cursor.vec16(), Err(Malformed));
        assert_eq!(Cursor::new(&[0, 0, 1, 9]).vec24(), Ok(&[9][..]));
        assert_eq!(Cursor::new(&[0, 0]).u24(), Err(Malformed));
    }
}
