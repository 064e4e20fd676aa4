//! Reading events as any outside tool would: by name.

use std::net::SocketAddr;
use std::time::SystemTime;

use serde_json::Value;

/// One event, and when it was read.
#[derive(Clone, Debug)]
pub struct Event {
    /// All of it.
    pub value: Value,
    /// When its line arrived here.
    pub read: SystemTime,
}

impl Event {
    /// The value at a dotted path; `Null` if absent. Both ways of writing dots count: nested and flat.
    #[must_use]
    pub fn at(&self, path: &str) -> &Value {
        path.split('.').fold(&self.value, |value, name| value.get(name).unwrap_or(&Value::Null))
    }

    /// The text at a dotted path; empty if absent.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        self.at(path).as_str().unwrap_or_default()
    }

    /// The number at a dotted path.
    #[must_use]
    pub fn number(&self, path: &str) -> Option<u64> {
        self.at(path).as_u64()
    }

    /// `event.action`
    #[must_use]
    pub fn action(&self) -> &str {
        self.text("event.action")
    }

    /// Which connection it speaks of; empty if of none.
    #[must_use]
    pub fn connection(&self) -> &str {
        self.text("control_plane.connection.id")
    }

    /// `control_plane.security`
    #[must_use]
    pub fn security(&self) -> &str {
        self.text("control_plane.security")
    }

    /// An end, `source` or `destination`, as the client saw it.
    #[must_use]
    pub fn end(&self, end: &str) -> Option<SocketAddr> {
        let port = u16::try_from(self.number(&format!("{end}.port"))?).ok()?;
        Some(SocketAddr::new(self.text(&format!("{end}.ip")).parse().ok()?, port))
    }

    /// An end behind address translation; the plain one where there is none.
    #[must_use]
    pub fn translated(&self, end: &str) -> Option<SocketAddr> {
        let Some(port) = self.number(&format!("{end}.nat.port")) else { return self.end(end) };
        Some(SocketAddr::new(self.text(&format!("{end}.nat.ip")).parse().ok()?, u16::try_from(port).ok()?))
    }
}
