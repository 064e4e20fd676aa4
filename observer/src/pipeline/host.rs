//! The machine that this runs on.

use std::sync::Arc;

/// Its name, as `uname -n` says it; `None` if it has none.
pub(super) fn hostname() -> Option<Arc<str>> {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    (!name.is_empty()).then(|| name.into())
}
