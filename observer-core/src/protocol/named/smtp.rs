//! SMTP and LMTP commands (RFC 5321, RFC 2033, RFC 3207).

use crate::protocol::named::Exposed;
use crate::protocol::named::text::{Command, verb};

/// Whether the command is one that only SMTP has.
pub(crate) fn names(line: &[u8]) -> bool {
    matches!(verb(line).as_slice(), b"EHLO" | b"HELO" | b"LHLO" | b"STARTTLS" | b"MAIL")
}

pub(crate) fn command(line: &[u8]) -> Command {
    match verb(line).as_slice() {
        b"STARTTLS" => Command::StartTls,
        b"EHLO" | b"HELO" | b"LHLO" | b"NOOP" | b"RSET" | b"HELP" | b"XCLIENT" | b"XFORWARD" => {
            Command::Harmless { list: false }
        }
        b"AUTH" => Command::Settles(Some(Exposed::Authorization)),
        b"MAIL" | b"RCPT" | b"DATA" | b"BDAT" | b"VRFY" | b"EXPN" | b"ETRN" | b"QUIT" => {
            Command::Settles(None)
        }
        _ => Command::Foreign,
    }
}
