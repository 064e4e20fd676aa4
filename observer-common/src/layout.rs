//! How a record lies in memory, and how it is read back without trusting its length or alignment.

/// Version of every record; the daemon and the kernel object are built together, so a mismatch means a foreign record.
pub const WIRE_VERSION: u16 = 1;

/// What a record is; the byte at offset 2 of each.
pub mod kind {
    /// [`crate::Announcement`].
    pub const ANNOUNCEMENT: u8 = 1;
    /// [`crate::Event`].
    pub const EVENT: u8 = 2;
    /// [`crate::Handshake`].
    pub const HANDSHAKE: u8 = 3;
    /// [`crate::Payload`].
    pub const PAYLOAD: u8 = 4;
}

/// An integer, or an array of integers, that can lie in a record.
pub trait Field: Sized {
    /// Reads one at `offset`; `None` if the bytes end before it does.
    fn read(bytes: &[u8], offset: usize) -> Option<Self>;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Field for $integer {
            fn read(bytes: &[u8], offset: usize) -> Option<Self> {
                let bytes = bytes.get(offset..)?.first_chunk()?;
                Some(Self::from_ne_bytes(*bytes))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64);

impl<T: Field + Default + Copy, const N: usize> Field for [T; N] {
    fn read(bytes: &[u8], offset: usize) -> Option<Self> {
        let mut all = [T::default(); N];
        for (index, place) in all.iter_mut().enumerate() {
            *place = T::read(bytes, offset + index * size_of::<T>())?;
        }
        Some(all)
    }
}

/// Declares a `repr(C)` record of integers, asserts that it has no hidden padding and the stated size, and gives it
/// `read`, which checks the length and needs no alignment.
macro_rules! record {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident: $size:literal {
            $($(#[$field_attribute:meta])* pub $field:ident: $kind:ty,)*
        }
    ) => {
        $(#[$attribute])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_attribute])* pub $field: $kind,)*
        }

        const _: () = {
            assert!(size_of::<$name>() == $size, concat!(stringify!($name), " has another size than stated"));
            assert!(0 $(+ size_of::<$kind>())* == $size, concat!(stringify!($name), " has hidden padding"));
            assert!(size_of::<$name>().is_multiple_of(8), concat!(stringify!($name), " is not a multiple of 8"));
        };

        impl $crate::layout::Field for $name {
            fn read(bytes: &[u8], offset: usize) -> Option<Self> {
                Self::read(bytes.get(offset..)?)
            }
        }

        impl $name {
            /// Size in bytes.
            pub const SIZE: usize = $size;

            /// Reads one from the front of `bytes`; `None` if they are too few.
            #[must_use]
            pub fn read(bytes: &[u8]) -> Option<Self> {
                if bytes.len() < Self::SIZE {
                    return None;
                }
                Some(Self { $($field: $crate::layout::Field::read(bytes, core::mem::offset_of!(Self, $field))?,)* })
            }
        }
    };
}

pub(crate) use record;

#[cfg(test)]
#[allow(unreachable_pub, reason = "the macro declares what the crate publishes")]
mod tests {
    record! {
        /// Fixture.
        pub struct Sample: 16 {
            /// Fixture.
            pub word: u64,
            /// Fixture.
            pub pair: [u16; 2],
            /// Fixture.
            pub byte: u8,
            /// Fixture.
            pub rest: [u8; 3],
        }
    }

    #[test]
    fn reads_each_field_from_unaligned_bytes() {
        let mut bytes = [0u8; 17];
        bytes[1..9].copy_from_slice(&0x0102_0304_0506_0708_u64.to_ne_bytes());
        bytes[9..11].copy_from_slice(&0x1122_u16.to_ne_bytes());
        bytes[11..13].copy_from_slice(&0x3344_u16.to_ne_bytes());
        bytes[13..17].copy_from_slice(&[9, 8, 7, 6]);
        let sample = Sample::read(&bytes[1..]);
        assert_eq!(
            sample,
            Some(Sample { word: 0x0102_0304_0506_0708, pair: [0x1122, 0x3344], byte: 9, rest: [8, 7, 6] })
        );
    }

    #[test]
    fn rejects_every_short_length() {
        let bytes = [0u8; Sample::SIZE];
        for length in 0..Sample::SIZE {
            assert_eq!(Sample::read(&bytes[..length]), None, "{length} bytes");
        }
    }
}
