//! Kubernetes and konnectivity from the Go module proxy, built once and kept.
//!
//! `k8s.io/kubernetes` refuses `go install …@version`, because its go.mod has `replace` lines. A module of our own that
//! requires it, and replaces the same names by their published versions, builds the same programs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::state::Shape;
use super::version::Version;
use crate::process::{command, exists, output, run};
use crate::workspace;

/// The parts of Kubernetes that run, and the client that people use.
const PROGRAMS: [&str; 6] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"];

const KONNECTIVITY: &str = "sigs.k8s.io/apiserver-network-proxy";
const KONNECTIVITY_VERSION: &str = "v0.34.0";

/// Where everything is kept that is made once.
pub fn cache() -> PathBuf {
    workspace::target().join("cluster")
}

/// Is everything built that a cluster of this shape is made of?
pub fn is_built(shape: Shape) -> bool {
    let konnectivity = !shape.konnectivity || konnectivity_folder().exists();
    kubernetes_folder(shape.version).exists() && konnectivity && cache().join("peer").exists()
}

fn kubernetes_folder(version: Version) -> PathBuf {
    cache().join("bin").join(version.to_string())
}

fn konnectivity_folder() -> PathBuf {
    cache().join("bin").join(format!("konnectivity-{KONNECTIVITY_VERSION}"))
}

/// The folder with Kubernetes' programs, built if they were not yet: eight minutes of two processors.
pub fn kubernetes(version: Version) -> Result<PathBuf> {
    let folder = kubernetes_folder(version);
    if folder.exists() {
        return Ok(folder);
    }
    require_go()?;
    eprintln!("Building Kubernetes {version}; once, for some minutes.");
    let source = cache().join("source").join(version.to_string());
    std::fs::create_dir_all(&source)?;
    let module = "k8s.io/kubernetes";
    let told = output(go(&source).args(["mod", "download", "-json", &format!("{module}@v{version}")]))?;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    let theirs = std::fs::read_to_string(told["GoMod"].as_str().context("go tells no go.mod")?)?;
    std::fs::write(source.join("go.mod"), module_file(&theirs, version)?)?;
    let imports = PROGRAMS.map(|name| match name {
        "kubectl" => "k8s.io/kubectl/pkg/cmd".into(),
        name => format!("{module}/cmd/{name}/app"),
    });
    std::fs::write(source.join("tools.go"), tools(&imports))?;
    run(go(&source).args(["mod", "tidy"]))?;
    let variable = "k8s.io/component-base/version.git";
    let flags = format!(
        "-w -X {variable}Version=v{version} -X {variable}Major=1 -X {variable}Minor={}",
        version.minor
    );
    let packages = PROGRAMS.map(|name| format!("{module}/cmd/{name}"));
    build(&source, &folder, &flags, &packages)?;
    Ok(folder)
}

/// The folder with konnectivity's `proxy-server` and `proxy-agent`, built if they were not yet.
pub fn konnectivity() -> Result<PathBuf> {
    let folder = konnectivity_folder();
    if folder.exists() {
        return Ok(folder);
    }
    require_go()?;
    eprintln!("Building konnectivity {KONNECTIVITY_VERSION}; once.");
    let source = cache().join("source/konnectivity");
    std::fs::create_dir_all(&source)?;
    let client = format!("{KONNECTIVITY}/konnectivity-client");
    std::fs::write(
        source.join("go.mod"),
        format!(
            "module cluster\n\ngo 1.24.0\n\nrequire {KONNECTIVITY} {KONNECTIVITY_VERSION}\n\nreplace {client} => \
             {client} {KONNECTIVITY_VERSION}\n"
        ),
    )?;
    let imports = ["server", "agent"].map(|name| format!("{KONNECTIVITY}/cmd/{name}/app"));
    std::fs::write(source.join("tools.go"), tools(&imports))?;
    run(go(&source).args(["mod", "tidy"]))?;
    let packages = ["server", "agent"].map(|name| format!("{KONNECTIVITY}/cmd/{name}"));
    build(&source, &folder, "-w", &packages)?;
    // Everywhere else they go by these names, and the names are what one looks for.
    for name in ["server", "agent"] {
        std::fs::rename(folder.join(name), folder.join(format!("proxy-{name}")))?;
    }
    Ok(folder)
}

/// The peer, which is our own: Go finds out itself whether it changed.
pub fn peer() -> Result<PathBuf> {
    require_go()?;
    let file = cache().join("peer");
    std::fs::create_dir_all(cache())?;
    let mut build = go(&workspace::root().join("xtask/cluster/peer"));
    run(build.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(&file).arg("."))?;
    Ok(file)
}

fn require_go() -> Result<()> {
    if !exists("go") {
        bail!(
            "the cluster is built with Go, which is not here; install version 1.24 or newer (https://go.dev/dl)"
        );
    }
    Ok(())
}

fn go(folder: &Path) -> Command {
    let mut nice = command("nice");
    nice.current_dir(folder).env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false").arg("go");
    nice
}

/// Builds into `folder`, which exists only once it is complete.
fn build(source: &Path, folder: &Path, flags: &str, packages: &[String]) -> Result<()> {
    let mut partial = folder.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    std::fs::create_dir_all(&partial)?;
    let mut build = go(source);
    build.args(["build", "-trimpath", "-ldflags", flags, "-o"]).arg(&partial).args(packages);
    run(&mut build)?;
    std::fs::rename(&partial, folder).with_context(|| format!("{}", folder.display()))
}

/// A file that nobody compiles, and that makes `go mod tidy` want these packages.
fn tools(imports: &[String]) -> String {
    let mut text = String::from("//go:build tools\n\npackage cluster\n\nimport (\n");
    for import in imports {
        let _ = writeln!(text, "\t_ \"{import}\"");
    }
    text + ")\n"
}

/// A go.mod that requires Kubernetes, made from Kubernetes' own.
fn module_file(theirs: &str, version: Version) -> Result<String> {
    let language =
        theirs.lines().find(|line| line.starts_with("go ")).context("its go.mod names no language")?;
    let mut text =
        format!("module cluster\n\n{language}\n\nrequire k8s.io/kubernetes v{version}\n\nreplace (\n");
    for line in theirs.lines() {
        if let Some((name, place)) = line.trim().trim_start_matches("replace ").split_once(" => ")
            && place.starts_with("./staging/")
        {
            let _ = writeln!(text, "\t{name} => {name} {}", version.staging());
        }
    }
    Ok(text + ")\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_folders_become_published_modules() {
        let theirs = "module k8s.io/kubernetes\n\ngo 1.24.0\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\
                      \tother => other v1.0.0\n)\n";
        let ours = module_file(theirs, Version::DEFAULT).unwrap();
        assert!(
            ours.contains("go 1.24.0\n") && ours.contains("require k8s.io/kubernetes v1.34.4\n"),
            "{ours}"
        );
        assert!(ours.contains("\tk8s.io/api => k8s.io/api v0.34.4\n") && !ours.contains("other"), "{ours}");
        assert!(module_file("module x\n", Version::DEFAULT).is_err());
    }
}
