//! POP3 commands (RFC 1939, RFC 2449, RFC 2595, RFC 5034).

use crate::protocol::named::Exposed;
use crate::protocol::named::text::{Command, verb};

pub(crate) fn command(line: &[u8]) -> Command {
    match verb(line).as_slice() {
        b"STLS" => Command::StartTls,
        b"CAPA" => Command::Harmless { list: true },
        b"NOOP" | b"UTF8" | b"LANG" | b"USER" => Command::Harmless { list: false },
        b"PASS" | b"APOP" => Command::Settles(Some(Exposed::Password)),
        b"AUTH" if line.len() > 5 => Command::Settles(Some(Exposed::Authorization)),
        b"AUTH" | b"STAT" | b"LIST" | b"RETR" | b"DELE" | b"TOP" | b"UIDL" | b"QUIT" => {
            Command::Settles(None)
        }
        _ => Command::Foreign,
    }
}
