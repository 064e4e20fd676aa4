//! One direction of HTTP/1.x.

use super::super::body::Body;
use super::super::detect::Glance;
use super::super::head::Scan;
use super::super::hold::Hold;
use super::super::seek::Seek;

/// Where in its stream one direction is.
#[derive(Debug, Default)]
pub(super) enum State {
    /// In a head.
    #[default]
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
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) state: State,
    pub(super) scan: Scan,
    /// What is there of a head that came in pieces.
    pub(super) head: Vec<u8>,
    /// Offset of the first byte of the head.
    pub(super) head_at: u64,
    /// The head was found by its looks.
    pub(super) sought: bool,
    pub(super) seek: Seek,
    pub(super) glance: Glance,
    pub(super) hold: Hold,
    pub(super) offset: u64,
    pub(super) ended: bool,
}

impl Side {
    pub(super) fn begin_head(&mut self) {
        self.state = State::Head;
        self.scan = Scan::default();
        self.head.clear();
        self.sought = false;
    }

    /// Goes over to `body`, and with `then_await` to waiting behind it.
    pub(super) fn begin_body(&mut self, body: Body, then_await: bool) {
        match (body, then_await) {
            (Body::Length(0), false) => self.begin_head(),
            (Body::Length(0), true) => self.begin_await(),
            _ => self.state = State::Body { body, then_await },
        }
    }

    pub(super) fn begin_await(&mut self) {
        self.state = State::Await;
        self.glance = Glance::default();
    }

    /// Whether it can go on only with something from the other direction, or with more bytes of its own.
    pub(super) const fn waits(&self) -> bool {
        matches!(self.state, State::Await | State::AwaitRequest { .. } | State::Handover | State::Peek(_))
    }

    pub(super) fn held(&self) -> usize {
        self.head.capacity() + self.seek.held() + self.hold.held()
    }
}
