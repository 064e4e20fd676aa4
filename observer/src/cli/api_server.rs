//! The address of an API server, as typed.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `IP` or `IP:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiServer {
    /// The machine's address.
    pub ip: IpAddr,
    /// Where it listens, if that was said.
    pub port: Option<u16>,
}

impl FromStr for ApiServer {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        if let Ok(ip) = typed.parse() {
            return Ok(Self { ip, port: None });
        }
        match typed.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self { ip: address.ip(), port: Some(address.port()) }),
            _ => Err("not an address such as 10.0.0.1, 10.0.0.1:6443 or [fd00::1]:6443".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_address_with_and_without_a_port() {
        let port = |typed: &str| typed.parse::<ApiServer>().map(|server| server.port);
        assert_eq!(port("10.0.0.1"), Ok(None));
        assert_eq!(port("fd00::1"), Ok(None));
        assert_eq!(port("[fd00::1]:6443"), Ok(Some(6443)));
        for wrong in ["", "api", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:70000", "https://10.0.0.1"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }
}
