//! Fingerprints that were made lately.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use crate::protocol::tls::{ClientHello, ServerHello};

/// Numbers that are remembered, two bytes each.
const MOST: usize = 128 << 10;
/// The numbers of one hello that are worth remembering.
const LONGEST: usize = 1024;

/// Fingerprints of hellos. Programs of one kind send hellos alike in all that a fingerprint is made of, so most need no
/// hashing. What is found is what would be made anew.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    known: HashMap<Box<[u16]>, [Arc<str>; 2], RandomState>,
    /// Numbers among the keys.
    numbers: usize,
    scratch: Vec<u16>,
}

impl Fingerprints {
    /// JA3 and JA4 of a ClientHello.
    pub(super) fn client(&mut self, hello: &ClientHello) -> [Arc<str>; 2] {
        // Everything that either is made of, each list behind its length.
        self.scratch.clear();
        self.scratch.extend([1, hello.legacy_version.0]);
        for list in
            [&hello.ciphers, &hello.extensions, &hello.groups, &hello.versions, &hello.signature_algorithms]
        {
            self.scratch.push(u16::try_from(list.len()).unwrap_or(u16::MAX));
            self.scratch.extend_from_slice(list);
        }
        for list in [&hello.point_formats, &hello.first_protocol] {
            self.scratch.push(u16::try_from(list.len()).unwrap_or(u16::MAX));
            self.scratch.extend(list.iter().copied().map(u16::from));
        }
        self.remembered(|| [hello.ja3().into(), hello.ja4().into()])
    }

    /// JA3S of a ServerHello.
    pub(super) fn server(&mut self, hello: &ServerHello) -> Arc<str> {
        self.scratch.clear();
        self.scratch.extend([2, hello.legacy_version.0, hello.cipher.0]);
        self.scratch.extend_from_slice(&hello.extensions);
        let [ja3s, _] = self.remembered(|| [hello.ja3s().into(), Arc::default()]);
        ja3s
    }

    fn remembered(&mut self, make: impl FnOnce() -> [Arc<str>; 2]) -> [Arc<str>; 2] {
        if let Some(made) = self.known.get(&*self.scratch) {
            return made.clone();
        }
        let made = make();
        if self.scratch.len() <= LONGEST {
            // An entry's own room counts as a hundred numbers.
            let size = self.scratch.len() + 100;
            if self.numbers + size > MOST {
                self.known.clear();
                self.numbers = 0;
            }
            self.numbers += size;
            self.known.insert(self.scratch.as_slice().into(), made.clone());
        } else {
            self.scratch = Vec::new();
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(number: u16) -> ClientHello {
        ClientHello {
            ciphers: (0..number % 7).map(|n| n * 3 + number).collect(),
            extensions: (0..number % 5).map(|n| n + number).collect(),
            groups: (0..number % 3).collect(),
            versions: (0x0301..0x0301 + number % 4).collect(),
            first_protocol: vec![b'h'; usize::from(number % 2)].into(),
            ..ClientHello::default()
        }
    }

    #[test]
    fn what_is_remembered_is_what_would_be_made_and_never_grows_beyond_its_bound() {
        let mut fingerprints = Fingerprints::default();
        for _ in 0..2 {
            for number in 0..5000 {
                let hello = hello(number);
                let [ja3, ja4] = fingerprints.client(&hello);
                assert_eq!((&*ja3, &*ja4), (&*hello.ja3(), &*hello.ja4()));
                let server = ServerHello { extensions: hello.extensions.clone(), ..ServerHello::default() };
                assert_eq!(*fingerprints.server(&server), *server.ja3s());
                assert!(fingerprints.known.keys().map(|key| key.len()).sum::<usize>() <= MOST);
            }
        }
    }

    #[test]
    fn a_number_that_moves_from_one_list_to_the_next_makes_another_fingerprint() {
        let mut fingerprints = Fingerprints::default();
        let one = ClientHello { ciphers: [1, 2].into(), extensions: [3].into(), ..ClientHello::default() };
        let other = ClientHello { ciphers: [1].into(), extensions: [2, 3].into(), ..ClientHello::default() };
        assert_ne!(fingerprints.client(&one), fingerprints.client(&other));
    }

    #[test]
    fn a_hello_of_absurd_length_is_not_remembered() {
        let mut fingerprints = Fingerprints::default();
        let hello = ClientHello { ciphers: vec![7; LONGEST].into(), ..ClientHello::default() };
        assert_eq!(*fingerprints.client(&hello)[0], *hello.ja3());
        assert!(fingerprints.known.is_empty());
    }
}
