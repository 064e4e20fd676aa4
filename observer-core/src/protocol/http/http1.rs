//! HTTP/1.x on one connection: every request, every response, whatever they are upgraded to.

use super::body::{Body, Skipped};
use super::detect;
use super::exposed::Secret;
use super::head::{self, Scan};
use super::hold::{Handover, Hold, Mark, Next};
use super::http2::Http2;
use super::pending::{Asked, Paired, Pending};
use super::request::Request;
use super::seek::{self, Seek};
use super::summary::{Log, Summary};
use super::{MAX_HEAD, MAX_HELD};
use crate::flow::{Direction, End, Gap};
use crate::protocol::{Detect, Dissector, Progress, Verdict};
use crate::security::{Reason, Security};

/// Where in its stream one direction is.
#[derive(Debug)]
enum State {
    /// In a head.
    Head,
    /// In a head that is too long to keep.
    LongHead,
    /// In a body; with `then_await` it then waits for the answer.
    Body { body: Body, then_await: bool },
    /// The request offered to leave HTTP; its answer decides.
    Await,
    /// Final response: its request decides whether a body follows.
    AwaitRequest { body: Body, status: u16, upgrade: Option<String> },
    /// Nobody knows whether a body follows: its first bytes decide.
    Peek(Body),
    /// Bytes are missing; looking for the next head.
    Seek,
    /// HTTP/2 from here on.
    Http2,
    /// A tunnel opened by `CONNECT`: the caller's.
    Handover,
    /// Nothing more can be read.
    Opaque,
}

/// One direction.
#[derive(Debug)]
struct Side {
    state: State,
    scan: Scan,
    head: Vec<u8>,
    /// Offset of the first byte of the head.
    head_at: u64,
    /// The head in `head` was found by its looks.
    sought: bool,
    seek: Seek,
    hold: Hold,
    offset: u64,
    acked: u64,
    ended: bool,
}

impl Side {
    fn new() -> Self {
        Self {
            state: State::Head,
            scan: Scan::default(),
            head: Vec::new(),
            head_at: 0,
            sought: false,
            seek: Seek::default(),
            hold: Hold::default(),
            offset: 0,
            acked: u64::MAX,
            ended: false,
        }
    }

    fn begin_head(&mut self) {
        self.state = State::Head;
        self.scan = Scan::default();
        self.head.clear();
        self.sought = false;
    }
}

/// What the server made of a request that offered to leave HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Stay,
    Tunnel,
    Http2,
    Opaque,
}

/// A dissector of HTTP/1.x.
#[derive(Debug)]
pub struct Http1 {
    log: Log,
    sides: [Side; 2],
    pending: Pending,
    answer: Option<Answer>,
    /// Responses can no longer be paired with requests.
    unpaired: bool,
    /// What the awaited request offered to upgrade to.
    offered: Option<String>,
    http2: Option<Box<Http2>>,
    recognised: bool,
    final_reason: Option<Reason>,
    over: bool,
    /// Nothing more will be fed: what waits goes on with what is there.
    forced: bool,
}

impl Default for Http1 {
    fn default() -> Self {
        Self::new()
    }
}

const CLIENT: usize = Direction::ToServer.index();
const SERVER: usize = Direction::ToClient.index();

impl Http1 {
    /// At the first byte of both streams.
    #[must_use]
    pub fn new() -> Self {
        Self {
            log: Log::default(),
            sides: [Side::new(), Side::new()],
            pending: Pending::default(),
            answer: None,
            unpaired: false,
            offered: None,
            http2: None,
            recognised: false,
            final_reason: None,
            over: false,
            forced: false,
        }
    }

    /// The requests read since the last call, in the order of their stream.
    pub fn take_requests(&mut self) -> Vec<Request> {
        let mut requests = self.log.take();
        if let Some(http2) = &mut self.http2 {
            requests.append(&mut http2.take_requests());
        }
        requests
    }

    /// What was read so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut all = self.log.summary.clone();
        all.request_position = self.sides[CLIENT].offset;
        if let Some(http2) = &self.http2 {
            let inner = http2.summary();
            all.requests += inner.requests;
            all.responses += inner.responses;
            all.missed += inner.missed;
            all.missed_unknown |= inner.missed_unknown;
            all.dropped += inner.dropped;
            all.stopped |= inner.stopped;
            all.grpc |= inner.grpc;
            all.exposed.merge(inner.exposed);
            all.schemes.merge(inner.schemes);
        }
        all
    }

    /// Once, after a `CONNECT` was answered with success: where the inner streams begin, and what was already read of
    /// them. Nothing is to be fed here afterwards.
    pub fn handover(&mut self) -> Option<Handover> {
        let ready = self.sides.iter().all(|side| matches!(side.state, State::Handover));
        if !ready || self.over {
            return None;
        }
        self.over = true;
        Some(Handover {
            starts: [self.sides[CLIENT].offset, self.sides[SERVER].offset],
            holds: [
                core::mem::take(&mut self.sides[CLIENT].hold),
                core::mem::take(&mut self.sides[SERVER].hold),
            ],
        })
    }

    fn progress(&self) -> Progress {
        if !self.recognised {
            return Progress::Undecided;
        }
        let summary = &self.log.summary;
        if summary.requests + summary.responses + summary.missed == 0 {
            return Progress::Undecided;
        }
        let client_done = match self.sides[CLIENT].state {
            State::Opaque => true,
            State::Http2 => self.http2.as_ref().is_some_and(|http2| http2.is_done()),
            _ => self.sides[CLIENT].ended,
        };
        let server_done = summary.responses > 0
            || self.sides[SERVER].ended
            || matches!(self.sides[SERVER].state, State::Opaque);
        if client_done && server_done { Progress::Decided } else { Progress::Reading }
    }

    /// Feeds what is held as far as it goes, in turns.
    fn pump(&mut self) {
        while self.pump_one(Direction::ToServer) | self.pump_one(Direction::ToClient) {}
    }

    fn pump_one(&mut self, direction: Direction) -> bool {
        let index = direction.index();
        if self.sides[index].hold.is_empty() {
            return self.settle(direction, &[], false);
        }
        let mut moved = false;
        let mut hold = core::mem::take(&mut self.sides[index].hold);
        while let Some(next) = hold.next() {
            match next {
                Next::Data => {
                    let data = hold.data();
                    let outer = self.forced;
                    self.forced |= hold.is_over();
                    self.settle(direction, data, hold.is_cut());
                    let n = self.consume(direction, data);
                    self.forced = outer;
                    hold.consume(n);
                    moved |= n > 0;
                    if n == 0 {
                        break;
                    }
                }
                Next::Gap(..) | Next::End(_)
                    if self.waits(direction) && !self.settle(direction, &[], true) =>
                {
                    break;
                }
                Next::Gap(length, _) => {
                    hold.consume_mark();
                    self.gap_now(direction, length);
                    moved = true;
                }
                Next::End(_) => {
                    hold.consume_mark();
                    self.end_now(direction);
                    moved = true;
                }
            }
        }
        self.sides[index].hold = hold;
        moved
    }

    fn waits(&self, direction: Direction) -> bool {
        matches!(
            self.sides[direction.index()].state,
            State::Await | State::AwaitRequest { .. } | State::Handover | State::Peek(_)
        )
    }

    /// Leaves a waiting state if what it waits for is there, or can no longer come. `data` is what lies ahead, `all`
    /// that no more will be added to it. True if the state changed.
    fn settle(&mut self, direction: Direction, data: &[u8], all: bool) -> bool {
        match direction {
            Direction::ToServer => self.settle_client(data, all),
            Direction::ToClient => self.settle_server(data, all),
        }
    }

    fn settle_client(&mut self, data: &[u8], all: bool) -> bool {
        if !matches!(self.sides[CLIENT].state, State::Await) {
            return false;
        }
        let lost = self.pending.is_lost();
        let answer = match self.answer.take().filter(|_| !lost) {
            Some(answer) => answer,
            // No answer will be read that is surely the one to this request: the bytes themselves tell.
            None if lost || self.unpaired || self.sides[SERVER].ended || self.forced => {
                match (detect::request_line(data), detect::preface(data)) {
                    (Detect::Yes, _) => Answer::Stay,
                    (_, Detect::Yes) => Answer::Http2,
                    (Detect::No, Detect::No) => Answer::Opaque,
                    _ if all || self.forced => Answer::Opaque,
                    _ => return false,
                }
            }
            None => return false,
        };
        match answer {
            Answer::Stay => self.sides[CLIENT].begin_head(),
            Answer::Tunnel => self.sides[CLIENT].state = State::Handover,
            Answer::Http2 => {
                self.http2();
                self.sides[CLIENT].state = State::Http2;
            }
            Answer::Opaque => self.sides[CLIENT].state = State::Opaque,
        }
        true
    }

    fn http2(&mut self) -> &mut Http2 {
        self.http2.get_or_insert_with(|| Box::new(Http2::upgraded()))
    }

    fn settle_server(&mut self, data: &[u8], all: bool) -> bool {
        let side = &mut self.sides[SERVER];
        match &mut side.state {
            State::AwaitRequest { body, status, upgrade } => {
                let paired = if self.unpaired { Paired::Unknown } else { self.pending.pop() };
                let (body, status, upgrade) = (*body, *status, upgrade.take());
                let gone = self.forced || self.sides[CLIENT].ended;
                match paired {
                    Paired::NotYet if !gone => {
                        self.sides[SERVER].state = State::AwaitRequest { body, status, upgrade };
                        return false;
                    }
                    Paired::With(asked) => self.answered(asked, status, body, upgrade),
                    Paired::Unknown | Paired::NotYet => {
                        self.unpaired = true;
                        self.answered_unknown(status, body, upgrade);
                    }
                }
                true
            }
            State::Peek(body) => {
                let body = *body;
                match detect::status_line(data) {
                    Detect::NeedMore if !all && !self.forced => return false,
                    Detect::Yes => side.begin_head(),
                    _ => Self::body(side, body, false),
                }
                true
            }
            _ => false,
        }
    }

    fn answered(&mut self, asked: Asked, status: u16, body: Body, upgrade: Option<String>) {
        let switched = match (asked, status) {
            (Asked::Connect, 200..=299) => Answer::Tunnel,
            (Asked::Upgrade, 101) => {
                let to = upgrade.or_else(|| self.offered.take());
                let answer = if to.as_deref() == Some("h2c") { Answer::Http2 } else { Answer::Opaque };
                self.log.summary.upgrades += 1;
                self.log.summary.upgraded_to = to;
                answer
            }
            (_, 101) => Answer::Opaque,
            _ => Answer::Stay,
        };
        if matches!(asked, Asked::Connect | Asked::Upgrade) {
            self.answer = Some(switched);
        }
        match switched {
            Answer::Stay if asked == Asked::Head => self.sides[SERVER].begin_head(),
            Answer::Stay => Self::body(&mut self.sides[SERVER], body, false),
            Answer::Tunnel => self.sides[SERVER].state = State::Handover,
            Answer::Http2 => {
                self.http2();
                self.sides[SERVER].state = State::Http2;
            }
            Answer::Opaque => self.sides[SERVER].state = State::Opaque,
        }
    }

    fn answered_unknown(&mut self, status: u16, body: Body, upgrade: Option<String>) {
        let side = &mut self.sides[SERVER];
        match (status, body) {
            (101, _) if upgrade.as_deref() == Some("h2c") => {
                side.state = State::Http2;
                self.http2();
                self.log.summary.upgraded_to = upgrade;
                self.log.summary.upgrades += 1;
            }
            (101, _) => {
                side.state = State::Opaque;
                self.log.summary.upgraded_to = upgrade;
                self.log.summary.upgrades += 1;
            }
            (_, Body::Length(0)) => side.begin_head(),
            _ => side.state = State::Peek(body),
        }
    }

    fn body(side: &mut Side, body: Body, then_await: bool) {
        match (body, then_await) {
            (Body::Length(0), false) => side.begin_head(),
            (Body::Length(0), true) => side.state = State::Await,
            _ => side.state = State::Body { body, then_await },
        }
    }

    /// Takes bytes of `direction` off the front; fewer than given only where it waits.
    fn consume(&mut self, direction: Direction, bytes: &[u8]) -> usize {
        let index = direction.index();
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.waits(direction) && !self.settle(direction, rest, false) {
                break;
            }
            let side = &mut self.sides[index];
            let n = match &mut side.state {
                State::Opaque => rest.len(),
                State::Http2 => {
                    let acked = side.acked;
                    self.http2().data(direction, rest, acked);
                    rest.len()
                }
                State::Body { body, then_await } => match body.skip(rest) {
                    Skipped::More => rest.len(),
                    Skipped::Done(n) => {
                        if *then_await {
                            side.state = State::Await;
                        } else {
                            side.begin_head();
                        }
                        n
                    }
                    Skipped::Broken => {
                        self.lose(direction);
                        // The bytes from here on may hold the next head.
                        0
                    }
                },
                State::Head => self.head(direction, rest),
                State::LongHead => match side.scan.end(rest) {
                    Some(n) => {
                        self.lose(direction);
                        n
                    }
                    None => rest.len(),
                },
                State::Seek => self.seek(direction, rest),
                _ => continue,
            };
            self.sides[index].offset += n as u64;
            at += n;
        }
        at
    }

    /// From here on messages can only be found by their looks.
    fn lose(&mut self, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        side.begin_head();
        side.state = State::Seek;
        match direction {
            Direction::ToServer => {
                self.pending.lose();
                self.log.summary.missed_unknown = true;
            }
            Direction::ToClient => self.unpaired = true,
        }
    }

    fn seek(&mut self, direction: Direction, bytes: &[u8]) -> usize {
        let side = &mut self.sides[direction.index()];
        let found = match direction {
            Direction::ToServer => side.seek.find(bytes, seek::request_line),
            Direction::ToClient => side.seek.find(bytes, seek::status_line),
        };
        let Some((n, line)) = found else { return bytes.len() };
        side.begin_head();
        side.sought = true;
        side.head_at = (side.offset + n as u64).saturating_sub(line.len() as u64);
        side.scan.end(&line);
        side.head = line;
        n
    }

    fn head(&mut self, direction: Direction, bytes: &[u8]) -> usize {
        let side = &mut self.sides[direction.index()];
        let mut skipped = 0;
        if side.head.is_empty() {
            // Empty lines before a first line are ignored (RFC 9112, section 2.2).
            skipped = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            side.head_at = side.offset + skipped as u64;
        }
        let bytes = &bytes[skipped..];
        let Some(end) = side.scan.end(bytes) else {
            if side.head.len() + bytes.len() > MAX_HEAD {
                side.head = Vec::new();
                self.long_head(direction);
            } else {
                let fresh = !self.recognised && memchr::memchr(b'\n', &side.head).is_none();
                side.head.extend_from_slice(bytes);
                if fresh {
                    self.recognise(direction);
                }
            }
            return skipped + bytes.len();
        };
        if side.head.is_empty() && end <= MAX_HEAD {
            self.whole(direction, &bytes[..end]);
        } else if side.head.len() + end > MAX_HEAD {
            side.head = Vec::new();
            self.long_head(direction);
            self.lose(direction);
        } else {
            side.head.extend_from_slice(&bytes[..end]);
            let mut head = core::mem::take(&mut side.head);
            self.whole(direction, &head);
            let side = &mut self.sides[direction.index()];
            if side.head.capacity() == 0 && head.capacity() <= 8192 {
                head.clear();
                side.head = head;
            }
        }
        skipped + end
    }

    fn long_head(&mut self, direction: Direction) {
        self.sides[direction.index()].state = State::LongHead;
        if direction == Direction::ToServer {
            self.log.summary.missed += 1;
        }
    }

    /// Whether the beginning of a head, whose first line may just have become whole, shows HTTP.
    fn recognise(&mut self, direction: Direction) {
        let side = &self.sides[direction.index()];
        let found = match direction {
            Direction::ToServer if memchr::memchr(b'\n', &side.head).is_none() => return,
            Direction::ToServer => detect::request_line(&side.head),
            Direction::ToClient if side.head.len() < 13 => return,
            Direction::ToClient => detect::status_line(&side.head),
        };
        self.recognised |= found == Detect::Yes;
    }

    /// A head is there, whole.
    fn whole(&mut self, direction: Direction, bytes: &[u8]) {
        match direction {
            Direction::ToServer => self.request(bytes),
            Direction::ToClient => self.response(bytes),
        }
    }

    fn request(&mut self, bytes: &[u8]) {
        let side = &mut self.sides[CLIENT];
        let Some(head) = head::request(bytes) else {
            let (sought, first) = (side.sought, side.head_at == 0);
            self.lose(Direction::ToServer);
            if first {
                self.log.summary.client_not_http = true;
                self.log.summary.missed_unknown = false;
                self.sides[CLIENT].state = State::Opaque;
            } else if !sought {
                self.log.summary.missed += 1;
            }
            return;
        };
        self.recognised = true;
        let mut request = head.request;
        request.resynchronised = side.sought;
        request.offset = side.head_at;
        let asked = match () {
            () if head.is_connect => Asked::Connect,
            () if request.upgrade.is_some() => Asked::Upgrade,
            () if head.is_head => Asked::Head,
            () => Asked::Plain,
        };
        if asked == Asked::Upgrade {
            self.offered.clone_from(&request.upgrade);
        }
        self.log.request(request);
        self.pending.push(asked);
        match head.body {
            // What follows CONNECT is the tunnel's (RFC 9110, section 9.3.6).
            _ if asked == Asked::Connect => side.state = State::Await,
            Ok(body) => Self::body(side, body, asked == Asked::Upgrade),
            Err(_) => self.lose(Direction::ToServer),
        }
    }

    fn response(&mut self, bytes: &[u8]) {
        let side = &mut self.sides[SERVER];
        let Some(head) = head::response(bytes) else {
            self.lose(Direction::ToClient);
            return;
        };
        self.recognised = true;
        self.log.summary.ambiguous += u64::from(head.ambiguous);
        let mut response = head.response;
        let status = response.status;
        response.offset = side.head_at;
        if matches!(status, 100 | 102..=199) {
            if response.exposed.contains(Secret::SetCookie) {
                self.log.summary.exposed.merge(response.exposed);
            }
            side.begin_head();
            return;
        }
        self.log.response(response);
        match head.body {
            Ok(body) => side.state = State::AwaitRequest { body, status, upgrade: head.upgrade },
            Err(_) => self.lose(Direction::ToClient),
        }
    }

    fn gap_now(&mut self, direction: Direction, length: u64) {
        let index = direction.index();
        self.sides[index].offset += length;
        match &mut self.sides[index].state {
            State::Opaque | State::Handover => {}
            State::Http2 => _ = self.http2().gap(direction, length, Gap::Unseen),
            State::Body { body, then_await } => {
                let then_await = *then_await;
                if !body.gap(length) {
                    self.lose(direction);
                } else if *body == Body::Length(0) {
                    Self::body(&mut self.sides[index], Body::Length(0), then_await);
                }
            }
            _ => {
                if direction == Direction::ToServer && !self.sides[index].head.is_empty() {
                    self.log.summary.missed += 1;
                }
                self.sides[index].seek = Seek::default();
                self.lose(direction);
            }
        }
    }

    fn end_now(&mut self, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        if side.ended {
            return;
        }
        side.ended = true;
        if direction == Direction::ToServer {
            if matches!(side.state, State::Head) && !side.head.is_empty() {
                side.head.clear();
                self.log.summary.missed += 1;
            }
            self.pending.lose();
        }
        if let Some(http2) = self.http2.as_mut().filter(|_| matches!(side.state, State::Http2)) {
            http2.end(direction, End::Fin);
        }
    }
}

impl Dissector for Http1 {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) -> Progress {
        let index = direction.index();
        if self.over {
            return Progress::Decided;
        }
        self.sides[index].acked = acked;
        if self.sides[index].hold.is_empty() {
            let n = self.consume(direction, bytes);
            if n < bytes.len() {
                self.sides[index].hold.push(&bytes[n..], acked);
            }
        } else if self.sides[index].hold.len() <= MAX_HELD * 2 {
            self.sides[index].hold.push(bytes, acked);
        } else {
            self.sides[index].hold.push_mark(Mark::Gap(bytes.len() as u64, Gap::Overflow));
        }
        self.pump();
        self.progress()
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) -> Progress {
        let side = &mut self.sides[direction.index()];
        side.hold.push_mark(Mark::Gap(length, why));
        self.pump();
        self.progress()
    }

    fn end(&mut self, direction: Direction, end: End) -> Progress {
        self.sides[direction.index()].hold.push_mark(Mark::End(end));
        self.pump();
        self.progress()
    }

    fn conclude(&mut self, reason: Reason) {
        self.forced = true;
        for direction in [Direction::ToServer, Direction::ToClient] {
            if !self.sides[direction.index()].ended {
                self.sides[direction.index()].hold.push_mark(Mark::End(End::Fin));
            }
            self.pump();
        }
        self.final_reason = Some(reason);
        if let Some(http2) = &mut self.http2 {
            http2.conclude(reason);
        }
    }

    fn verdict(&self) -> Verdict {
        match self.recognised {
            true => Verdict { security: Security::Plaintext, ..Verdict::default() },
            false => Verdict { reason: self.final_reason, ..Verdict::default() },
        }
    }

    fn held(&self) -> usize {
        let sides = self.sides.iter().map(|side| side.head.capacity() + side.seek.held() + side.hold.held());
        sides.sum::<usize>()
            + self.log.held()
            + self.pending.held()
            + self.http2.as_ref().map_or(0, |http2| size_of::<Http2>() + http2.held())
    }
}
