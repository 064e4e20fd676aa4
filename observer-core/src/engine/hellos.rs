//! Which hellos of a face were told.

use crate::protocol::tls::Summary;

/// A hello's random value.
pub(super) type Random = [u8; 32];

/// One hello.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// The client asks.
    Asked(Random),
    /// The server answers it.
    Answered(Box<[Random; 2]>),
}

/// How far the hellos of a face were told, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hellos {
    #[default]
    Untold,
    Asked,
    Told,
}

impl Hellos {
    /// The next hello that was read. The form of SSL 2.0 has a challenge of its own making and names no session.
    pub(super) fn next(&mut self, tls: Summary<'_>) -> Option<Hello> {
        if *self == Self::Told {
            return None;
        }
        let asked = tls.client_hello().filter(|hello| !hello.sslv2_form)?.random;
        if *self == Self::Untold {
            *self = Self::Asked;
            return Some(Hello::Asked(asked));
        }
        let answered = tls.server_hello()?.random;
        *self = Self::Told;
        Some(Hello::Answered(Box::new([asked, answered])))
    }
}
