//! What the command line of a known component says, as far as it may be known: an allow-list of flags. A command line can
//! hold passwords and tokens; nothing else of it is kept.

/// Flags whose values are kept. None of them is, or names, a secret's content.
const FLAGS: [&str; 3] = ["config", "hostname-override", "kubeconfig"];
/// Words looked at: an API server's command line has some hundred.
const MOST_WORDS: usize = 1024;
/// Bytes kept of one value.
const MAX_VALUE: usize = 4096;
/// Words without a dash in front that are kept: they say which program of several an executable is.
const MOST_PLAIN: usize = 2;

/// The allow-listed part of one command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    flags: Vec<(&'static str, String)>,
    plain: Vec<String>,
}

impl Arguments {
    /// Reads the content of `/proc/PID/cmdline` (proc_pid_cmdline(5)): words, each with a zero behind it. The first, the
    /// program's name for itself, is passed over.
    #[must_use]
    pub fn parse(cmdline: &[u8]) -> Self {
        let mut found = Self::default();
        let mut words = cmdline.split(|byte| *byte == 0).skip(1).take(MOST_WORDS).peekable();
        while let Some(word) = words.next() {
            // Go's flags may have one dash or two (package flag; pflag wants two).
            let Some(word) = word.strip_prefix(b"--").or_else(|| word.strip_prefix(b"-")) else {
                found.plain(word);
                continue;
            };
            let (name, value) = match word.iter().position(|byte| *byte == b'=') {
                Some(equals) => (&word[..equals], word.get(equals + 1..)),
                None => (word, None),
            };
            let Some(name) = FLAGS.into_iter().find(|flag| flag.as_bytes() == name) else { continue };
            let value = match value {
                Some(value) => value,
                None => words.next_if(|next| !next.starts_with(b"-")).unwrap_or_default(),
            };
            found.flag(name, value);
        }
        found
    }

    fn flag(&mut self, name: &'static str, value: &[u8]) {
        if let Ok(value) = core::str::from_utf8(value)
            && (1..=MAX_VALUE).contains(&value.len())
            && !value.chars().any(char::is_control)
        {
            self.flags.push((name, value.to_owned()));
        }
    }

    /// A plain word is kept only if it looks like the name of a command, which a secret seldom does.
    fn plain(&mut self, word: &[u8]) {
        let is_command = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'-';
        if self.plain.len() < MOST_PLAIN && (1..=24).contains(&word.len()) && word.iter().all(is_command) {
            self.plain.push(String::from_utf8_lossy(word).into_owned());
        }
    }

    /// The value of a flag; of several the last, as Go's flag packages have it.
    #[must_use]
    pub fn value(&self, flag: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(name, _)| *name == flag).map(|(_, value)| value.as_str())
    }

    /// The first words without a dash.
    pub fn plain_words(&self) -> impl Iterator<Item = &str> {
        self.plain.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Arguments {
        let line: String = words.iter().flat_map(|word| [*word, "\0"]).collect();
        Arguments::parse(line.as_bytes())
    }

    #[test]
    fn keeps_the_listed_flags_in_either_form() {
        let found = parse(&["kubelet", "--config=/a", "--hostname-override", "b", "--v=2"]);
        assert_eq!(
            [found.value("config"), found.value("hostname-override"), found.value("v")],
            [Some("/a"), Some("b"), None]
        );
        assert_eq!(parse(&["kubelet", "-config=/c"]).value("config"), Some("/c"));
        assert_eq!(parse(&["kubelet", "--config=/a", "--config=/b"]).value("config"), Some("/b"));
        assert_eq!(parse(&["kubelet", "--config", "--v=2"]).value("config"), None);
    }

    #[test]
    fn keeps_nothing_that_may_be_a_secret() {
        let found = parse(&["k3s", "server", "--token", "hunter2hunter", "--password=planted", "K10::x"]);
        assert!(!format!("{found:?}").contains("planted"));
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        assert_eq!(found.plain_words().collect::<Vec<_>>(), ["server"]);
    }

    proptest::proptest! {
        #[test]
        fn survives_any_command_line(bytes: Vec<u8>) {
            let found = Arguments::parse(&bytes);
            proptest::prop_assert!(found.plain_words().count() <= MOST_PLAIN);
        }
    }
}
