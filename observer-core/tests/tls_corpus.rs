//! The verdict on every labelled TLS capture: never wrong, seldom unknown, and the same however the bytes arrive.

mod support;

use std::collections::BTreeMap;

use observer_core::flow::{Direction, End};
use observer_core::protocol::tls::{Tls, detect};
use observer_core::protocol::{Detect, Dissector, Progress, Verdict};
use observer_core::security::{ClientCertificate, Reason};
use support::{Conversation, Label};

const DIRECTIONS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// A stream pair from the first byte of TLS on, with the mark of every run.
struct Streams {
    name: String,
    label: Label,
    runs: [Vec<(Vec<u8>, u64)>; 2],
}

impl Streams {
    fn of(conversation: Conversation) -> Option<Self> {
        let mut starts = [0_usize; 2];
        for direction in DIRECTIONS {
            let stream = conversation.stream(direction);
            let start = (0..stream.len()).find(|at| detect(direction, &stream[*at..]) == Detect::Yes);
            starts[direction.index()] = start?;
        }
        let runs = DIRECTIONS.map(|direction| {
            let start = starts[direction.index()];
            let opposite = starts[direction.reversed().index()] as u64;
            let mut runs = Vec::new();
            for run in conversation.sorted(direction) {
                let skipped = start.saturating_sub(run.offset as usize).min(run.bytes.len());
                let acked = if run.acked == u64::MAX { u64::MAX } else { run.acked.saturating_sub(opposite) };
                if skipped < run.bytes.len() {
                    runs.push((run.bytes[skipped..].to_vec(), acked));
                }
            }
            runs
        });
        Some(Self { name: conversation.label.text("file").to_owned(), label: conversation.label, runs })
    }

    fn length(&self, direction: Direction) -> usize {
        self.runs[direction.index()].iter().map(|(bytes, _)| bytes.len()).sum()
    }

    /// The runs of `direction` up to `end`, cut again at `cut`.
    fn pieces(&self, direction: Direction, end: usize, cut: usize) -> Vec<(&[u8], u64)> {
        let mut pieces = Vec::new();
        let mut at = 0;
        for (bytes, acked) in &self.runs[direction.index()] {
            let bytes = &bytes[..bytes.len().min(end.saturating_sub(at))];
            let (left, right) = bytes.split_at(cut.saturating_sub(at).min(bytes.len()));
            pieces.extend([left, right].into_iter().filter(|b| !b.is_empty()).map(|b| (b, *acked)));
            at += bytes.len();
        }
        pieces
    }

    fn expected(&self) -> Option<ClientCertificate> {
        if self.label.is("resumed") {
            return Some(ClientCertificate::Resumed);
        }
        match self.label.text("cert_presented") {
            "unknown" | "" => None,
            "none" => Some(ClientCertificate::NotRequested),
            "empty" => Some(ClientCertificate::Declined),
            _ => Some(ClientCertificate::Presented),
        }
    }

    /// Feeds both directions to their ends as `choose` picks, then ends and concludes.
    fn run(&self, ends: [usize; 2], cuts: [usize; 2], mut choose: impl FnMut() -> bool) -> Verdict {
        let mut queues =
            DIRECTIONS.map(|d| self.pieces(d, ends[d.index()], cuts[d.index()]).into_iter().peekable());
        let mut tls = Tls::new();
        let mut settled = None;
        while queues.iter_mut().any(|queue| queue.peek().is_some()) {
            let mut direction = if choose() { Direction::ToServer } else { Direction::ToClient };
            if queues[direction.index()].peek().is_none() {
                direction = direction.reversed();
            }
            let (bytes, acked) = queues[direction.index()].next().unwrap();
            let progress = tls.data(direction, bytes, acked);
            if tls.verdict().client_certificate != ClientCertificate::Unknown || progress == Progress::Decided
            {
                let before = *settled.get_or_insert(tls.verdict());
                assert_eq!(before, tls.verdict(), "{} changed its mind", self.name);
            }
        }
        for direction in DIRECTIONS {
            if ends[direction.index()] == self.length(direction) {
                tls.end(direction, End::Fin);
            }
        }
        tls.conclude(Reason::StillOpen);
        if let Some(before) = settled {
            assert_eq!(before, tls.verdict(), "{} changed its mind at the end", self.name);
        }
        tls.verdict()
    }

    fn whole(&self, choose: impl FnMut() -> bool) -> Verdict {
        self.run(DIRECTIONS.map(|d| self.length(d)), [0; 2], choose)
    }
}

fn streams() -> Vec<Streams> {
    let tls = |label: &Label| {
        matches!(label.text("transport"), "direct" | "starttls" | "tunnel" | "after-proxy-header")
            && !label.text("tls_version").is_empty()
    };
    support::conversations(tls).into_iter().filter_map(Streams::of).collect()
}

/// One capture of each kind, so that the costly tests stay short.
fn selection(limit: usize) -> Vec<Streams> {
    let mut kinds = BTreeMap::new();
    for streams in streams() {
        let label = &streams.label;
        let key = ["client", "server", "tls_version", "cipher", "note"].map(|f| label.text(f).to_owned());
        let sort = (
            streams.expected().map(|e| format!("{e:?}")),
            label.is("early_data_case"),
            label.is("hrr_configured"),
        );
        let small = DIRECTIONS.iter().all(|d| streams.length(*d) < limit);
        if small {
            kinds.entry((key, sort)).or_insert(streams);
        }
    }
    kinds.into_values().collect()
}

/// A small generator, so that a failing seed is enough to repeat a failure.
fn generator(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    }
}

#[test]
fn no_verdict_is_wrong_and_few_are_unknown() {
    let (mut right, mut wrong, mut unknown) = (0, Vec::new(), Vec::new());
    let all = streams();
    for streams in &all {
        let Some(expected) = streams.expected() else { continue };
        let mut turn = false;
        let verdict = streams.whole(|| {
            turn = !turn;
            turn
        });
        let line =
            || format!("{} {:?} not {expected:?} ({})", streams.name, verdict, streams.label.text("note"));
        match verdict.client_certificate {
            ClientCertificate::Unknown => unknown.push(line()),
            state if state == expected => right += 1,
            _ => wrong.push(line()),
        }
    }
    eprintln!("{right} right, {} wrong, {} unknown of {}", wrong.len(), unknown.len(), all.len());
    eprintln!("{}", unknown.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unknown.len() * 100 <= all.len());
}
