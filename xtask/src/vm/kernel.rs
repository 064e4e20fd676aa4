//! Which kernels there are, and what of them a guest needs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use super::archive::Archive;
use crate::process::command;

/// The oldest kernel that is supported, and Debian's long-lived ones since. The newest two series come on top.
const FIXED: [&str; 3] = ["5.10", "6.1", "6.12"];
const FLAVOUR: &str = "-cloud-amd64";

/// Modules of a guest in load order. Those that a kernel has built in, or does not know, are left out.
const MODULES: [&str; 5] = ["inet_diag", "tcp_diag", "mptcp_diag", "veth", "sch_netem"];

/// A kernel in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// `5.10`
    pub series: String,
    /// `linux-image-5.10.0-46-cloud-amd64`
    package: String,
}

/// A kernel on this machine.
#[derive(Debug)]
pub struct Unpacked {
    pub image: PathBuf,
    /// Names and files, some of them compressed, in load order.
    pub modules: Vec<(&'static str, PathBuf)>,
}

/// The kernels of the matrix, oldest first.
pub fn matrix(archive: &Archive) -> Result<Vec<Kernel>> {
    let names = names(archive)?;
    let mut wanted: Vec<String> = FIXED.map(String::from).into();
    wanted.extend(newest_series(&names, 2));
    Ok(wanted.iter().filter_map(|series| newest(&names, series)).collect())
}

/// The newest kernel of a series such as `6.1` or `7.2.13`.
pub fn find(archive: &Archive, series: &str) -> Result<Kernel> {
    let names = names(archive)?;
    newest(&names, series).ok_or_else(|| {
        let mut known: Vec<_> =
            names.iter().filter_map(|name| Some(version_of(name)?.1)).map(series_of).collect();
        known.sort_by_key(|series| numbers(series));
        known.dedup();
        anyhow!("the archive has no kernel {series}; it has {}", known.join(", "))
    })
}

fn names(archive: &Archive) -> Result<Vec<String>> {
    let mut names = archive.names("linux-image-")?;
    names.extend(archive.names("linux-binary-")?);
    names.retain(|name| name.ends_with(FLAVOUR) && version_of(name).is_some());
    Ok(names)
}

/// `linux-binary-` packages hold the kernel since 6.19, where the `linux-image-` ones are empty: whether it is one of
/// those, and the version.
fn version_of(package: &str) -> Option<(bool, &str)> {
    let binary = package.strip_prefix("linux-binary-");
    let version = binary.or_else(|| package.strip_prefix("linux-image-"))?.strip_suffix(FLAVOUR)?;
    version.starts_with(|c: char| c.is_ascii_digit()).then_some((binary.is_some(), version))
}

/// `7.2` of `7.2.13+deb14`.
fn series_of(version: &str) -> String {
    let mut parts = version.split(['.', '+', '-']);
    format!("{}.{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn newest(names: &[String], series: &str) -> Option<Kernel> {
    let belongs = |version: &str| {
        version.strip_prefix(series).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let (_, package) = names
        .iter()
        .filter_map(|name| Some((version_of(name)?, name)))
        .filter(|((_, version), _)| belongs(version))
        .max_by_key(|((binary, version), _)| (*binary, numbers(version)))?;
    Some(Kernel { series: series.into(), package: package.clone() })
}

fn newest_series(names: &[String], count: usize) -> Vec<String> {
    let mut all: Vec<_> = names.iter().filter_map(|name| Some(series_of(version_of(name)?.1))).collect();
    all.sort_by_key(|series| numbers(series));
    all.dedup();
    all.retain(|series| !FIXED.contains(&series.as_str()));
    all.split_off(all.len().saturating_sub(count))
}

impl std::fmt::Display for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.series, self.package)
    }
}

impl Kernel {
    /// Fetches the kernel.
    pub fn unpack(&self, archive: &Archive) -> Result<Unpacked> {
        let folder = archive.unpacked(&self.package)?;
        let boot = folder.join("boot");
        let boot = if boot.exists() { boot } else { folder.join("usr/lib/modules") };
        let image = find_file(&boot, &|name| name.starts_with("vmlinuz"))?
            .with_context(|| format!("{} holds no kernel", self.package))?;
        // The packages that hold the kernel alone have its modules beside them.
        let folder = match self.package.strip_prefix("linux-binary-") {
            Some(version) => archive.unpacked(&format!("linux-modules-{version}"))?,
            None => folder,
        };
        let mut modules = Vec::new();
        for name in MODULES {
            let wanted = |file: &str| file.strip_prefix(name).is_some_and(|rest| rest.starts_with(".ko"));
            for root in ["lib/modules", "usr/lib/modules"] {
                if let Some(file) = find_file(&folder.join(root), &wanted)? {
                    modules.push((name, file));
                    break;
                }
            }
        }
        Ok(Unpacked { image, modules })
    }
}

/// The content of a module file, decompressed.
pub fn module(file: &Path, busybox: &Path) -> Result<Vec<u8>> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => Ok(std::fs::read(file)?),
        Some("xz") => {
            let output = command(busybox).args(["unxz", "-c"]).arg(file).output()?;
            if !output.status.success() {
                bail!("cannot decompress {}", file.display());
            }
            Ok(output.stdout)
        }
        _ => bail!("{} is compressed in a way not known here", file.display()),
    }
}

/// The first file below `folder` whose name is wanted.
fn find_file(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if wanted(&entry.file_name().to_string_lossy()) {
                return Ok(Some(entry.path()));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<String> {
        [
            "linux-image-5.10.0-9-cloud-amd64",
            "linux-image-5.10.0-46-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64",
            "linux-image-7.2.13+deb14-cloud-amd64",
            "linux-binary-7.2.9+deb13-cloud-amd64",
            "linux-binary-7.2.13+deb14-cloud-amd64",
            "linux-binary-7.10.1+deb13-cloud-amd64",
        ]
        .map(String::from)
        .into()
    }

    #[test]
    fn versions_are_compared_as_numbers_and_stubs_are_passed_over() {
        let package = |series| newest(&some(), series).map(|kernel| kernel.package);
        assert_eq!(package("5.10").as_deref(), Some("linux-image-5.10.0-46-cloud-amd64"));
        assert_eq!(package("7.2").as_deref(), Some("linux-binary-7.2.13+deb14-cloud-amd64"));
        assert_eq!(package("6.1").as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"), "not 6.12");
        assert_eq!(package("7.1"), None, "not 7.10");
    }

    #[test]
    fn the_newest_series_come_on_top_of_the_fixed_ones() {
        assert_eq!(newest_series(&some(), 2), ["7.2", "7.10"]);
        assert_eq!(newest_series(&[], 2), Vec::<String>::new());
    }
}
