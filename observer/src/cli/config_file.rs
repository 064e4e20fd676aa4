//! The configuration file of `observer run`: TOML, with the long options as keys.
//!
//! Values go through the same parsers as on the command line, so that the two cannot differ. A key that takes a list
//! may be given one value or an array.

use core::ops::Range;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use clap::{Args, Command, FromArgMatches};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::failure::Failure;
use super::shown::shown;
use super::typed::RunTyped;

/// A configuration file longer than this many bytes is a mistake.
const MAX_LENGTH: u64 = 1 << 20;

/// Reads the file at `path` as if its keys had been typed.
///
/// # Errors
/// One, naming file, line and key, and the fix.
pub(super) fn read(path: &Path) -> Result<RunTyped, Failure> {
    let shown = shown(path);
    let refused = |why: &str| Failure::usage(format!("{shown} {why}; name a TOML file with --config"));
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::IsADirectory => refused("is a directory"),
        _ => Failure::usage(format!("cannot read the configuration file {shown}: {error}; check --config")),
    };
    let mut bytes = Vec::new();
    // Not by the length that the file system tells: a device or a pipe has none and may never end.
    File::open(path).and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut bytes)).map_err(fail)?;
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(refused("is longer than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("is not text"))?;
    parse(&text).map_err(|misfit| {
        let before = text.get(..misfit.place.start).unwrap_or(&text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Failure::usage(format!("{shown}:{line}: {}", misfit.message))
    })
}

/// What is wrong, and where in the text.
#[derive(Debug)]
struct Misfit {
    place: Range<usize>,
    message: String,
}

fn parse(text: &str) -> Result<RunTyped, Misfit> {
    let table = DeTable::parse(text).map_err(|error| Misfit {
        place: error.span().unwrap_or_default(),
        message: error.message().to_owned(),
    })?;
    let command = RunTyped::augment_args(Command::new("config").no_binary_name(true).disable_help_flag(true));
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut words = Vec::new();
    for (key, value) in entries {
        let name = key.get_ref().as_ref();
        if name == "config" || !command.get_arguments().any(|known| known.get_long() == Some(name)) {
            return Err(Misfit { place: key.span(), message: unknown(name, &command) });
        }
        for (word, place) in words_of(name, value)? {
            // Tried alone first, so that an error can be tied to this value's line.
            if let Err(error) = command.clone().try_get_matches_from([&word]) {
                return Err(Misfit { place, message: first_line(&error, name) });
            }
            words.push(word);
        }
    }
    let fail = |error: clap::Error| Misfit { place: 0..0, message: first_line(&error, "") };
    let matches = command.try_get_matches_from(words).map_err(fail)?;
    RunTyped::from_arg_matches(&matches).map_err(fail)
}

/// A key's values as they would be typed, each with its place.
fn words_of(name: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<(String, Range<usize>)>, Misfit> {
    let word = |value: &Spanned<DeValue<'_>>| {
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            other => {
                let kind = other.type_str();
                let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
                let message = format!("`{name}` cannot be {article} {kind}; write a text or a number");
                return Err(Misfit { place: value.span(), message });
            }
        };
        Ok((format!("--{name}={text}"), value.span()))
    };
    match value.get_ref() {
        DeValue::Array(values) => values.iter().map(word).collect(),
        _ => word(value).map(|word| vec![word]),
    }
}

fn unknown(name: &str, command: &Command) -> String {
    let known: Vec<&str> =
        command.get_arguments().filter_map(clap::Arg::get_long).filter(|known| *known != "config").collect();
    let nearest = known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7);
    match nearest {
        Some((_, nearest)) => format!("unknown key `{name}`; did you mean `{nearest}`?"),
        None => format!("unknown key `{name}`; the keys are {}", known.join(", ")),
    }
}

/// The message of clap without its `error:`, its advice on usage and the dashes of an option.
fn first_line(error: &clap::Error, name: &str) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let possible = lines.find(|line| line.starts_with("[possible values")).unwrap_or_default();
    let mut message = first.to_owned();
    if let Some(start) = message.find(&format!("'--{name}"))
        && let Some(end) = message.get(start + 1..).and_then(|rest| rest.find('\''))
    {
        message.replace_range(start..start + end + 2, &format!("`{name}`"));
    }
    if !possible.is_empty() {
        message.push(' ');
        message.push_str(possible);
    }
    shortened(&message)
}

/// A message with the middle of a value left out that no line on a terminal would hold.
fn shortened(message: &str) -> String {
    const ENDS: usize = 200;
    let count = message.chars().count();
    if count <= 2 * ENDS + 1 {
        return message.to_owned();
    }
    let start = message.chars().take(ENDS);
    start.chain(['…']).chain(message.chars().skip(count - ENDS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind_of_key() {
        let typed = parse(
            "scope = 'watched'\nport = ['default', '7000-7010', 8443]\npid = 17\nprocess = 'caddy'\n\
             address = ['10.0.0.0/8', 'fd00::1']\ncgroup = '/kubepods'\nverdict-timeout = '3s'\npayload-ring = '8M'\n",
        )
        .unwrap();
        assert_eq!(typed.port.len(), 3);
        assert_eq!(typed.pid, [17]);
        assert_eq!(typed.address.len(), 2);
        assert_eq!(typed.payload_ring, Some(8 << 20));
        assert_eq!(parse("").unwrap().scope, None);
    }

    #[test]
    fn names_the_nearest_key_for_a_mistyped_one() {
        let misfit = parse("scope = 'all'\nprots = 5\n").unwrap_err();
        assert_eq!(misfit.message, "unknown key `prots`; did you mean `port`?");
        assert_eq!(misfit.place.start, 14);
        assert!(
            parse("[qqq]\n").unwrap_err().message.starts_with("unknown key `qqq`; the keys are scope, port")
        );
        assert!(parse("config = 'x'\n").unwrap_err().message.starts_with("unknown key `config`"));
    }

    #[test]
    fn says_what_is_wrong_with_a_value() {
        let message = |text: &str| parse(text).unwrap_err().message;
        assert!(
            message("port = 70000").contains("is not a port from 1 to 65535"),
            "{}",
            message("port = 70000")
        );
        assert!(message("scope = 'some'").contains("watched, all"), "{}", message("scope = 'some'"));
        assert!(message("scope = true").contains("cannot be a boolean"));
        assert!(message("scope = 'all'\nscope = 'all'").contains("duplicate key"));
        assert!(!message("pid = 0").contains("--"), "{}", message("pid = 0"));
        assert_eq!(message("port = [[1]]"), "`port` cannot be an array; write a text or a number");
        assert!(!parse("port = [").unwrap_err().message.is_empty());
        let long = message(&format!("port = '{}'", "9".repeat(100_000)));
        assert!(long.chars().count() < 500 && long.ends_with("`default` or `none`"), "{long}");
    }

    #[test]
    fn says_where_in_a_list_the_wrong_value_is() {
        let text = "port = [\n  6443,\n  'http',\n]\n";
        assert_eq!(parse(text).unwrap_err().place.start, text.find("'http'").unwrap());
    }
}
