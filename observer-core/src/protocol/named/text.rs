//! Line protocols in which the server speaks first and the client may ask for TLS: SMTP, FTP, IMAP, POP3.
//!
//! The reader follows command and answer in turn: each command is read from the client, then its answer from the
//! server, so pipelined commands and any feeding order give the same result. A session stays open to both outcomes
//! until a command shows that it goes on in the clear (a login, a mail, the end of the session) or until the server
//! accepts the upgrade. What the client sent between an accepted upgrade and its ClientHello is counted as injected.

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::conversation::{Encapsulation, Notes, Reader, Standing, Step, Streams};
use crate::protocol::named::{Exposed, Protocol, ftp, imap, pop3, smtp};

/// The most plaintext that is skipped in search of the ClientHello after an accepted upgrade.
const INJECTED: u64 = 4096;

/// What a client's command means for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// It asks for TLS.
    StartTls,
    /// It leaves the outcome open; `list` if a positive answer is a list that ends with a lone dot (POP3).
    Harmless {
        /// Whether a list follows.
        list: bool,
    },
    /// The session goes on in the clear for good.
    Settles(Option<Exposed>),
    /// No command of this protocol.
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// A greeting that SMTP and FTP share.
    SmtpOrFtp,
    Named(Protocol),
}

#[derive(Debug)]
enum State {
    Greeting,
    Command,
    Answer { command: Command, tag: Vec<u8> },
    List,
    Injected,
}

/// The reader of one session.
#[derive(Debug)]
pub(crate) struct Text {
    dialect: Dialect,
    state: State,
    /// The code of a many-line answer that is being read.
    code: Option<[u8; 3]>,
    /// A command of the protocol was answered as the protocol asks.
    proven: bool,
    preauthenticated: bool,
}

impl Text {
    /// A reader for a server stream that begins like one of the protocols; `None` if it surely does not,
    /// `Some(Err)` if that cannot be told yet.
    pub(crate) fn detect(server: &[u8]) -> Option<Result<Self, ()>> {
        let dialects: [(&[u8], Dialect); 5] = [
            (b"220", Dialect::SmtpOrFtp),
            (b"+OK", Dialect::Named(Protocol::Pop3)),
            (b"* OK ", Dialect::Named(Protocol::Imap)),
            (b"* PREAUTH ", Dialect::Named(Protocol::Imap)),
            (b"* BYE ", Dialect::Named(Protocol::Imap)),
        ];
        let mut open = None;
        for (start, dialect) in dialects {
            if server.starts_with(start) {
                return Some(Ok(Self {
                    dialect,
                    state: State::Greeting,
                    code: None,
                    proven: false,
                    preauthenticated: start == b"* PREAUTH ",
                }));
            }
            if start.starts_with(server) {
                open = Some(Err(()));
            }
        }
        open
    }

    fn advance(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        loop {
            match &self.state {
                State::Greeting => {
                    let Some(line) = self.answer(streams)? else { continue };
                    if self.dialect == Dialect::SmtpOrFtp {
                        self.dialect = greeting(&line);
                    }
                    self.state = State::Command;
                }
                State::Command => {
                    let line = streams.line(ToServer)?;
                    if let Some(step) = self.command(&line, notes) {
                        return Ok(step);
                    }
                }
                State::Answer { .. } => {
                    let Some(line) = self.answer(streams)? else { continue };
                    if let Some(step) = self.answered(&line) {
                        return Ok(step);
                    }
                }
                State::List => {
                    if streams.line(ToClient)? == b"." {
                        self.state = State::Command;
                    }
                }
                State::Injected => return self.upgraded(streams, notes),
            }
        }
    }

    fn command(&mut self, line: &[u8], notes: &mut Notes) -> Option<Step> {
        let (tag, words) = match self.dialect {
            Dialect::Named(Protocol::Imap) => match imap::split(line) {
                Some((tag, words)) => (tag.to_vec(), words),
                None => return Some(Step::Reject),
            },
            _ => (Vec::new(), line),
        };
        if self.dialect == Dialect::SmtpOrFtp {
            self.dialect = match (smtp::names(words), ftp::names(words)) {
                (true, false) => Dialect::Named(Protocol::Smtp),
                (false, true) => Dialect::Named(Protocol::Ftp),
                _ => return Some(Step::Reject),
            };
        }
        let Dialect::Named(protocol) = self.dialect else { return Some(Step::Reject) };
        let command = match protocol {
            Protocol::Imap if self.preauthenticated => Command::Settles(None),
            Protocol::Imap => imap::command(words),
            Protocol::Pop3 => pop3::command(words),
            Protocol::Ftp => ftp::command(words),
            _ => smtp::command(words),
        };
        match command {
            Command::Settles(exposed) => {
                if let Some(kind) = exposed {
                    notes.expose(kind);
                }
                Some(Step::Settled(protocol))
            }
            // A typing error in a session that is certain is answered with an error like any other command.
            Command::Foreign if !self.proven => Some(Step::Reject),
            Command::Foreign => {
                self.state = State::Answer { command: Command::Harmless { list: false }, tag };
                None
            }
            command => {
                self.state = State::Answer { command, tag };
                None
            }
        }
    }

    /// The last line of the next answer, or `None` after a line that is not the last.
    fn answer(&mut self, streams: &mut Streams) -> Result<Option<Vec<u8>>, Step> {
        let line = streams.line(ToClient)?;
        match (self.dialect, &self.state) {
            (Dialect::Named(Protocol::Pop3), _) => {
                if line.starts_with(b"+OK") || line.starts_with(b"-ERR") {
                    Ok(Some(line))
                } else {
                    Err(Step::Reject)
                }
            }
            (Dialect::Named(Protocol::Imap), State::Answer { tag, .. }) => {
                if line.starts_with(b"* ") {
                    Ok(None)
                } else if line.strip_prefix(tag.as_slice()).is_some_and(|rest| rest.starts_with(b" ")) {
                    Ok(Some(line.get(tag.len() + 1..).unwrap_or_default().to_vec()))
                } else {
                    Err(Step::Reject)
                }
            }
            (Dialect::Named(Protocol::Imap), _) => Ok(Some(line)),
            _ => self.numbered(line),
        }
    }

    /// SMTP and FTP: `250-more`, `250 last` (RFC 5321, section 4.2.1; RFC 959, section 4.2).
    fn numbered(&mut self, line: Vec<u8>) -> Result<Option<Vec<u8>>, Step> {
        let code = line.first_chunk::<3>().copied().filter(|code| code.iter().all(u8::is_ascii_digit));
        let mark = line.get(3).copied();
        match (self.code, code, mark) {
            (Some(open), Some(code), None | Some(b' ')) if code == open => {
                self.code = None;
                Ok(Some(line))
            }
            (Some(_), ..) => Ok(None),
            (None, Some(_), None | Some(b' ')) => Ok(Some(line)),
            (None, Some(code), Some(b'-')) => {
                self.code = Some(code);
                Ok(None)
            }
            _ => Err(Step::Reject),
        }
    }

    fn answered(&mut self, line: &[u8]) -> Option<Step> {
        let State::Answer { command, .. } = core::mem::replace(&mut self.state, State::Command) else {
            return Some(Step::Reject);
        };
        self.proven = true;
        let accepted = match self.dialect {
            Dialect::Named(Protocol::Pop3) => line.starts_with(b"+OK"),
            Dialect::Named(Protocol::Imap) => {
                line.first_chunk::<2>().is_some_and(|ok| ok.eq_ignore_ascii_case(b"OK"))
            }
            Dialect::Named(Protocol::Ftp) => line.starts_with(b"234"),
            _ => line.starts_with(b"220"),
        };
        match command {
            Command::StartTls if accepted => self.state = State::Injected,
            Command::Harmless { list: true } if accepted => self.state = State::List,
            _ => {}
        }
        None
    }

    /// Behind an accepted upgrade: where the client's stream does not go on with a TLS record, whole lines are
    /// skipped until it does. A server that kept them would act on plaintext as if it had come through TLS.
    fn upgraded(&mut self, streams: &mut Streams, notes: &mut Notes) -> Result<Step, Step> {
        while streams.peek(ToServer, 1)?.first().is_some_and(|byte| *byte != 0x16 && *byte & 0x80 == 0) {
            let place = streams.of(ToServer).place();
            streams.line(ToServer)?;
            notes.injected += streams.of(ToServer).place() - place;
            if notes.injected > INJECTED {
                return Ok(Step::Reject);
            }
        }
        Ok(Step::Upgraded(self.encapsulation()))
    }

    const fn encapsulation(&self) -> Encapsulation {
        match self.dialect {
            Dialect::Named(Protocol::Imap) => Encapsulation::StarttlsImap,
            Dialect::Named(Protocol::Pop3) => Encapsulation::StarttlsPop3,
            Dialect::Named(Protocol::Ftp) => Encapsulation::StarttlsFtp,
            _ => Encapsulation::StarttlsSmtp,
        }
    }
}

/// SMTP or FTP by what the greeting says of itself.
fn greeting(line: &[u8]) -> Dialect {
    let says = |word: &[u8]| line.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word));
    match (says(b"SMTP") || says(b"LMTP"), says(b"FTP")) {
        (true, false) => Dialect::Named(Protocol::Smtp),
        (false, true) => Dialect::Named(Protocol::Ftp),
        _ => Dialect::SmtpOrFtp,
    }
}

/// The first word of a line, in upper case; empty if it is not letters or is longer than any command.
pub(crate) fn verb(line: &[u8]) -> Vec<u8> {
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    if word.len() > 16 || !word.iter().all(u8::is_ascii_alphanumeric) {
        return Vec::new();
    }
    word.to_ascii_uppercase()
}

impl Reader for Text {
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step {
        match self.advance(streams, notes) {
            Ok(step) | Err(step) => step,
        }
    }

    fn standing(&self) -> Standing {
        match (self.dialect, &self.state) {
            (
                Dialect::Named(protocol),
                State::Injected | State::Answer { command: Command::StartTls, .. },
            ) => Standing::Upgrading(protocol),
            (Dialect::Named(protocol), _) if self.proven => Standing::MayUpgrade(protocol),
            _ => Standing::Unproven,
        }
    }
}
