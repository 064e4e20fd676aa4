//! FTP commands (RFC 959, RFC 2228, RFC 2389, RFC 4217).

use crate::protocol::named::Exposed;
use crate::protocol::named::text::{Command, verb};

/// Whether the command is one that only FTP has.
pub(crate) fn names(line: &[u8]) -> bool {
    let second = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match verb(line).as_slice() {
        b"USER" | b"PASS" | b"FEAT" | b"SYST" | b"PASV" | b"EPSV" | b"OPTS" | b"PBSZ" => true,
        b"AUTH" => second.eq_ignore_ascii_case(b"TLS") || second.eq_ignore_ascii_case(b"SSL"),
        _ => false,
    }
}

pub(crate) fn command(line: &[u8]) -> Command {
    match verb(line).as_slice() {
        b"AUTH" if names(line) => Command::StartTls,
        // A name alone can still be followed by AUTH TLS, and the password is what matters.
        b"AUTH" | b"USER" | b"FEAT" | b"SYST" | b"OPTS" | b"NOOP" | b"HELP" | b"HOST" | b"CLNT" | b"PBSZ"
        | b"PROT" => Command::Harmless { list: false },
        b"PASS" => Command::Settles(Some(Exposed::Password)),
        b"PASV" | b"EPSV" | b"PORT" | b"EPRT" | b"CWD" | b"PWD" | b"LIST" | b"NLST" | b"MLSD" | b"RETR"
        | b"STOR" | b"TYPE" | b"ACCT" | b"QUIT" => Command::Settles(None),
        _ => Command::Foreign,
    }
}
