//! Where bytes of targets and fields become strings: nothing secret passes. Everything is judged whether its text is
//! kept or not, so that what was exposed does not depend on it.

mod class;
mod credential;
mod path;
mod percent;
mod target;
mod text;

pub(super) use class::{TARGET, TOKEN, is};
pub(super) use target::{authority, target};
pub(super) use text::{method, name, text};
