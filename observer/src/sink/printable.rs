//! Text from the wire, made safe for a terminal.

use core::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

/// Appends `text` to `line`, at most `room` columns of it, with every character escaped that a terminal would act on
/// or not show: controls, bidirectional marks, joiners, combining marks. Text that does not fit ends in `…`.
/// Returns the columns it took.
pub(super) fn push(line: &mut String, text: &str, room: usize) -> usize {
    let mut columns = 0;
    let mut fits = Fits { length: line.len(), columns: 0 };
    for character in text.chars() {
        let before = line.len();
        let width = match character.width() {
            Some(width @ 1..) if character != '\u{ad}' => {
                line.push(character);
                width
            }
            _ => {
                // Cannot fail: a String takes everything.
                let _ = write!(line, "{}", character.escape_unicode());
                line.len() - before
            }
        };
        if columns + width > room {
            line.truncate(fits.length);
            if room == 0 {
                return 0;
            }
            line.push('…');
            return fits.columns + 1;
        }
        columns += width;
        if columns < room {
            fits = Fits { length: line.len(), columns };
        }
    }
    columns
}

/// The longest beginning that leaves room for one more column.
struct Fits {
    length: usize,
    columns: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    fn pushed(text: &str, room: usize) -> String {
        let mut line = String::new();
        let columns = push(&mut line, text, room);
        assert_eq!(columns, line.width());
        line
    }

    #[test]
    fn shows_what_a_terminal_would_act_on() {
        assert_eq!(pushed("a\x1b[31mb\r\n\u{202e}c\u{9b}", 99), "a\\u{1b}[31mb\\u{d}\\u{a}\\u{202e}c\\u{9b}");
    }

    #[test]
    fn cuts_to_the_room_there_is() {
        assert_eq!(pushed("abcdef", 6), "abcdef");
        assert_eq!(pushed("abcdefg", 6), "abcde…");
        assert_eq!(pushed("漢字漢字", 5), "漢字…");
        assert_eq!(pushed("漢字漢字", 4), "漢…");
        assert_eq!(pushed("abc", 1), "…");
        assert_eq!(pushed("abc", 0), "");
        assert_eq!(pushed("ab\x07", 5), "ab…");
    }

    proptest! {
        #[test]
        fn never_takes_more_columns_than_there_are(text in "\\PC*|[\\x00-\\x{10ffff}]*", room in 0_usize..40) {
            let line = pushed(&text, room);
            prop_assert!(line.width() <= room);
            prop_assert!(line.chars().all(|character| character.width().unwrap_or(0) > 0));
        }
    }
}
