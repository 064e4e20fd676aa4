//! Names of files in messages.

use std::path::Path;

/// A file's name, safe for a terminal and in one line.
pub(super) fn shown(name: &Path) -> String {
    if name.as_os_str() == "-" {
        return "standard input".into();
    }
    let mut text = String::new();
    for character in name.display().to_string().chars() {
        if character.is_control() {
            text.extend(character.escape_unicode());
        } else {
            text.push(character);
        }
    }
    text
}
