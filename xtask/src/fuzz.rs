//! `cargo xtask fuzz`: hostile bytes for every parser, seeded from the fixtures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::cli::FuzzArgs;
use crate::fixtures::pcap;
use crate::process::{answer, command, run as run_command};
use crate::workspace;

const VERSION: &str = "0.13.2";

/// The longest input that is tried: several records, segments or requests.
const MAX_LENGTH: usize = 32 << 10;

/// Runs the targets one after another, and fails at the end if one of them found something.
pub fn run(args: &FuzzArgs) -> Result<()> {
    let toolchain = nightly()?;
    if answer(command("cargo").args(["fuzz", "--version"])).is_none() {
        eprintln!("Missing on this machine; to be installed: cargo-fuzz");
        run_command(command("cargo").args(["install", "--locked", "cargo-fuzz", "--version", VERSION]))?;
    }
    let crate_ = workspace::root().join("observer-core/fuzz");
    let targets = if args.targets.is_empty() { targets(&crate_)? } else { args.targets.clone() };
    let seeds = workspace::target().join("fuzz-seeds");
    write_seeds(&seeds)?;
    let mut found = Vec::new();
    for target in &targets {
        println!("\n=== {target}, {} s", args.seconds);
        let corpus = crate_.join("corpus").join(target);
        std::fs::create_dir_all(&corpus)?;
        let mut fuzz = command("rustup");
        fuzz.args(["run", &toolchain, "cargo", "fuzz", "run", target, "--fuzz-dir"]).arg(&crate_);
        fuzz.arg(&corpus).arg(&seeds).arg("--").arg(format!("-max_total_time={}", args.seconds));
        fuzz.arg(format!("-max_len={MAX_LENGTH}"));
        // An input that takes seconds or gigabytes is a finding too.
        fuzz.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=1"]);
        if let Err(error) = run_command(&mut fuzz) {
            println!("error: {error:#}");
            found.push(target.as_str());
        }
    }
    println!("\n{} targets, {} with findings", targets.len(), found.len());
    if !found.is_empty() {
        bail!("findings in {}; the inputs are in observer-core/fuzz/artifacts", found.join(", "));
    }
    Ok(())
}

fn nightly() -> Result<String> {
    let list = answer(command("rustup").args(["toolchain", "list"])).context("fuzzing needs rustup")?;
    let mut names = list.lines().filter_map(|line| line.split_whitespace().next());
    let found = names.find(|name| name.starts_with("nightly")).map(String::from);
    found.context("fuzzing needs a nightly: rustup toolchain install nightly --profile minimal")
}

/// The names of the targets: those of the files.
fn targets(crate_: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(crate_.join("fuzz_targets"))? {
        let path = entry?.path();
        if let (Some("rs"), Some(name)) = (path.extension().and_then(|it| it.to_str()), path.file_stem()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Three kinds of seed of each connection of the fixtures: its script as the targets read it, the beginning of each of
/// its streams, and its first frames.
fn write_seeds(folder: &Path) -> Result<()> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    for file in ["altered.pcap", "tls.pcap", "mixed.pcap"] {
        let capture: PathBuf = workspace::root().join("tests/fixtures").join(file);
        for (client, seed) in seeds(&std::fs::read(capture)?)? {
            let name = format!("{file}-{}-{}", client[2], client[3]);
            std::fs::write(folder.join(format!("{name}.script")), &seed.script)?;
            for (direction, stream) in ["client", "server"].iter().zip(&seed.streams) {
                std::fs::write(folder.join(format!("{name}.{direction}")), stream)?;
            }
            std::fs::write(folder.join(format!("{name}.frame")), &seed.frame)?;
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Seed {
    script: Vec<u8>,
    streams: [Vec<u8>; 2],
    frame: Vec<u8>,
}

/// By client address. Naive about order: a seed need not be right.
fn seeds(capture: &[u8]) -> Result<BTreeMap<[u8; 4], Seed>> {
    let mut found: BTreeMap<[u8; 4], Seed> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for packet in pcap::packets(capture)? {
        let frame = &packet.frame;
        let (Some(&source), Some(&destination)) = (
            frame.get(26..30).and_then(|it| it.first_chunk()),
            frame.get(30..34).and_then(|it| it.first_chunk()),
        ) else {
            continue;
        };
        let to_client = source == crate::fixtures::SERVER.octets();
        let client: [u8; 4] = if to_client { destination } else { source };
        let seed = found.entry(client).or_insert_with(|| Seed { script: vec![0], ..Seed::default() });
        let total = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        let header = 34 + usize::from(frame.get(46).copied().unwrap_or_default() >> 4) * 4;
        let Some(payload) = frame.get(header..total).filter(|payload| !payload.is_empty()) else { continue };
        let sequence = frame[38..42].to_vec();
        if !known.insert((client, to_client, sequence)) || seed.script.len() + payload.len() > MAX_LENGTH {
            continue;
        }
        let length = u16::try_from(payload.len())? | if to_client { 0x8000 } else { 0 };
        seed.script.extend_from_slice(&length.to_le_bytes());
        seed.script.extend_from_slice(payload);
        seed.streams[usize::from(to_client)].extend_from_slice(payload);
        if seed.frame.is_empty() {
            seed.frame = frame.clone();
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_of_the_fixtures_gives_a_seed_and_nearly_all_begin_with_a_hello() {
        let capture = std::fs::read(workspace::root().join("tests/fixtures/tls.pcap")).unwrap();
        let seeds = seeds(&capture).unwrap();
        assert!(seeds.len() > 100);
        assert!(seeds.values().all(|seed| seed.script.len() <= MAX_LENGTH));
        // Not in the captures that were re-ordered afterwards.
        let whole = |seed: &&Seed| seed.streams[0].first() == Some(&22) && seed.script[2] & 0x80 == 0;
        assert!(seeds.values().filter(whole).count() * 10 > seeds.len() * 9);
    }
}
