//! What holds when bytes that were waited for never come.

use crate::flow::Gap;
use crate::protocol::Verdict;
use crate::protocol::conversation::Standing;
use crate::protocol::conversation::stream::Stop;
use crate::protocol::named::Protocol;
use crate::security::{Reason, Security};

/// The last word on a reader whose stream stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// All of it is HTTP.
    Http,
    Verdict(Verdict, Option<Protocol>),
}

/// A reader waited, and the stream stopped.
pub(crate) fn stopped(stop: Stop, standing: Standing) -> Outcome {
    let missing = lost(stop);
    let unknown = |reason, protocol| {
        let verdict = Verdict { reason: Some(missing.unwrap_or(reason)), ..Verdict::default() };
        Outcome::Verdict(verdict, protocol)
    };
    match standing {
        // Without the observation's end: a CONNECT that the server never answered.
        Standing::Http if matches!(stop, Stop::End(_)) => Outcome::Http,
        Standing::Http => unknown(Reason::TooLittleData, None),
        // What is certain already needs no further bytes, missing or not.
        Standing::Spoken(protocol) => {
            let security = if protocol == Protocol::Ssh { Security::Ssh } else { Security::Plaintext };
            Outcome::Verdict(Verdict { security, ..Verdict::default() }, Some(protocol))
        }
        Standing::MayUpgrade(protocol) => unknown(Reason::TooLittleData, Some(protocol)),
        Standing::Upgrading(protocol) => unknown(Reason::HandshakeIncomplete, Some(protocol)),
        Standing::Unproven => unknown(Reason::TooLittleData, None),
    }
}

/// Beginnings that could not be told: `promised` if the peers had agreed on TLS, `spoke` if there were any bytes.
pub(crate) fn awaited(stop: Option<Stop>, promised: bool, spoke: bool) -> Reason {
    match stop.and_then(lost) {
        Some(reason) => reason,
        None if promised => Reason::HandshakeIncomplete,
        None if spoke => Reason::TooLittleData,
        None => Reason::NoData,
    }
}

/// Why bytes are missing, if it is the observation that lacks them.
const fn lost(stop: Stop) -> Option<Reason> {
    match stop {
        Stop::Gap(Gap::Unseen) => Some(Reason::Gap),
        Stop::Gap(Gap::Truncated | Gap::Skipped) => Some(Reason::Truncated),
        Stop::Gap(Gap::Lost) => Some(Reason::Lost),
        Stop::Gap(Gap::Conflict) => Some(Reason::ConflictingSegments),
        Stop::Gap(Gap::Overflow) | Stop::Full => Some(Reason::Evicted),
        Stop::Concluded(reason @ (Reason::Evicted | Reason::Lost | Reason::Truncated)) => Some(reason),
        Stop::Concluded(_) | Stop::End(_) => None,
    }
}
