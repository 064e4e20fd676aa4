//! What a server saw of one connection, in its own words.

use std::net::SocketAddr;

use serde::Deserialize;

/// One connection, as its server saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// The client's address and port. `None` where the server does not log it; then its connections came one by one.
    #[serde(default, deserialize_with = "address")]
    pub peer: Option<SocketAddr>,
    /// The server's address and port.
    #[serde(default, deserialize_with = "address")]
    pub local: Option<SocketAddr>,
    /// `tls`, `http`, `http2`, `ssh`, …
    #[serde(default)]
    pub protocol: Option<String>,
    /// `1.2` or `1.3`.
    #[serde(default)]
    pub version: Option<String>,
    /// The cipher suite, in the server's words.
    #[serde(default)]
    pub cipher: Option<String>,
    /// `presented`, `declined`, `not_requested` or `resumed`.
    #[serde(default)]
    pub client: Option<String>,
    /// How many requests came.
    #[serde(default)]
    pub requests: Option<u64>,
    /// The server's process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// Which server and client this was, for people.
    #[serde(default)]
    pub label: String,
}

/// Reads `ip:port`, with zone indices dropped and mapped addresses as IPv4.
#[must_use]
pub fn parse(text: &str) -> Option<SocketAddr> {
    let plain = match (text.find('%'), text.find(']')) {
        (Some(zone), Some(end)) => format!("{}{}", &text[..zone], &text[end..]),
        _ => text.to_owned(),
    };
    let address: SocketAddr = plain.parse().ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn address<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).map(Some).ok_or_else(|| serde::de::Error::custom(format!("no address: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_as_stacks_write_them() {
        for (text, read) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("[0:0:0:0:0:0:0:1%lo]:80", "[::1]:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(parse(text), Some(read.parse().unwrap()));
        }
        assert_eq!(parse("::1"), None);
    }
}
