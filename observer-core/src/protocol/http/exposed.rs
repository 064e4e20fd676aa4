//! Which secrets crossed in the clear, by kind; never what they were.

/// A kind of secret (`control_plane.exposed`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Secret {
    /// An `Authorization` field.
    Authorization = 1,
    /// A `Cookie` field.
    Cookie = 1 << 1,
    /// A `Set-Cookie` field in a response.
    SetCookie = 1 << 2,
    /// A `Proxy-Authorization` field.
    ProxyAuthorization = 1 << 3,
    /// A query parameter that is named like a credential.
    QueryCredential = 1 << 4,
    /// A field by which a proxy passes a verified client certificate on.
    ClientCertificateHeader = 1 << 5,
    /// A field by which a front proxy asserts a user (`X-Remote-User`, …).
    FrontProxyHeader = 1 << 6,
    /// A bearer token in `Sec-WebSocket-Protocol`.
    WebsocketBearer = 1 << 7,
    /// A field such as `X-Api-Key`.
    ApiKeyHeader = 1 << 8,
    /// A token in a path segment.
    PathCredential = 1 << 9,
    /// `user:password@` in a target.
    Userinfo = 1 << 10,
}

impl Secret {
    /// Every kind, in the order of the bits.
    pub const ALL: [Self; 11] = [
        Self::Authorization,
        Self::Cookie,
        Self::SetCookie,
        Self::ProxyAuthorization,
        Self::QueryCredential,
        Self::ClientCertificateHeader,
        Self::FrontProxyHeader,
        Self::WebsocketBearer,
        Self::ApiKeyHeader,
        Self::PathCredential,
        Self::Userinfo,
    ];

    /// The name in the event stream.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
            Self::SetCookie => "set_cookie",
            Self::ProxyAuthorization => "proxy_authorization",
            Self::QueryCredential => "query_credential",
            Self::ClientCertificateHeader => "client_certificate_header",
            Self::FrontProxyHeader => "front_proxy_header",
            Self::WebsocketBearer => "websocket_bearer",
            Self::ApiKeyHeader => "api_key_header",
            Self::PathCredential => "path_credential",
            Self::Userinfo => "userinfo",
        }
    }
}

/// A set of [`Secret`] kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exposed(u16);

impl Exposed {
    /// Adds a kind.
    pub fn insert(&mut self, secret: Secret) {
        self.0 |= secret as u16;
    }

    /// Adds every kind of `other`.
    pub fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether `secret` is in the set.
    #[must_use]
    pub fn contains(self, secret: Secret) -> bool {
        self.0 & secret as u16 != 0
    }

    /// Whether nothing was exposed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = Secret> {
        Secret::ALL.into_iter().filter(move |secret| self.contains(*secret))
    }
}

/// The schemes seen in `Authorization` fields (RFC 9110, section 11.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schemes(u8);

impl Schemes {
    const NAMES: [&'static str; 3] = ["bearer", "basic", "other"];

    /// Adds the scheme that an `Authorization` value begins with.
    pub(super) fn insert(&mut self, value: &[u8]) {
        let value = value.trim_ascii();
        let scheme = value.split(|b| *b == b' ' || *b == b'\t').next().unwrap_or_default();
        self.0 |= match scheme {
            s if s.eq_ignore_ascii_case(b"bearer") => 1,
            s if s.eq_ignore_ascii_case(b"basic") => 2,
            _ => 4,
        };
    }

    /// Adds every scheme of `other`.
    pub fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The names of the schemes: `bearer`, `basic`, `other`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0..3).filter(move |bit| self.0 & (1 << bit) != 0).map(|bit| Self::NAMES[bit])
    }
}
