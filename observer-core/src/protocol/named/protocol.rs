//! The protocols that are recognised by name.

/// A protocol, by the name that events use for it (`network.protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TLS, whatever is inside.
    Tls,
    /// HTTP/1.x.
    Http,
    /// HTTP/2 in the clear.
    Http2,
    /// SSH (RFC 4253).
    Ssh,
    /// Redis serialization protocol.
    Redis,
    /// PostgreSQL frontend/backend protocol 3.
    Postgresql,
    /// MySQL and MariaDB client/server protocol.
    Mysql,
    /// SMTP and LMTP.
    Smtp,
    /// IMAP4.
    Imap,
    /// POP3.
    Pop3,
    /// FTP control connection.
    Ftp,
    /// LDAP v3.
    Ldap,
    /// MQTT 3.1, 3.1.1 or 5.
    Mqtt,
    /// AMQP 0-9-1 or 1.0.
    Amqp,
    /// Apache Kafka.
    Kafka,
    /// DNS over TCP.
    Dns,
}

impl Protocol {
    /// The name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Ssh => "ssh",
            Self::Redis => "redis",
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Ftp => "ftp",
            Self::Ldap => "ldap",
            Self::Mqtt => "mqtt",
            Self::Amqp => "amqp",
            Self::Kafka => "kafka",
            Self::Dns => "dns",
        }
    }
}

/// A kind of secret that crossed in the clear; never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Exposed {
    /// Credentials in a header or in a mechanism of their own (SASL exchange, `Proxy-Authorization`).
    Authorization,
    /// A password, as such or as an answer to a challenge.
    Password,
}

impl Exposed {
    /// The name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Password => "password",
        }
    }
}
