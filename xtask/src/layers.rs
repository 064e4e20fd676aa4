//! The house's rules on who may depend on whom, checked against what is really there: `Cargo.lock` for the crates, so that
//! no network is needed, and the sources for what the standard library offers.

use std::collections::{BTreeMap, BTreeSet};

/// Names of packages and of what they depend on, of a `Cargo.lock`. Dependencies of tests and of build scripts are among
/// them: the rules hold for those too.
fn graph(lock: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut package = "";
    for line in lock.lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            package = name.trim_matches('"');
            graph.entry(package).or_default();
        } else if let Some(dependency) = line.strip_prefix(" \"") {
            let name = dependency.split([' ', '"']).next().unwrap_or_default();
            graph.entry(package).or_default().insert(name);
        }
    }
    graph
}

/// Everything that `package` leads to.
fn reach<'a>(graph: &BTreeMap<&'a str, BTreeSet<&'a str>>, package: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![package];
    while let Some(next) = open.pop() {
        for dependency in graph.get(next).into_iter().flatten() {
            if found.insert(*dependency) {
                open.push(dependency);
            }
        }
    }
    found
}

/// Does a crate belong to one of these families (`aya`, `aya-obj`, …)?
fn of_family(name: &str, families: &[&str]) -> bool {
    families
        .iter()
        .any(|family| name == *family || name.strip_prefix(family).is_some_and(|rest| rest.starts_with('-')))
}

fn forbidden<'a>(lock: &'a str, package: &'a str, families: &[&str]) -> Vec<&'a str> {
    reach(&graph(lock), package).into_iter().filter(|name| of_family(name, families)).collect()
}

/// Kernel, runtime, command line, and the crates through which others reach files, sockets and clocks.
const OUTSIDE: [&str; 14] = [
    "aya",
    "tokio",
    "clap",
    "mio",
    "async-std",
    "smol",
    "nix",
    "rustix",
    "socket2",
    "memmap2",
    "tempfile",
    "chrono",
    "network-types",
    "observer",
];

/// What the standard library has of the same.
const STD_OUTSIDE: [&str; 13] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "SystemTime",
    "Instant",
];

/// What of [`STD_OUTSIDE`] a line of code names, alone or as a part of a path.
fn outside_of(code: &str) -> Option<&'static str> {
    let words: Vec<_> = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).collect();
    let names = |outside: &str| {
        let path: Vec<_> = outside.split("::").collect();
        words.iter().any(|word| word.split("::").collect::<Vec<_>>().windows(path.len()).any(|part| part == path))
            // `use std::{fs, io}`
            || outside.strip_prefix("std::").is_some_and(|name| code.contains("std::{") && words.contains(&name))
    };
    STD_OUTSIDE.into_iter().find(|outside| names(outside))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn lock() -> String {
        std::fs::read_to_string(crate::workspace::root().join("Cargo.lock")).unwrap()
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn a_forbidden_crate_is_found_behind_others() {
        let lock = "[[package]]\nname = \"core\"\ndependencies = [\n \"middle 1.0.0\",\n]\n\n[[package]]\nname = \
                    \"middle\"\ndependencies = [\n \"tokio-util\",\n]\n\n[[package]]\nname = \"tokio-util\"\n";
        assert_eq!(forbidden(lock, "core", &OUTSIDE), ["tokio-util"]);
        assert!(of_family("aya-obj", &OUTSIDE) && !of_family("ayatana", &OUTSIDE));
    }

    #[test]
    fn the_analysis_depends_on_no_kernel_runtime_or_command_line() {
        let lock = lock();
        assert!(graph(&lock).contains_key("observer-core"));
        let mut outside = forbidden(&lock, "observer-core", &OUTSIDE);
        outside.retain(|name| *name != "observer-common");
        assert_eq!(outside, Vec::<&str>::new());
    }

    #[test]
    fn the_wire_depends_on_nothing() {
        let lock = lock();
        assert_eq!(graph(&lock)["observer-common"], BTreeSet::new());
    }

    #[test]
    fn the_kernel_programs_depend_on_the_wire_and_not_on_the_analysis() {
        let lock = lock();
        let all = reach(&graph(&lock), "observer-ebpf");
        assert!(all.contains("observer-common"));
        assert!(!all.contains("observer-core") && !all.contains("observer"));
    }

    #[test]
    fn files_and_clocks_are_found_in_code() {
        assert_eq!(outside_of("    let x = std::fs::read(path);"), Some("std::fs"));
        assert_eq!(outside_of("use std::{fs, mem};"), Some("std::fs"));
        assert_eq!(outside_of("use std::time::{Duration, Instant};"), Some("Instant"));
        assert_eq!(outside_of("fn f(net: std::net::TcpStream) {}"), Some("TcpStream"));
        assert_eq!(outside_of("use std::{mem, ops}; struct Instantly;"), None);
    }

    #[test]
    fn the_analysis_opens_nothing_and_asks_no_clock() {
        let root = crate::workspace::root().join("observer-core/src");
        let lib = std::fs::read_to_string(root.join("lib.rs")).unwrap();
        assert!(lib.contains("#![forbid(unsafe_code)]"));
        let mut files = Vec::new();
        sources(&root, &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            // Tests may read captures.
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            for (number, line) in (1..).zip(code.lines()) {
                let code = line.split("//").next().unwrap_or_default();
                let found = outside_of(code);
                assert_eq!(found, None, "{}:{number}", file.display());
            }
        }
    }
}
