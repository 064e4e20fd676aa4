//! Frames and header blocks of HTTP/2 made by hand.

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_HEADERS: u8 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// The empty SETTINGS frame that each side begins with.
pub fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// A field, literal and not indexed, or put into the dynamic table.
pub fn field(name: &str, value: &str, indexed: bool) -> Vec<u8> {
    let mut out = vec![if indexed { 0x40 } else { 0 }];
    for text in [name, value] {
        assert!(text.len() < 127);
        out.push(u8::try_from(text.len()).unwrap());
        out.extend(text.as_bytes());
    }
    out
}

/// The header block of a GET.
pub fn get(path: &str) -> Vec<u8> {
    // :method GET and :scheme http from the static table.
    let mut out = vec![0x82, 0x86];
    out.extend(field(":path", path, false));
    out.extend(field(":authority", "web.example", false));
    out
}

/// A whole GET.
pub fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | 1, stream, &get(path))
}

/// A whole 200.
pub fn response(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | 1, stream, &[0x88])
}
