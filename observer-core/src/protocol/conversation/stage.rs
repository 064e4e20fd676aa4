//! Where a conversation stands, and how it moves on.

use crate::flow::{Direction, End, Gap};
use crate::protocol::conversation::detect::{Choice, choose};
use crate::protocol::conversation::middle::{self, Middle};
use crate::protocol::conversation::settle::{Outcome, awaited, stopped};
use crate::protocol::conversation::stream::Stop;
use crate::protocol::conversation::{
    Conversation, DEPTH, Encapsulation, Later, Orientation, Reader, Step, Streams, rebased,
};
use crate::protocol::http::{Http, Items, Secret};
use crate::protocol::named::{Exposed, Protocol};
use crate::protocol::tls::Tls;
use crate::protocol::{Dissector, Progress, Verdict};
use crate::security::{Reason, Security};

/// Answers to a client that began with CONNECT after which it is taken to stay in the clear (asked for credentials, a
/// client tries again on the same connection).
const CONNECTS: u64 = 3;

/// Who reads the streams.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Nobody yet: the beginnings at the present places are compared.
    Detect,
    /// Nobody yet, and the beginning of the connection is missing.
    Middle,
    /// A prefix, or a protocol recognised by name.
    Reader(Box<dyn Reader + Send>),
    Tls(Tls),
    Http(Box<Http>),
    /// Nobody any more.
    Settled(Verdict, Option<Protocol>),
}

impl Stage {
    /// The dissector that gets the streams as they come, if that is where the conversation stands.
    pub(crate) fn pass<T>(&mut self, feed: impl FnOnce(&mut dyn Dissector) -> T) -> Option<T> {
        match self {
            Self::Tls(tls) => Some(feed(tls)),
            Self::Http(http) => Some(feed(http.as_mut())),
            _ => None,
        }
    }

    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Tls(tls) => tls.held(),
            Self::Http(http) => size_of::<Http>() + http.held(),
            Self::Reader(_) => 64,
            Self::Detect | Self::Middle | Self::Settled(..) => 0,
        }
    }
}

impl Conversation {
    /// Goes on until bytes are missing or the verdict stands.
    pub(super) fn advance(&mut self) -> Progress {
        loop {
            let step = match &mut self.stage {
                Stage::Detect => match self.compare() {
                    Some(progress) => return progress,
                    None => continue,
                },
                Stage::Middle => match self.compare_middle() {
                    Some(progress) => return progress,
                    None => continue,
                },
                Stage::Reader(reader) => reader.read(&mut self.streams, self.notes.get_or_insert_default()),
                Stage::Tls(_) | Stage::Http(_) | Stage::Settled(..) => return Progress::Decided,
            };
            match step {
                Step::Wait(direction) => {
                    let Some(stop) = self.streams.of(direction).stop() else { return Progress::Undecided };
                    let Stage::Reader(reader) = &self.stage else { return Progress::Undecided };
                    match stopped(stop, reader.standing()) {
                        Outcome::Http => return self.hand_over(self.http_reader()),
                        Outcome::Verdict(verdict, protocol) => return self.settle(verdict, protocol),
                    }
                }
                Step::Settled(protocol) => {
                    let security =
                        if protocol == Protocol::Ssh { Security::Ssh } else { Security::Plaintext };
                    return self.settle(Verdict { security, ..Verdict::default() }, Some(protocol));
                }
                Step::Upgraded(layer) => {
                    if self.encapsulation().len() >= DEPTH {
                        return self.unknown(Reason::NotRecognized);
                    }
                    self.notes.get_or_insert_default().encapsulation.push(layer);
                    self.stage = Stage::Detect;
                    self.compared = 0;
                }
                Step::Http => {
                    // Of a connection seen from its middle, the answer may have been to another request.
                    if let Some(why) = self.middle {
                        return self.unknown(why);
                    }
                    self.connecting = self.concluded.is_none();
                    return self.hand_over(self.http_reader());
                }
                Step::Reject => return self.settle(other(), None),
            }
        }
    }

    fn compare(&mut self) -> Option<Progress> {
        let stage = match choose(&self.streams) {
            Choice::Wait(direction) => {
                self.compared = self.streams.of(direction).bytes().len();
                return Some(Progress::Undecided);
            }
            Choice::Reader(reader) => {
                self.stage = Stage::Reader(reader);
                return None;
            }
            Choice::Tls => Stage::Tls(Tls::new()),
            Choice::Http => self.http_reader(),
            Choice::Nothing => return Some(self.settle(other(), None)),
            Choice::TooLittle(stop) => {
                let promised = self.encapsulation().last().is_some_and(|layer| layer.promises_tls());
                return Some(self.unknown(awaited(stop, promised, self.streams.spoke())));
            }
        };
        Some(self.hand_over(stage))
    }

    fn compare_middle(&mut self) -> Option<Progress> {
        let why = self.middle.unwrap_or(Reason::StartedBeforeObserver);
        let client = match middle::judge(&self.streams) {
            Middle::Wait => {
                self.compared =
                    [Direction::ToServer, Direction::ToClient].map(|at| self.streams.of(at).bytes().len())[0];
                return Some(Progress::Undecided);
            }
            Middle::Tls => {
                let verdict = Verdict { security: Security::Tls, reason: Some(why), ..Verdict::default() };
                return Some(self.settle(verdict, Some(Protocol::Tls)));
            }
            Middle::Nothing if self.streams.spoke() => return Some(self.unknown(why)),
            Middle::Nothing => return Some(self.unknown(Reason::NoData)),
            Middle::Begins(client) | Middle::Http(client) => client,
        };
        if client == Direction::ToClient {
            // The socket's role is certain; content that says otherwise is not what it looks like.
            if self.orientation == Orientation::Known {
                return Some(self.unknown(why));
            }
            self.orientation = Orientation::Reversed;
            self.streams.reverse();
        }
        if matches!(middle::judge(&self.streams), Middle::Http(_)) {
            let verdict = Verdict { security: Security::Plaintext, ..Verdict::default() };
            return Some(self.settle(verdict, Some(Protocol::Http)));
        }
        self.stage = Stage::Detect;
        None
    }

    /// A reader of HTTP that keeps what sums up, and one by one only the requests that may have been proxied.
    fn http_reader(&self) -> Stage {
        let http = Http::with_items(Items::Proxied);
        Stage::Http(Box::new(if self.middle.is_some() { http.in_the_middle() } else { http }))
    }

    /// Everything held goes to a dissector, and all that follows.
    fn hand_over(&mut self, stage: Stage) -> Progress {
        self.stage = stage;
        let (mut progress, mut ended) = (Progress::Undecided, false);
        for direction in [Direction::ToServer, Direction::ToClient] {
            let base = self.streams.of(direction.reversed()).place();
            for event in self.streams.of_mut(direction).drain() {
                let passed = self.stage.pass(|dissector| match event {
                    Later::Data(bytes, acked) => dissector.data(direction, &bytes, rebased(acked, base)),
                    Later::Gap(length, why) => {
                        if self.connecting {
                            self.hidden.get_or_insert(why);
                        }
                        dissector.gap(direction, length, why)
                    }
                    Later::End(end) => {
                        ended = true;
                        dissector.end(direction, end)
                    }
                });
                progress = passed.unwrap_or(progress);
            }
        }
        self.passed(progress, ended)
    }

    /// After a dissector was fed: HTTP may have opened a tunnel (a CONNECT that was not the first request).
    /// `ended` if it was told that a direction has ended.
    pub(super) fn passed(&mut self, progress: Progress, ended: bool) -> Progress {
        let Stage::Http(http) = &mut self.stage else { return progress };
        let Some(handover) = http.handover() else {
            if self.connecting && !ended && http.summary().responses < CONNECTS {
                return Progress::Undecided;
            }
            let tried = core::mem::take(&mut self.connecting);
            return match self.hidden {
                // What is missing may have been a CONNECT that was not refused.
                Some(why) if tried => self.unknown(awaited(Some(Stop::Gap(why)), false, true)),
                _ => progress,
            };
        };
        self.connecting = false;
        if self.notes.as_deref().is_some_and(|notes| notes.encapsulation.len() >= DEPTH) {
            return self.unknown(Reason::NotRecognized);
        }
        let summary = http.summary();
        let secrets = [Secret::Authorization, Secret::ProxyAuthorization];
        let exposed = secrets.into_iter().any(|secret| summary.exposed.contains(secret));
        if exposed {
            self.notes.get_or_insert_default().expose(Exposed::Authorization);
        }
        self.notes.get_or_insert_default().encapsulation.push(Encapsulation::HttpConnect);
        for direction in [Direction::ToServer, Direction::ToClient] {
            let stream = self.streams.of_mut(direction);
            stream.restart(handover.start(direction));
        }
        handover.feed(&mut Tunnel(&mut self.streams));
        self.stage = Stage::Detect;
        self.compared = 0;
        self.advance()
    }

    fn settle(&mut self, verdict: Verdict, protocol: Option<Protocol>) -> Progress {
        self.stage = Stage::Settled(verdict, protocol);
        self.streams.discard();
        Progress::Decided
    }

    pub(super) fn unknown(&mut self, reason: Reason) -> Progress {
        self.settle(Verdict { reason: Some(reason), ..Verdict::default() }, None)
    }
}

/// Takes what HTTP held of the inner streams.
struct Tunnel<'a>(&'a mut Streams);

impl Dissector for Tunnel<'_> {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) -> Progress {
        // Marks are kept as they count in the outermost streams.
        let base = self.0.of(direction.reversed()).place();
        self.0.of_mut(direction).push(bytes, acked.saturating_add(base));
        Progress::Undecided
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) -> Progress {
        self.0.of_mut(direction).gap(length, why);
        Progress::Undecided
    }

    fn end(&mut self, direction: Direction, end: End) -> Progress {
        self.0.of_mut(direction).end(end);
        Progress::Undecided
    }

    fn conclude(&mut self, _: Reason) {}

    fn verdict(&self) -> Verdict {
        Verdict::default()
    }

    fn held(&self) -> usize {
        self.0.memory()
    }
}

fn other() -> Verdict {
    Verdict { security: Security::Other, ..Verdict::default() }
}
