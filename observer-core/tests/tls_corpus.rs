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
                let offset = usize::try_from(run.offset).unwrap_or(usize::MAX);
                let skipped = start.saturating_sub(offset).min(run.bytes.len());
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
            let Some((bytes, acked)) = queues[direction.index()].next() else { break };
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

#[test]
fn every_prefix_of_both_streams_gives_the_same_verdict_or_unknown() {
    for streams in selection(6000) {
        let lengths = DIRECTIONS.map(|d| streams.length(d));
        let whole = streams.whole(|| true);
        let (step, same) = (if lengths[0] + lengths[1] > 6000 { 7 } else { 3 }, |verdict: Verdict| {
            verdict.client_certificate == ClientCertificate::Unknown
                || (verdict.security, verdict.client_certificate)
                    == (whole.security, whole.client_certificate)
        });
        for direction in DIRECTIONS {
            for end in (0..lengths[direction.index()]).step_by(step) {
                let mut ends = lengths;
                ends[direction.index()] = end;
                let verdict = streams.run(ends, [0; 2], || false);
                assert!(
                    same(verdict),
                    "{} {direction:?} to {end}: {verdict:?}, whole {whole:?}",
                    streams.name
                );
            }
        }
    }
}

#[test]
fn every_single_cut_gives_the_same_verdict() {
    for streams in selection(6000) {
        let lengths = DIRECTIONS.map(|d| streams.length(d));
        let whole = streams.whole(|| true);
        for direction in DIRECTIONS {
            for cut in (0..lengths[direction.index()].min(4000)).step_by(2) {
                let mut cuts = [0; 2];
                cuts[direction.index()] = cut;
                let verdict = streams.run(lengths, cuts, || true);
                assert_eq!(verdict, whole, "{} {direction:?} cut at {cut}", streams.name);
            }
        }
    }
}

#[test]
fn every_interleaving_gives_the_same_verdict() {
    for streams in streams() {
        let lengths = DIRECTIONS.map(|d| streams.length(d));
        let whole = streams.whole(|| true);
        let seeds = if lengths[0] + lengths[1] < 20_000 { 40 } else { 4 };
        for seed in 0..seeds {
            let mut next = generator(seed + 1);
            let cuts = lengths.map(|length| usize::try_from(next()).unwrap() % length.max(1));
            let verdict = streams.run(lengths, cuts, || next().is_multiple_of(3));
            assert_eq!(verdict, whole, "{} seed {seed}", streams.name);
        }
    }
}

#[test]
fn bytes_one_at_a_time_give_the_same_verdict() {
    for streams in selection(6000) {
        let whole = streams.whole(|| true);
        let mut tls = Tls::new();
        for direction in DIRECTIONS {
            for (bytes, acked) in &streams.runs[direction.index()] {
                for byte in bytes {
                    tls.data(direction, &[*byte], *acked);
                }
            }
        }
        for direction in DIRECTIONS {
            tls.end(direction, End::Fin);
        }
        tls.conclude(Reason::StillOpen);
        assert_eq!(tls.verdict(), whole, "{}", streams.name);
    }
}

#[test]
fn a_verdict_stands_before_the_server_answers_the_request() {
    // Only what the client had sent when the server's first record behind its flight came: with the server's stream
    // cut where the client's first encrypted record had acknowledged it, no end and no conclusion.
    let (mut standing, mut all) = (0, 0);
    for streams in streams() {
        if streams.label.text("tls_version") != "1.3"
            || streams.expected().is_none()
            || streams.label.is("early_data_case")
        {
            continue;
        }
        let mark = streams.runs[0].last().map_or(0, |(_, acked)| *acked);
        let flight =
            streams.runs[0].iter().map(|(_, acked)| *acked).find(|acked| *acked > 300).unwrap_or(mark);
        let mut tls = Tls::new();
        for (bytes, acked) in streams.pieces(Direction::ToClient, usize::try_from(flight).unwrap(), 0) {
            tls.data(Direction::ToClient, bytes, acked);
        }
        for (bytes, acked) in &streams.runs[0] {
            tls.data(Direction::ToServer, bytes, *acked);
        }
        all += 1;
        standing += usize::from(tls.verdict().client_certificate != ClientCertificate::Unknown);
    }
    eprintln!("{standing} of {all} verdicts stand with the server silent");
    assert!(standing * 100 >= all * 97);
}
