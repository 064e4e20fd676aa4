//! The dissector: feeds both sides and keeps the judgement.

use super::client_side::ClientSide;
use super::detect::detect_records;
use super::judge::{Case, Judgement};
use super::server_side::ServerSide;
use super::side::reason;
use crate::flow::{Direction, End, Gap};
use crate::protocol::{Detect, Dissector, Progress, Verdict};
use crate::security::{Reason, Security};

/// Bytes of each direction that a connection seen from its middle may need to show two record headers.
const MAX_MIDDLE: usize = 2 * (5 + super::detect::MAX_FRAGMENT);

/// Reads one TLS connection. The verdict is a function of the two byte streams and their acknowledgement marks.
///
/// The verdict on TLS 1.3 needs the client's first encrypted record (rarely up to four), and of the server's flight
/// as much as the client had acknowledged with it. So it stands while the connection is open and idle.
#[derive(Debug)]
pub struct Tls(Box<State>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) client: ClientSide,
    pub(super) server: ServerSide,
    pub(super) judgement: Judgement,
    last: Option<Reason>,
    middle: Option<Middle>,
}

/// A connection whose beginning was not seen.
#[derive(Debug)]
struct Middle {
    why: Reason,
    starts: [Vec<u8>; 2],
    seen: Detect,
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl Tls {
    /// For a connection that is fed from the first byte of TLS in both directions.
    #[must_use]
    pub fn new() -> Self {
        Self::with(None)
    }

    /// For a connection whose beginning was not seen, for the reason `why`. Its bytes can show that it is TLS, and
    /// nothing of its handshake.
    #[must_use]
    pub fn mid_stream(why: Reason) -> Self {
        Self::with(Some(Middle { why, starts: Default::default(), seen: Detect::NeedMore }))
    }

    fn with(middle: Option<Middle>) -> Self {
        let (client, server) = (ClientSide::default(), ServerSide::default());
        let judgement = Case { client: &client.log, server: &server.log, server_read: 0, last: None }.judge();
        Self(Box::new(State { client, server, judgement, last: None, middle }))
    }

    pub(super) fn state(&self) -> &State {
        &self.0
    }
}

impl State {
    fn judge(&mut self) -> Progress {
        if !self.judgement.settled {
            self.judgement = match &self.middle {
                Some(middle) => middle.judge(self.last),
                None => Case {
                    client: &self.client.log,
                    server: &self.server.log,
                    server_read: self.server.position(),
                    last: self.last,
                }
                .judge(),
            };
            if self.judgement.settled {
                self.client.settle();
                self.server.settle();
                if let Some(middle) = &mut self.middle {
                    middle.starts = Default::default();
                }
            }
        }
        if self.judgement.settled { Progress::Decided } else { Progress::Undecided }
    }
}

impl Middle {
    fn data(&mut self, direction: Direction, bytes: &[u8]) {
        if self.seen == Detect::Yes {
            return;
        }
        let start = &mut self.starts[direction.index()];
        let room = MAX_MIDDLE.saturating_sub(start.len());
        start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        match detect_records(start) {
            Detect::Yes => self.seen = Detect::Yes,
            // Nothing more is to be learnt from this direction; what is kept says No again.
            Detect::No => *start = vec![0],
            Detect::NeedMore => {}
        }
    }

    fn judge(&self, last: Option<Reason>) -> Judgement {
        let verdict = |security| Verdict { security, reason: Some(self.why), ..Verdict::default() };
        let (security, settled) = match self.seen {
            Detect::Yes => (Security::Tls, true),
            _ => (Security::Unknown, last.is_some()),
        };
        Judgement { verdict: verdict(security), settled, established: None }
    }
}

impl Dissector for Tls {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) -> Progress {
        let state = &mut *self.0;
        match (&mut state.middle, direction) {
            (Some(middle), _) => middle.data(direction, bytes),
            (None, Direction::ToServer) => state.client.data(bytes, acked),
            (None, Direction::ToClient) => state.server.data(bytes, acked),
        }
        state.judge()
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) -> Progress {
        let state = &mut *self.0;
        match (&mut state.middle, direction) {
            (Some(middle), _) => {
                let _ = reason(why);
                middle.starts[direction.index()] = vec![0];
            }
            (None, Direction::ToServer) => state.client.gap(length, why),
            (None, Direction::ToClient) => state.server.gap(length, why),
        }
        state.judge()
    }

    fn end(&mut self, direction: Direction, _end: End) -> Progress {
        let state = &mut *self.0;
        match direction {
            Direction::ToServer => state.client.end(),
            Direction::ToClient => state.server.end(),
        }
        state.judge()
    }

    fn conclude(&mut self, reason: Reason) {
        self.0.last.get_or_insert(reason);
        self.0.judge();
    }

    fn verdict(&self) -> Verdict {
        self.0.judgement.verdict
    }

    fn held(&self) -> usize {
        let middle = self.0.middle.as_ref().map_or(0, |m| m.starts.iter().map(Vec::capacity).sum());
        size_of::<State>() + self.0.client.held() + self.0.server.held() + middle
    }
}
