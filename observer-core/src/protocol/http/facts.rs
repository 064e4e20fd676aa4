//! From fields to the facts of a request or response; shared by HTTP/1.x and HTTP/2.

use super::exposed::Secret;
use super::redact;
use super::request::Request;
use super::response::Response;

/// Longest field name that matters.
const MAX_NAME: usize = 40;

/// Lower-case copy of a field name; `None` if it is longer than any that matters.
fn lower<'a>(name: &[u8], into: &'a mut [u8; MAX_NAME]) -> Option<&'a [u8]> {
    let copy = into.get_mut(..name.len())?;
    copy.copy_from_slice(name);
    copy.make_ascii_lowercase();
    Some(copy)
}

/// Takes one field of a request. The first of a repeated field counts, as to the strings.
pub(super) fn request_field(request: &mut Request, name: &[u8], value: &[u8]) {
    let mut space = [0; MAX_NAME];
    let Some(name) = lower(name, &mut space) else { return };
    let exposed = &mut request.exposed;
    match name {
        b"host" if request.authority.is_none() => {
            request.authority = redact::authority(value.trim_ascii(), exposed)
        }
        b"user-agent" if request.user_agent.is_none() => request.user_agent = redact::text(value, exposed),
        b"content-type" if request.content_type.is_none() => request.content_type = redact::name(value),
        b"upgrade" if request.upgrade.is_none() => request.upgrade = upgrade(value),
        b"x-forwarded-for" if request.forwarded_for.is_none() => request.forwarded_for = addresses(value),
        b"x-forwarded-uri" if request.forwarded_uri.is_none() => {
            request.forwarded_uri = redact::target(value.trim_ascii(), exposed).path;
        }
        b"x-forwarded-uri" | b"x-original-url" | b"x-original-uri" | b"referer" => {
            redact::target(value.trim_ascii(), exposed);
        }
        b"authorization" => {
            exposed.insert(Secret::Authorization);
            request.schemes.insert(value);
        }
        b"cookie" => exposed.insert(Secret::Cookie),
        b"proxy-authorization" => exposed.insert(Secret::ProxyAuthorization),
        b"x-forwarded-client-cert"
        | b"x-forwarded-tls-client-cert"
        | b"x-ssl-client-cert"
        | b"x-ssl-cert"
        | b"ssl-client-cert"
        | b"ssl_client_cert"
        | b"x-client-cert"
        | b"client-cert"
        | b"client-cert-chain" => exposed.insert(Secret::ClientCertificateHeader),
        b"x-remote-user" | b"x-remote-group" | b"x-remote-uid" | b"remote-user" | b"impersonate-user" => {
            exposed.insert(Secret::FrontProxyHeader);
        }
        _ if name.starts_with(b"x-remote-extra-") => exposed.insert(Secret::FrontProxyHeader),
        b"sec-websocket-protocol" => {
            const BEARER: &[u8] = b"bearer.authorization.";
            if memchr::memmem::find(&value.to_ascii_lowercase(), BEARER).is_some() {
                exposed.insert(Secret::WebsocketBearer);
            }
        }
        b"x-api-key"
        | b"api-key"
        | b"apikey"
        | b"x-auth-token"
        | b"x-vault-token"
        | b"x-access-token"
        | b"x-subject-token"
        | b"x-csrf-token"
        | b"private-token"
        | b"x-gitlab-token"
        | b"x-consul-token"
        | b"x-amz-security-token"
        | b"x-goog-api-key"
        | b"x-functions-key"
        | b"x-session-token"
        | b"x-forwarded-access-token"
        | b"x-auth-request-access-token"
        | b"x-id-token" => exposed.insert(Secret::ApiKeyHeader),
        _ => {}
    }
}

/// Takes one field of a response.
pub(super) fn response_field(response: &mut Response, name: &[u8], value: &[u8]) {
    let mut space = [0; MAX_NAME];
    let Some(name) = lower(name, &mut space) else { return };
    match name {
        b"server" if response.server.is_none() => {
            response.server = redact::text(value, &mut response.exposed);
        }
        b"content-type" if response.content_type.is_none() => response.content_type = redact::name(value),
        b"set-cookie" | b"set-cookie2" => response.exposed.insert(Secret::SetCookie),
        b"location" | b"content-location" | b"refresh" => {
            redact::target(value.trim_ascii(), &mut response.exposed);
        }
        _ => {}
    }
}

/// The names in an `Upgrade` field (RFC 9110, section 7.8), at most four.
pub(super) fn upgrade(value: &[u8]) -> Option<String> {
    let names: Vec<_> = value.split(|b| *b == b',').take(4).filter_map(redact::name).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// The addresses of an `X-Forwarded-For` field: anything else in it is left out.
fn addresses(value: &[u8]) -> Option<String> {
    let list: Vec<_> = value
        .split(|b| *b == b',')
        .take(8)
        .map(<[u8]>::trim_ascii)
        .filter(|one| one.len() <= 56 && one.iter().all(|b| b.is_ascii_hexdigit() || b".:[]".contains(b)))
        .filter(|one| one.iter().any(|b| b".:".contains(b)))
        .map(String::from_utf8_lossy)
        .collect();
    (!list.is_empty()).then(|| list.join(", "))
}
