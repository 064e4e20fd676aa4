//! Starting other programs.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A command in the workspace's root, without what `cargo run` put into our environment for us alone: its library
/// path leads a foreign toolchain's compiler to the wrong libraries.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(crate::workspace::root()).env_remove("LD_LIBRARY_PATH").stdin(Stdio::null());
    command
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        if let (Some(value), false) = (value, name == "PATH") {
            line += &format!("{}={} ", name.display(), quoted(value));
        }
    }
    line += &quoted(command.get_program());
    for arg in command.get_args() {
        line += " ";
        line += &quoted(arg);
    }
    line
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=+:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Says what it runs, runs it, and fails unless it succeeds. All of that goes to standard error: standard output belongs
/// to the events of `cargo xtask run` and to the path that `cargo xtask build` prints.
pub fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    eprintln!("$ {line}");
    let status =
        command.stdout(std::io::stderr()).status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Standard output of a command that must succeed; its standard error is ours.
pub fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({})", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Standard output of a command that may well fail or not exist: a question.
pub fn answer(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Is there a program of this name?
pub fn exists(program: &str) -> bool {
    find(program).is_some()
}

fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Are we root?
pub fn is_root() -> bool {
    answer(command("id").arg("-u")).is_some_and(|uid| uid.trim() == "0")
}

/// How a program gets root's rights here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// We are root.
    Root,
    /// `sudo` works without a question.
    Sudo,
    /// `sudo` is there and may ask for a password on the terminal.
    SudoWithPassword,
    /// There is no way.
    None,
}

impl Privilege {
    /// Finds out, without asking anybody anything.
    pub fn here() -> Self {
        use std::io::IsTerminal as _;
        if is_root() {
            Self::Root
        } else if answer(command("sudo").args(["-n", "true"])).is_some() {
            Self::Sudo
        } else if exists("sudo") && std::io::stdin().is_terminal() {
            Self::SudoWithPassword
        } else {
            Self::None
        }
    }

    /// A command that runs with root's rights; `None` where that is impossible.
    pub fn command(self, program: impl AsRef<OsStr>) -> Option<Command> {
        match self {
            Self::Root => Some(command(program)),
            Self::Sudo | Self::SudoWithPassword => {
                let mut sudo = command("sudo");
                if self == Self::Sudo {
                    sudo.arg("-n");
                } else {
                    sudo.stdin(Stdio::inherit());
                }
                sudo.arg(program);
                Some(sudo)
            }
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut it = Command::new("cargo");
        it.args(["install", "a b", "it's", ""]).env("X", "/usr/lib");
        assert_eq!(shown(&it), r"X=/usr/lib cargo install 'a b' 'it'\''s' ''");
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run(&mut command("false")).unwrap_err().to_string();
        assert!(error.contains("`false` failed"), "{error}");
        assert!(answer(&mut command("false")).is_none());
        assert!(!exists("no-such-program-anywhere"));
    }
}
