//! From whole header blocks to requests and responses.

use super::super::facts;
use super::super::field::Field;
use super::super::log::Log;
use super::super::redact;
use super::super::request::Request;
use super::super::response::Response;
use super::Http2;
use crate::flow::Direction;

impl Http2 {
    /// A block that cannot be read: if it opened a stream, it was a request.
    pub(super) fn miss(&mut self, log: &mut Log, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        if direction == Direction::ToServer && !side.block.promised && side.block.stream > side.last_stream {
            side.last_stream = side.block.stream;
            log.summary.missed += 1;
        }
    }

    /// A whole block.
    pub(super) fn block(&mut self, log: &mut Log, direction: Direction, bytes: &[u8]) {
        let side = &mut self.sides[direction.index()];
        let read = match (side.decoder_lost, side.block.promised, direction) {
            (true, ..) => false,
            // A push carries a request that no client sent.
            (_, true, _) => side.decoder.decode(bytes, |_, _| {}).is_ok(),
            (_, _, Direction::ToServer) => self.request(log, bytes),
            (_, _, Direction::ToClient) => self.response(log, bytes),
        };
        if !read {
            self.sides[direction.index()].lose_decoder();
            self.miss(log, direction);
        }
    }

    /// False if the block does not decode.
    fn request(&mut self, log: &mut Log, bytes: &[u8]) -> bool {
        let side = &mut self.sides[Direction::ToServer.index()];
        let keep = log.keeps_request();
        let mut request = Request { version: "2", offset: side.block.offset, ..Request::default() };
        let mut host = None;
        let mut is_request = false;
        let read = side.decoder.decode(bytes, |name, value| match name {
            b":method" => {
                is_request = true;
                request.method = redact::method(value, keep);
            }
            b":path" => {
                let target = redact::target(value, &mut request.exposed, keep);
                request.path = target.path;
                request.has_query = target.has_query;
            }
            b":authority" => request.authority = redact::authority(value, &mut request.exposed, keep),
            b":scheme" if value == b"http" => request.scheme = Some("http"),
            b":scheme" if value == b"https" => request.scheme = Some("https"),
            b":protocol" => request.upgrade = facts::upgrade(value),
            _ => match Field::named(name) {
                // Second to `:authority`, whichever comes first.
                Some(Field::Host) => {
                    let found = redact::authority(value.trim_ascii(), &mut request.exposed, keep);
                    host = host.take().or(found);
                }
                // Not in HTTP/2 (RFC 9113, section 8.2.2).
                Some(Field::Upgrade) | None => {}
                Some(field) => facts::request_field(&mut request, field, value, keep),
            },
        });
        if read.is_err() {
            return false;
        }
        if side.block.stream > side.last_stream {
            side.last_stream = side.block.stream;
            if is_request {
                request.authority = request.authority.or(host);
                self.recognised = true;
                log.request(request);
            } else {
                log.summary.missed += 1;
            }
        }
        true
    }

    /// False if the block does not decode.
    fn response(&mut self, log: &mut Log, bytes: &[u8]) -> bool {
        let side = &mut self.sides[Direction::ToClient.index()];
        let keep = log.keeps_response();
        let mut response = Response { version: "2", offset: side.block.offset, ..Response::default() };
        let read = side.decoder.decode(bytes, |name, value| {
            if name == b":status" {
                response.status =
                    core::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or_default();
            } else if let Some(field) = Field::named(name) {
                facts::response_field(&mut response, field, value, keep);
            }
        });
        if read.is_ok() && response.status >= 200 {
            log.response(response);
        }
        read.is_ok()
    }
}
