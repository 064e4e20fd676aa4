//! Debian's archive without the system's apt: lists, downloads and unpacked packages in a folder of our own. Nothing is
//! installed, no right is needed, and the lists are verified with the archive's keys as apt does it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::process::{command, exists, output, run};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package's name does not tell its suite, so all of them are in one state: the names with a version in them (kernels)
/// are distinct, and for the others any suite will do.
const SUITES: [(&str, &str); 6] = [
    ("debian-security", "bullseye-security"),
    ("debian-security", "bookworm-security"),
    ("debian", "trixie"),
    ("debian-security", "trixie-security"),
    ("debian", "trixie-backports"),
    ("debian", "sid"),
];

/// Lists older than this are fetched anew.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// A private state of apt.
#[derive(Debug)]
pub struct Archive {
    dir: PathBuf,
}

impl Archive {
    /// Opens the state in `dir`, and fetches the lists if there are none or old ones. Old lists will do if there is no
    /// network.
    pub fn open(dir: &Path) -> Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg"] {
            if !exists(program) {
                bail!("kernels are fetched with apt, and {program} is not here");
            }
        }
        if !Path::new(KEYRING).exists() {
            bail!("the archive's keys are not here: install debian-archive-keyring");
        }
        for part in ["lists/partial", "cache/archives/partial", "unpacked"] {
            std::fs::create_dir_all(dir.join(part))?;
        }
        std::fs::write(dir.join("status"), "")?;
        std::fs::write(dir.join("apt.conf"), configuration(dir))?;
        std::fs::write(dir.join("sources.list"), sources(&SUITES))?;
        let archive = Self { dir: dir.into() };
        let stamp = dir.join("fetched");
        let age =
            stamp.metadata().and_then(|stamp| stamp.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_none_or(|age| age > FRESH) {
            match run(archive.apt("apt-get").args(["update", "-q"])) {
                Ok(()) => std::fs::write(&stamp, "")?,
                Err(error) if age.is_none() => {
                    return Err(
                        error.context("the lists of packages could not be fetched; is there a network?")
                    );
                }
                Err(error) => eprintln!("{error:#}; going on with older lists"),
            }
        }
        Ok(archive)
    }

    /// Names of packages that begin with `prefix`.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = output(self.apt("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(String::from).collect())
    }

    /// The folder with a package's files, downloaded and unpacked if it was not yet.
    pub fn unpacked(&self, package: &str) -> Result<PathBuf> {
        let folder = self.dir.join("unpacked").join(package);
        if folder.exists() {
            return Ok(folder);
        }
        let mut download = self.apt("apt-get");
        let archives = self.dir.join("cache/archives");
        run(download.current_dir(&archives).args(["download", "-q", package]))?;
        let name = format!("{package}_");
        let deb = std::fs::read_dir(&archives)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name)))
            .ok_or_else(|| anyhow!("apt-get downloaded no {package}"))?;
        // Renamed when complete: a folder that exists is a whole one.
        let partial = self.dir.join("unpacked").join(format!("{package}.partial"));
        let _ = std::fs::remove_dir_all(&partial);
        run(command("dpkg").arg("-x").arg(&deb).arg(&partial))?;
        std::fs::rename(&partial, &folder).with_context(|| format!("{}", folder.display()))?;
        std::fs::remove_file(&deb)?;
        Ok(folder)
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = command(program);
        apt.arg("-c").arg(self.dir.join("apt.conf"));
        apt
    }
}

/// What makes apt's state private. Given by `-c`, which is read last.
fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"Dir::State "{dir}";
Dir::State::lists "{dir}/lists";
Dir::State::status "{dir}/status";
Dir::Cache "{dir}/cache";
Dir::Etc::sourcelist "{dir}/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architecture "amd64";
APT::Architectures "amd64";
// The folder is the user's; apt's own user may not write there.
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::GzipIndexes "false";
Acquire::PDiffs "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
// Suites that are no longer renewed are wanted for their kernels.
Acquire::Check-Valid-Until "false";
"#
    )
}

/// The content of a `sources.list`.
pub fn sources(suites: &[(&str, &str)]) -> String {
    let line = |(archive, suite): &(&str, &str)| {
        format!("deb [signed-by={KEYRING}] http://deb.debian.org/{archive} {suite} main\n")
    };
    suites.iter().map(line).collect()
}
