//! Text from `/proc` made fit to print: any program can put any bytes into its names.

/// Bytes kept of one name; what lies behind is replaced by `…`.
pub(crate) const MAX_NAME: usize = 64;
/// Bytes kept of one path (`PATH_MAX` is 4096).
pub(crate) const MAX_PATH: usize = 4096;

/// `bytes` as text without control characters: invalid UTF-8 becomes `\xNN`, what does not print becomes an escape
/// (`\n`, `\u{202e}`), and at most `most` bytes of the input are used. A backslash stays one backslash, because systemd
/// puts `\x2d` into cgroup names; so the escaping is safe to print but cannot be undone.
pub(crate) fn printable(bytes: &[u8], most: usize) -> String {
    let kept = bytes.get(..most).unwrap_or(bytes);
    let mut text = String::with_capacity(kept.len());
    for chunk in kept.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' | '"' | '\'' => text.push(character),
                other => text.extend(other.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            text.extend(core::ascii::escape_default(*byte).map(char::from));
        }
    }
    if kept.len() < bytes.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_ordinary_text_alone() {
        assert_eq!(printable(b"/usr/bin/kube-apiserver", 64), "/usr/bin/kube-apiserver");
        assert_eq!(
            printable(r"/system.slice/a\x2db.service".as_bytes(), 64),
            r"/system.slice/a\x2db.service"
        );
        assert_eq!(printable("größe".as_bytes(), 64), "größe");
    }

    #[test]
    fn escapes_control_characters_and_text_that_turns_the_reading_order() {
        assert_eq!(printable(b"a\nb\x1b[2J", 64), "a\\nb\\u{1b}[2J");
        assert_eq!(printable("a\u{202e}b".as_bytes(), 64), "a\\u{202e}b");
    }

    #[test]
    fn escapes_invalid_utf8_and_marks_what_was_cut() {
        assert_eq!(printable(b"a\xffb", 64), "a\\xffb");
        assert_eq!(printable(b"abcdef", 3), "abc…");
    }

    proptest::proptest! {
        #[test]
        fn never_lets_a_control_character_through(bytes: Vec<u8>) {
            let text = printable(&bytes, 100);
            proptest::prop_assert!(text.chars().all(|c| !c.is_control()));
            proptest::prop_assert!(text.len() <= 100 * 10 + 3);
        }
    }
}
