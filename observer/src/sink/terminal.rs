//! What kind of terminal the output is, if it is one.

use std::env;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// What is known of the place where a table appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Columns; `None` where lines may be as long as they like (a file, a pipe).
    pub columns: Option<usize>,
    /// Whether colour is welcome.
    pub colour: bool,
}

impl Terminal {
    /// Looks at `output` and at the environment: `NO_COLOR` (no-color.org) and `TERM=dumb` switch colour off.
    pub fn of(output: &(impl AsFd + IsTerminal)) -> Self {
        if !output.is_terminal() {
            return Self { columns: None, colour: false };
        }
        let columns = rustix::termios::tcgetwinsize(output).map_or(0, |size| usize::from(size.ws_col));
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { columns: Some(if columns == 0 { 80 } else { columns }), colour: !refused && !dumb }
    }
}
