//! Taking the cluster down, in whatever state it is.

use anyhow::Result;

use super::{groups, place, state};
use crate::process::{command, output};

/// Leaves nothing behind. What is not there is no failure.
pub fn down() -> Result<()> {
    groups::clear()?;
    unmount()?;
    place::remove()?;
    state::remove()
}

/// A worker's mounts end with its last process. These would be left by somebody else's hand.
fn unmount() -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let root = state::file("").display().to_string();
    for folder in below(&mounts, &root) {
        output(command("umount").arg(folder))?;
    }
    Ok(())
}

/// What is mounted below `root`, deepest first.
fn below<'a>(mounts: &'a str, root: &str) -> Vec<&'a str> {
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut found: Vec<_> = places.filter(|place| place.starts_with(root)).collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_goes_first_and_only_ours() {
        let mounts = "a /x/y a\nb /x/y/z b\nc /other c\n";
        assert_eq!(below(mounts, "/x/y"), ["/x/y/z", "/x/y"]);
    }
}
