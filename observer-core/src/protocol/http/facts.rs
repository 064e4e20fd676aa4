//! From fields to the facts of a request or response; shared by HTTP/1.x and HTTP/2.

use super::exposed::Secret;
use super::field::Field;
use super::redact;
use super::request::Request;
use super::response::Response;

/// Takes one field of a request. The first of a repeated field counts, as to the strings; they are only made if the
/// request is to be kept. What decides how the connection goes on (`upgrade`, `grpc`) always is.
pub(super) fn request_field(request: &mut Request, field: Field, value: &[u8], keep: bool) {
    let exposed = &mut request.exposed;
    match field {
        Field::Host => {
            let host = redact::authority(value.trim_ascii(), exposed, keep && request.authority.is_none());
            request.authority = request.authority.take().or(host);
        }
        Field::UserAgent => {
            let text = redact::text(value, exposed, keep && request.user_agent.is_none());
            request.user_agent = request.user_agent.take().or(text);
        }
        Field::ContentType => {
            request.grpc |= is_grpc(value);
            if keep && request.content_type.is_none() {
                request.content_type = redact::name(value);
            }
        }
        Field::Upgrade if request.upgrade.is_none() => request.upgrade = upgrade(value),
        Field::ForwardedFor => {
            request.has_forwarded_for = true;
            if keep && request.forwarded_for.is_none() {
                request.forwarded_for = addresses(value);
            }
        }
        Field::ForwardedUri => {
            request.has_forwarded_uri = true;
            let keep = keep && request.forwarded_uri.is_none();
            let path = redact::target(value.trim_ascii(), exposed, keep).path;
            request.forwarded_uri = request.forwarded_uri.take().or(path);
        }
        Field::Reference => _ = redact::target(value.trim_ascii(), exposed, false),
        Field::Authorization => {
            exposed.insert(Secret::Authorization);
            request.schemes.insert(value);
        }
        Field::WebsocketProtocol => {
            const BEARER: &[u8] = b"bearer.authorization.";
            if value.windows(BEARER.len()).any(|part| part.eq_ignore_ascii_case(BEARER)) {
                exposed.insert(Secret::WebsocketBearer);
            }
        }
        Field::Secret(Secret::SetCookie) => {}
        Field::Secret(secret) => exposed.insert(secret),
        _ => {}
    }
}

/// Takes one field of a response; strings as in [`request_field`].
pub(super) fn response_field(response: &mut Response, field: Field, value: &[u8], keep: bool) {
    match field {
        Field::Server => {
            let text = redact::text(value, &mut response.exposed, keep && response.server.is_none());
            response.server = response.server.take().or(text);
        }
        Field::ContentType if keep && response.content_type.is_none() => {
            response.content_type = redact::name(value);
        }
        Field::Location => _ = redact::target(value.trim_ascii(), &mut response.exposed, false),
        Field::Secret(Secret::SetCookie) => response.exposed.insert(Secret::SetCookie),
        _ => {}
    }
}

fn is_grpc(value: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    value.trim_ascii().get(..GRPC.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(GRPC))
}

/// The names in an `Upgrade` field (RFC 9110, section 7.8), at most four.
pub(super) fn upgrade(value: &[u8]) -> Option<String> {
    let names: Vec<_> = value.split(|b| *b == b',').take(4).filter_map(redact::name).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// The addresses of an `X-Forwarded-For` field: anything else in it is left out.
fn addresses(value: &[u8]) -> Option<String> {
    let is_address = |one: &&[u8]| {
        one.len() <= 56
            && one.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':' | b'[' | b']'))
            && one.iter().any(|b| matches!(b, b'.' | b':'))
    };
    let mut list = String::new();
    for one in value.split(|b| *b == b',').take(8).map(<[u8]>::trim_ascii).filter(is_address) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.extend(one.iter().map(|b| char::from(*b)));
    }
    (!list.is_empty()).then_some(list)
}
