//! What a protocol was wrapped in, or reached through.

/// One layer that was taken off before the rest was read, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encapsulation {
    /// PROXY protocol, text form.
    ProxyV1,
    /// PROXY protocol, binary form.
    ProxyV2,
    /// SOCKS 4 or 4a.
    Socks4,
    /// SOCKS 5 (RFC 1928).
    Socks5,
    /// HTTP CONNECT (RFC 9110, section 9.3.6).
    HttpConnect,
    /// SMTP STARTTLS (RFC 3207).
    StarttlsSmtp,
    /// IMAP STARTTLS (RFC 9051, section 6.2.1).
    StarttlsImap,
    /// POP3 STLS (RFC 2595, section 4).
    StarttlsPop3,
    /// FTP AUTH TLS (RFC 4217).
    StarttlsFtp,
    /// PostgreSQL SSLRequest.
    StarttlsPostgresql,
    /// MySQL SSLRequest packet.
    StarttlsMysql,
    /// LDAP StartTLS extended operation (RFC 4511, section 4.14).
    StarttlsLdap,
}

impl Encapsulation {
    /// The name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProxyV1 => "proxy_v1",
            Self::ProxyV2 => "proxy_v2",
            Self::Socks4 => "socks4",
            Self::Socks5 => "socks5",
            Self::HttpConnect => "http_connect",
            Self::StarttlsSmtp => "starttls_smtp",
            Self::StarttlsImap => "starttls_imap",
            Self::StarttlsPop3 => "starttls_pop3",
            Self::StarttlsFtp => "starttls_ftp",
            Self::StarttlsPostgresql => "starttls_postgresql",
            Self::StarttlsMysql => "starttls_mysql",
            Self::StarttlsLdap => "starttls_ldap",
        }
    }

    /// Whether the peers agreed to speak TLS from here on.
    #[must_use]
    pub const fn promises_tls(self) -> bool {
        !matches!(self, Self::ProxyV1 | Self::ProxyV2 | Self::Socks4 | Self::Socks5 | Self::HttpConnect)
    }
}
