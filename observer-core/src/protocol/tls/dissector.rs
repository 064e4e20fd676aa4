//! The dissector: feeds both sides and keeps the judgement.

use std::sync::LazyLock;

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
/// as much as the client had acknowledged with it. Where that flight does not show whether the server asked, one record
/// more is needed, of either side. So the verdict stands while the connection is open and idle.
#[derive(Debug)]
pub struct Tls(Box<State>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) client: ClientSide,
    /// There from the first that came of it: of many clients nothing but an attempt is seen.
    server: Option<Box<ServerSide>>,
    pub(super) judgement: Judgement,
    last: Option<Reason>,
    middle: Option<Box<Middle>>,
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
        let client = ClientSide::default();
        let judgement =
            Case { client: &client.log, server: &UNHEARD.log, server_read: 0, last: None }.judge();
        Self(Box::new(State { client, server: None, judgement, last: None, middle: middle.map(Box::new) }))
    }

    pub(super) fn state(&self) -> &State {
        &self.0
    }
}

/// The server's side where nothing came of it.
static UNHEARD: LazyLock<ServerSide> = LazyLock::new(ServerSide::default);

impl State {
    /// The server's side.
    pub(super) fn server(&self) -> &ServerSide {
        self.server.as_deref().unwrap_or(&UNHEARD)
    }

    fn server_mut(&mut self) -> &mut ServerSide {
        self.server.get_or_insert_with(|| {
            let mut server = Box::<ServerSide>::default();
            if self.judgement.settled {
                server.settle();
            }
            server
        })
    }

    fn judge(&mut self) -> Progress {
        if !self.judgement.settled {
            self.judgement = match &self.middle {
                Some(middle) => middle.judge(self.last),
                None => Case {
                    client: &self.client.log,
                    server: &self.server().log,
                    server_read: self.server().position(),
                    last: self.last,
                }
                .judge(),
            };
            if self.judgement.settled {
                self.client.settle();
                if let Some(server) = &mut self.server {
                    server.settle();
                }
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
            (None, Direction::ToClient) => state.server_mut().data(bytes, acked),
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
            (None, Direction::ToClient) => state.server_mut().gap(length, why),
        }
        state.judge()
    }

    fn end(&mut self, direction: Direction, end: End) -> Progress {
        let state = &mut *self.0;
        match direction {
            Direction::ToServer => state.client.end(end),
            Direction::ToClient => state.server_mut().end(),
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
        let middle =
            self.0.middle.as_ref().map_or(0, |middle| {
                size_of::<Middle>() + middle.starts.iter().map(Vec::capacity).sum::<usize>()
            });
        let server = self.0.server.as_ref().map_or(0, |server| size_of::<ServerSide>() + server.held());
        size_of::<State>() + self.0.client.held() + server + middle
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::security::{Basis, ClientCertificate};

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 3, 3];
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        record(22, &[&[kind], &length[1..], body].concat())
    }

    fn client_hello() -> Vec<u8> {
        message(
            1,
            &[&[3, 3][..], &[7; 32], &[0, 0, 4, 0x13, 1, 0xc0, 0x2b, 1, 0, 0, 7, 0, 43, 0, 3, 2, 3, 4]]
                .concat(),
        )
    }

    fn server_hello(suite: u16, extensions: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(extensions.len()).unwrap().to_be_bytes();
        let [c, d] = suite.to_be_bytes();
        message(2, &[&[3, 3][..], &[9; 32], &[0, c, d, 0, high, low], extensions].concat())
    }

    const TLS_1_3: [u8; 6] = [0, 43, 0, 2, 3, 4];

    fn encrypted(lengths: &[usize]) -> Vec<u8> {
        lengths.iter().flat_map(|length| record(23, &vec![1; *length])).collect()
    }

    fn fed(client: &[&[u8]], server: &[&[u8]]) -> Tls {
        let mut tls = Tls::new();
        tls.data(Direction::ToClient, &server.concat(), u64::MAX);
        tls.data(Direction::ToServer, &client.concat(), u64::MAX);
        tls
    }

    #[test]
    fn a_hello_without_an_answer_is_no_tls() {
        let mut tls = fed(&[&client_hello()], &[]);
        assert_eq!(tls.verdict().security, Security::Unknown);
        tls.end(Direction::ToServer, End::Fin);
        tls.end(Direction::ToClient, End::Fin);
        assert_eq!(tls.verdict().reason, Some(Reason::HandshakeIncomplete));
        for answer in [&b"HTTP/1.1 400 Bad Request"[..], &[21, 3, 3, 0, 2, 2, 40]] {
            let mut tls = fed(&[&client_hello()], &[answer]);
            for direction in [Direction::ToServer, Direction::ToClient] {
                tls.end(direction, End::Fin);
            }
            let verdict = tls.verdict();
            assert_eq!(
                (verdict.security, verdict.reason),
                (Security::Unknown, Some(Reason::HandshakeFailed))
            );
        }
    }

    #[test]
    fn a_client_that_refuses_the_server_failed() {
        let server = [server_hello(0x1301, &TLS_1_3), encrypted(&[900])].concat();
        let tls = fed(&[&client_hello(), &encrypted(&[19])], &[&server]);
        let verdict = tls.verdict();
        assert_eq!((verdict.security, verdict.reason), (Security::Tls, Some(Reason::HandshakeFailed)));
        assert_eq!(tls.summary().established(), Some(false));
    }

    #[test]
    fn a_pre_shared_key_resumes_unless_a_certificate_travels_too() {
        let resumed = [&TLS_1_3[..], &[0, 41, 0, 2, 0, 0]].concat();
        let verdict =
            fed(&[&client_hello(), &encrypted(&[53])], &[&server_hello(0x1301, &resumed)]).verdict();
        assert_eq!(
            (verdict.client_certificate, verdict.basis),
            (ClientCertificate::Resumed, Some(Basis::Resumption))
        );
        let both = [&resumed[..], &[0, 33, 0, 0]].concat();
        let server = [server_hello(0x1301, &both), encrypted(&[900])].concat();
        let verdict = fed(&[&client_hello(), &encrypted(&[600, 97])], &[&server]).verdict();
        assert_ne!(verdict.client_certificate, ClientCertificate::Resumed);
    }

    #[test]
    fn a_server_that_asked_contradicts_a_lone_finished() {
        let server = [server_hello(0x1301, &TLS_1_3), encrypted(&[23, 98, 509, 96, 53])].concat();
        let verdict = fed(&[&client_hello(), &encrypted(&[53])], &[&server]).verdict();
        assert_eq!(verdict.reason, Some(Reason::Padded));
    }

    #[test]
    fn a_server_that_did_not_ask_settles_a_client_that_pads() {
        let server = [server_hello(0x1301, &TLS_1_3), encrypted(&[23, 509, 96, 53])].concat();
        let verdict = fed(&[&client_hello(), &encrypted(&[528, 528, 528, 528])], &[&server]).verdict();
        assert_eq!(verdict.client_certificate, ClientCertificate::NotRequested);
    }

    #[test]
    fn a_gap_inside_an_encrypted_record_is_harmless_and_one_before_it_is_not() {
        let server = [server_hello(0x1301, &TLS_1_3), encrypted(&[900])].concat();
        for (gap, why, expected) in [
            (600, Gap::Lost, (ClientCertificate::Presented, None)),
            (601, Gap::Lost, (ClientCertificate::Presented, None)),
        ] {
            let mut tls = fed(&[&client_hello(), &[23, 3, 3, 2, 0x59]], &[&server]);
            tls.gap(Direction::ToServer, gap, why);
            // A second record of another size: the client does not pad.
            let rest = vec![1; 601 - usize::try_from(gap).unwrap()];
            tls.data(Direction::ToServer, &[rest, encrypted(&[131])].concat(), u64::MAX);
            let verdict = tls.verdict();
            assert_eq!((verdict.client_certificate, verdict.reason), expected);
        }
        for (why, reason) in [
            (Gap::Unseen, Reason::Gap),
            (Gap::Truncated, Reason::Truncated),
            (Gap::Lost, Reason::Lost),
            (Gap::Conflict, Reason::ConflictingSegments),
        ] {
            let mut tls = fed(&[&client_hello()], &[&server]);
            tls.gap(Direction::ToServer, 3, why);
            assert_eq!((tls.verdict().security, tls.verdict().reason), (Security::Tls, Some(reason)));
        }
    }

    #[test]
    fn refused_early_data_hides_the_flight() {
        let hello = message(
            1,
            &[&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0, 11, 0, 43, 0, 3, 2, 3, 4, 0, 42, 0, 0]]
                .concat(),
        );
        let server = [server_hello(0x1301, &TLS_1_3), encrypted(&[900])].concat();
        let verdict = fed(&[&hello, &encrypted(&[53, 600])], &[&server]).verdict();
        assert_eq!((verdict.security, verdict.reason), (Security::Tls, Some(Reason::EarlyDataRefused)));
    }

    #[test]
    fn reads_the_messages_of_an_old_handshake() {
        let ccs = record(20, &[1]);
        let full = [
            server_hello(0xc02b, &[]),
            message(11, &[0, 0, 4, 0, 0, 1, 9]),
            message(13, &[]),
            message(14, &[]),
        ];
        let server = [full.concat(), ccs.clone()].concat();
        for (list, state) in [
            (&[0, 0, 0][..], ClientCertificate::Declined),
            (&[0, 0, 4, 0, 0, 1, 5], ClientCertificate::Presented),
        ] {
            let tls = fed(&[&client_hello(), &message(11, list), &message(16, &[1]), &ccs], &[&server]);
            assert_eq!((tls.verdict().client_certificate, tls.summary().established()), (state, Some(true)));
            assert_eq!(tls.summary().server_certificates().len(), 1);
        }
        let tls = fed(&[&client_hello(), &message(16, &[1]), &ccs], &[&server]);
        assert_eq!(
            tls.verdict().reason,
            Some(Reason::NotRecognized),
            "asked, and neither an empty list nor one"
        );
        let short = [server_hello(0xc02b, &[]), ccs.clone()].concat();
        let tls = fed(&[&client_hello(), &ccs, &record(22, &[0; 40])], &[&short]);
        assert_eq!(tls.verdict().client_certificate, ClientCertificate::Resumed);
    }

    #[test]
    fn records_in_the_middle_are_tls_and_nothing_more() {
        let mut tls = Tls::mid_stream(Reason::StartedBeforeObserver);
        tls.data(Direction::ToServer, &encrypted(&[53, 100, 100]), 0);
        let verdict = tls.verdict();
        assert_eq!((verdict.security, verdict.reason), (Security::Tls, Some(Reason::StartedBeforeObserver)));
    }

    #[test]
    fn a_half_handshake_holds_little() {
        let mut tls = Tls::new();
        for byte in &client_hello()[..40] {
            tls.data(Direction::ToServer, &[*byte], 0);
        }
        assert!(tls.held() < 1500, "{}", tls.held());
    }

    /// Prints the cost of a whole handshake: `cargo test --release -- --ignored cost --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_a_whole_handshake() {
        let server = [server_hello(0x1301, &TLS_1_3), encrypted(&[23, 98, 509, 96, 53])].concat();
        let client = [client_hello(), encrypted(&[500, 97, 53])].concat();
        let start = std::time::Instant::now();
        for _ in 0..100_000 {
            let mut tls = Tls::new();
            tls.data(Direction::ToServer, &client[..client_hello().len()], 0);
            tls.data(Direction::ToClient, &server, 100);
            tls.data(Direction::ToServer, &client[client_hello().len()..], server.len() as u64);
            assert_eq!(tls.verdict().client_certificate, ClientCertificate::Presented);
        }
        eprintln!("{:?} a handshake", start.elapsed() / 100_000);
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_give_one_verdict(
            pieces in prop::collection::vec((any::<bool>(), prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                Just(client_hello()), Just(server_hello(0x1301, &TLS_1_3)), Just(server_hello(0xc02b, &[])),
                Just(record(20, &[1])), Just(message(11, &[0, 0, 4, 0, 0, 1, 5])), Just(message(14, &[])),
                Just(message(16, &[])), Just(message(13, &[])), Just(vec![21, 3, 3, 0, 2, 2, 40]),
                prop::collection::vec(prop_oneof![Just(53_usize), Just(25), Just(61), 0..700_usize], 1..6)
                    .prop_map(|lengths| encrypted(&lengths)),
            ]), 0..14),
            cut in 1..40_usize,
        ) {
            let stream = |side| pieces.iter().filter(|(to, _)| *to == side).flat_map(|(_, b)| b.clone()).collect::<Vec<_>>();
            let (client, server) = (stream(true), stream(false));
            let finish = |mut tls: Tls| {
                tls.end(Direction::ToServer, End::Fin);
                tls.end(Direction::ToClient, End::Fin);
                tls.conclude(Reason::StillOpen);
                let _ = (tls.summary().client_certificates(), tls.summary().server_certificates(), tls.held());
                tls.verdict()
            };
            let whole = finish(fed(&[&client], &[&server]));
            let mut tls = Tls::new();
            let (mut c, mut s) = (client.chunks(cut), server.chunks(cut + 3));
            loop {
                let (client, server) = (c.next(), s.next());
                client.map(|bytes| tls.data(Direction::ToServer, bytes, u64::MAX));
                server.map(|bytes| tls.data(Direction::ToClient, bytes, u64::MAX));
                if client.is_none() && server.is_none() { break }
            }
            let cut = finish(tls);
            prop_assert_eq!((whole.security, whole.client_certificate), (cut.security, cut.client_certificate));
        }
    }
}
