//! IMAP commands (RFC 9051, RFC 3501).

use crate::protocol::named::Exposed;
use crate::protocol::named::text::{Command, verb};

/// The tag and the rest of a command line; `None` if it is no command.
pub(crate) fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (tag, rest) = (line.get(..space)?, line.get(space + 1..)?);
    let allowed = |byte: &u8| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(byte);
    (!tag.is_empty() && tag.len() <= 64 && tag.iter().all(allowed)).then_some((tag, rest))
}

pub(crate) fn command(line: &[u8]) -> Command {
    match verb(line).as_slice() {
        b"STARTTLS" => Command::StartTls,
        b"CAPABILITY" | b"NOOP" | b"ID" | b"ENABLE" => Command::Harmless { list: false },
        b"LOGIN" => Command::Settles(Some(Exposed::Password)),
        b"AUTHENTICATE" => Command::Settles(Some(Exposed::Authorization)),
        b"SELECT" | b"EXAMINE" | b"LIST" | b"LSUB" | b"STATUS" | b"FETCH" | b"UID" | b"IDLE"
        | b"NAMESPACE" | b"APPEND" | b"LOGOUT" => Command::Settles(None),
        _ => Command::Foreign,
    }
}
