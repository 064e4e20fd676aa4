//! PostgreSQL frontend/backend protocol 3 (PostgreSQL documentation, chapter "Frontend/Backend Protocol", sections
//! "Message Flow" and "Message Formats"), with SSLRequest and GSSENCRequest.

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Encapsulation, Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::{Exposed, Protocol};

const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;
const VERSION: core::ops::RangeInclusive<u32> = 0x0003_0000..=0x0003_00ff;
/// The longest start-up message that a server takes.
const STARTUP: u32 = 10_000;
/// The longest name of a parameter.
const NAME: usize = 63;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Startup,
    SslAnswer,
    GssAnswer,
    Backend,
    Password,
}

/// The reader of one session's beginning.
#[derive(Debug, Default)]
pub(crate) struct Postgresql {
    state: State,
    /// The server answered a request in the protocol's way.
    proven: bool,
    asked: u8,
}

impl Postgresql {
    /// Length, code and, in a start-up message, the name of the first parameter.
    pub(crate) fn detect(client: &[u8]) -> Detect {
        let Some((length, code)) = header(client) else {
            let plausible = match client {
                [] => true,
                [first, ..] if *first != 0 => false,
                [_, second, ..] if *second != 0 => false,
                [_, _, high, low, ..] => {
                    (8..=STARTUP).contains(&u32::from(u16::from_be_bytes([*high, *low])))
                }
                _ => true,
            };
            return if plausible { Detect::NeedMore } else { Detect::No };
        };
        match code {
            SSL | GSS if length == 8 => Detect::Yes,
            CANCEL if (16..=268).contains(&length) => Detect::Yes,
            code if VERSION.contains(&code) && (9..=STARTUP).contains(&length) => parameter(client.get(8..)),
            _ => Detect::No,
        }
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        loop {
            match self.state {
                State::Startup => {
                    let (length, code) = header(streams.peek(ToServer, 8)?).ok_or(Step::Reject)?;
                    match Self::detect(streams.of(ToServer).bytes()) {
                        Detect::Yes => {}
                        Detect::No => return Err(Step::Reject),
                        Detect::NeedMore => return Err(Step::Wait(ToServer)),
                    }
                    self.asked += 1;
                    if self.asked > 4 {
                        return Err(Step::Reject);
                    }
                    streams.skip(ToServer, u64::from(length));
                    self.state = match code {
                        SSL => State::SslAnswer,
                        GSS => State::GssAnswer,
                        // A cancel request gets no answer, and its key has crossed in the clear.
                        CANCEL => return Ok(Step::Settled(Protocol::Postgresql)),
                        _ => State::Backend,
                    };
                }
                State::SslAnswer | State::GssAnswer => {
                    let answer = streams.peek(ToClient, 1)?.first().copied();
                    match (self.state, answer) {
                        (_, Some(b'E')) => self.state = State::Backend,
                        (State::SslAnswer, Some(b'S')) => {
                            streams.skip(ToClient, 1);
                            return Ok(Step::Upgraded(Encapsulation::StarttlsPostgresql));
                        }
                        // After `G` the client should go on with GSSAPI tokens; what it really sends decides.
                        (State::SslAnswer | State::GssAnswer, Some(b'N'))
                        | (State::GssAnswer, Some(b'G')) => {
                            streams.skip(ToClient, 1);
                            self.proven = true;
                            self.state = State::Startup;
                        }
                        _ => return Err(Step::Reject),
                    }
                }
                State::Backend => {
                    let head = streams.peek(ToClient, 5)?;
                    let kind = head.first().copied().unwrap_or_default();
                    let length = header(head.get(1..).unwrap_or_default()).map(|(length, _)| length);
                    let length = length.or_else(|| head.get(1..5)?.try_into().ok().map(u32::from_be_bytes));
                    if !length.is_some_and(|length| (4..=30_000).contains(&length)) {
                        return Err(Step::Reject);
                    }
                    match kind {
                        b'E' => return Ok(Step::Settled(Protocol::Postgresql)),
                        b'v' | b'N' => streams.skip(ToClient, 1 + u64::from(length.unwrap_or(4))),
                        b'R' => {
                            let (_, method) = header(streams.peek(ToClient, 9)?.get(1..).unwrap_or_default())
                                .ok_or(Step::Reject)?;
                            self.proven = true;
                            match method {
                                // A password, or its MD5 answer.
                                3 | 5 => self.state = State::Password,
                                0..=12 => return Ok(Step::Settled(Protocol::Postgresql)),
                                _ => return Err(Step::Reject),
                            }
                        }
                        _ => return Err(Step::Reject),
                    }
                }
                State::Password => {
                    if streams.peek(ToServer, 1)?.first() == Some(&b'p') {
                        notes.expose(Exposed::Password);
                    }
                    return Ok(Step::Settled(Protocol::Postgresql));
                }
            }
        }
    }
}

fn header(bytes: &[u8]) -> Option<(u32, u32)> {
    let length = bytes.get(..4)?.try_into().ok().map(u32::from_be_bytes)?;
    let code = bytes.get(4..8)?.try_into().ok().map(u32::from_be_bytes)?;
    Some((length, code))
}

/// Whether the bytes begin with the name of a run-time parameter and its zero.
fn parameter(bytes: Option<&[u8]>) -> Detect {
    let bytes = bytes.unwrap_or_default();
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            0 if index > 0 => return Detect::Yes,
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'_' | b'.' | b'0'..=b'9' if index > 0 => {}
            _ => return Detect::No,
        }
        if index >= NAME {
            return Detect::No;
        }
    }
    Detect::NeedMore
}

impl Reader for Postgresql {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        match self.state {
            State::SslAnswer | State::GssAnswer => Standing::Upgrading(Protocol::Postgresql),
            State::Startup if self.proven => Standing::MayUpgrade(Protocol::Postgresql),
            // The start-up message names user and database; it crossed in the clear.
            State::Backend | State::Password => Standing::Spoken(Protocol::Postgresql),
            State::Startup => Standing::Unproven,
        }
    }
}
