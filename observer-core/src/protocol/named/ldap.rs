//! LDAP v3 (RFC 4511): messages in turn until a bind or a search shows that the session stays in the clear, or the
//! StartTLS extended operation (section 4.14) is accepted.

use crate::flow::Direction::{self, ToClient, ToServer};
use crate::protocol::Detect;
use crate::protocol::conversation::{Encapsulation, Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::{Exposed, Protocol};

const STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
const BIND: u8 = 0x60;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const EXTENDED: u8 = 0x77;
const BIND_ANSWER: u8 = 0x61;
const EXTENDED_ANSWER: u8 = 0x78;
const SEARCH_DONE: u8 = 0x65;
/// How much of a message is looked at; the rest is skipped.
const LOOK: usize = 512;

/// The front of one LDAPMessage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    /// The whole message, its header included.
    length: u64,
    id: u32,
    operation: u8,
    /// Where the operation's content begins.
    content: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Request,
    /// The answer to this message id is awaited; the flag: it was StartTLS.
    Answer { id: u32, operation: u8, starttls: bool },
}

/// The reader of one session's beginning.
#[derive(Debug, Default)]
pub(crate) struct Ldap {
    state: State,
    proven: bool,
}

impl Ldap {
    /// A message with an operation that a client begins with.
    pub(crate) fn detect(client: &[u8]) -> Detect {
        match message(client) {
            Ok(message) => match message.operation {
                BIND | SEARCH | EXTENDED => Detect::Yes,
                _ => Detect::No,
            },
            Err(detect) => detect,
        }
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        loop {
            match self.state {
                State::Request => {
                    let request = next(streams, ToServer)?;
                    if request.operation == UNBIND && self.proven {
                        return Ok(Step::Settled(Protocol::Ldap));
                    }
                    let look = usize::try_from(request.length).unwrap_or(LOOK).min(LOOK);
                    let bytes = streams.peek(ToServer, look)?.get(request.content..look).unwrap_or_default();
                    let starttls = request.operation == EXTENDED && extended_name(bytes) == Some(STARTTLS);
                    if request.operation == BIND && simple_password(bytes) {
                        notes.expose(Exposed::Password);
                    }
                    streams.skip(ToServer, request.length);
                    self.state = State::Answer { id: request.id, operation: request.operation, starttls };
                }
                State::Answer { id, operation, starttls } => {
                    let answer = next(streams, ToClient)?;
                    if answer.id != id {
                        return Err(Step::Reject);
                    }
                    let look = usize::try_from(answer.length).unwrap_or(LOOK).min(LOOK);
                    let code = streams.peek(ToClient, look)?.get(answer.content..answer.content + 3);
                    let success = code == Some(&[0x0a, 1, 0]);
                    match (operation, answer.operation) {
                        (BIND, BIND_ANSWER) | (SEARCH, 0x64 | SEARCH_DONE | 0x73) => {
                            return Ok(Step::Settled(Protocol::Ldap));
                        }
                        (EXTENDED, EXTENDED_ANSWER) => {
                            streams.skip(ToClient, answer.length);
                            self.proven = true;
                            if starttls && success {
                                return Ok(Step::Upgraded(Encapsulation::StarttlsLdap));
                            }
                            self.state = State::Request;
                        }
                        _ => return Err(Step::Reject),
                    }
                }
            }
        }
    }
}

fn next(streams: &Streams, direction: Direction) -> Result<Message, Step> {
    match message(streams.of(direction).bytes()) {
        Ok(message) => Ok(message),
        Err(Detect::No) => Err(Step::Reject),
        Err(_) => Err(Step::Wait(direction)),
    }
}

/// `SEQUENCE { INTEGER id, [APPLICATION n] operation … }`, in any definite BER length form.
fn message(bytes: &[u8]) -> Result<Message, Detect> {
    let tag = |at: usize, wanted: u8| match bytes.get(at) {
        None => Err(Detect::NeedMore),
        Some(tag) if *tag == wanted => Ok(()),
        Some(_) => Err(Detect::No),
    };
    tag(0, 0x30)?;
    let (length, used) = length(bytes.get(1..).unwrap_or_default())?;
    let mut at = 1 + used;
    let total = at as u64 + u64::from(length);
    tag(at, 2)?;
    let size = match bytes.get(at + 1) {
        None => return Err(Detect::NeedMore),
        Some(size @ 1..=4) => usize::from(*size),
        Some(_) => return Err(Detect::No),
    };
    let id = bytes.get(at + 2..at + 2 + size).ok_or(Detect::NeedMore)?;
    if id.first().is_some_and(|byte| byte & 0x80 != 0) {
        return Err(Detect::No);
    }
    let id = id.iter().fold(0_u32, |id, byte| id << 8 | u32::from(*byte));
    at += 2 + size;
    let operation = *bytes.get(at).ok_or(Detect::NeedMore)?;
    let (inner, used) = self::length(bytes.get(at + 1..).unwrap_or_default())?;
    let content = at + 1 + used;
    // Controls may follow the operation, so it may be shorter than the message but not longer.
    if content as u64 + u64::from(inner) > total || id == 0 && operation != EXTENDED_ANSWER {
        return Err(Detect::No);
    }
    Ok(Message { length: total, id, operation, content })
}

fn length(bytes: &[u8]) -> Result<(u32, usize), Detect> {
    match bytes.first() {
        None => Err(Detect::NeedMore),
        Some(short @ ..=0x7f) => Ok((u32::from(*short), 1)),
        Some(long @ 0x81..=0x84) => {
            let size = usize::from(long & 0x7f);
            let digits = bytes.get(1..1 + size).ok_or(Detect::NeedMore)?;
            let length = digits.iter().fold(0_u32, |length, byte| length << 8 | u32::from(*byte));
            if length > 1 << 24 { Err(Detect::No) } else { Ok((length, 1 + size)) }
        }
        Some(_) => Err(Detect::No),
    }
}

/// The requestName of an ExtendedRequest.
fn extended_name(content: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*content.get(1)?);
    (content.first() == Some(&0x80)).then(|| content.get(2..2 + length))?
}

/// Whether a BindRequest carries a simple password that is not empty.
fn simple_password(content: &[u8]) -> bool {
    let name = content.get(3..).unwrap_or_default();
    if content.first_chunk::<2>() != Some(&[2, 1]) || name.first() != Some(&4) {
        return false;
    }
    let Ok((size, used)) = length(name.get(1..).unwrap_or_default()) else { return false };
    let choice = usize::try_from(size).ok().and_then(|size| name.get(1 + used + size..)).unwrap_or_default();
    matches!(choice, [0x80, length, ..] if *length > 0)
}

impl Reader for Ldap {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        match self.state {
            State::Answer { starttls: true, .. } => Standing::Upgrading(Protocol::Ldap),
            _ if self.proven => Standing::MayUpgrade(Protocol::Ldap),
            _ => Standing::Unproven,
        }
    }
}
