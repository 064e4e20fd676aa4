//! `/proc/PID/mountinfo`: where the file systems are that the observer reads.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which part of the file system is mounted; `/` is all of it.
    pub root: Vec<u8>,
    /// Where.
    pub at: PathBuf,
    /// The file system's type, such as `cgroup2`.
    pub kind: String,
    /// The file system's own options, such as `rw,hidepid=invisible`.
    pub options: String,
}

impl Mount {
    /// Reads the file; a line that is not of the form is passed over.
    #[must_use]
    pub fn parse_all(file: &[u8]) -> Vec<Self> {
        file.split(|byte| *byte == b'\n').filter_map(Self::parse).collect()
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ');
        let root = unescape(words.nth(3)?);
        let at = PathBuf::from(OsString::from_vec(unescape(words.next()?)));
        // Options of the mount, then any number of optional fields, then a lone dash.
        words.nth(0)?;
        words.find(|word| *word == b"-")?;
        let kind = String::from_utf8_lossy(words.next()?).into_owned();
        let options = String::from_utf8_lossy(words.nth(1)?).into_owned();
        at.is_absolute().then_some(Self { root, at, kind, options })
    }

    /// The value of one of the file system's options.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The mount of the version 2 hierarchy that is best to read from: the whole of it rather than a part, at the usual place
/// (`/sys/fs/cgroup`, on hybrid nodes below it) rather than elsewhere (a chroot's mount may go away), and of several the
/// last, which covers the earlier ones at the same place.
#[must_use]
pub fn cgroup2(mounts: &[Mount]) -> Option<&Mount> {
    let of_kind = mounts.iter().filter(|mount| mount.kind == "cgroup2");
    of_kind.max_by_key(|mount| (mount.root == b"/", mount.at.starts_with("/sys/fs/cgroup")))
}

/// Whether a version 2 hierarchy is the node's whole tree and not a part of it, as a container's own is. In the root group
/// alone there is no `cgroup.events` (Documentation/admin-guide/cgroup-v2.rst).
#[must_use]
pub fn is_whole(hierarchy: &Path) -> bool {
    !hierarchy.join("cgroup.events").exists()
}

/// Whether version 1 hierarchies with controllers are mounted beside it (a hybrid or legacy node).
#[must_use]
pub fn has_cgroup1(mounts: &[Mount]) -> bool {
    mounts.iter().any(|mount| mount.kind == "cgroup" && mount.option("name").is_none())
}

/// Undoes the kernel's `\040` for space, tab, line end and backslash.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'\\'
            && let Some((digits, behind)) = behind.split_at_checked(3)
            && digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
        {
            let value = digits.iter().fold(0u16, |value, digit| value * 8 + u16::from(digit - b'0'));
            plain.push(u8::try_from(value & 0xff).unwrap_or(b'?'));
            rest = behind;
        } else {
            plain.push(*first);
            rest = behind;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"30 20 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
        31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n\
        32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        40 20 0:5 / /proc rw,nosuid - proc proc rw,hidepid=invisible\n";

    #[test]
    fn finds_version_2_on_a_hybrid_node() {
        let mounts = Mount::parse_all(HYBRID);
        assert_eq!(cgroup2(&mounts).unwrap().at, PathBuf::from("/sys/fs/cgroup/unified"));
        assert!(has_cgroup1(&mounts));
    }

    #[test]
    fn a_named_version_1_hierarchy_alone_is_not_hybrid() {
        let mounts =
            Mount::parse_all(b"32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n");
        assert!(!has_cgroup1(&mounts));
        assert!(cgroup2(&mounts).is_none());
    }

    #[test]
    fn prefers_the_mount_of_the_whole_hierarchy() {
        let mounts = Mount::parse_all(
            b"1 0 0:1 / /whole rw - cgroup2 cgroup2 rw\n2 0 0:1 /kubepods /part rw - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(cgroup2(&mounts).unwrap().at, PathBuf::from("/whole"));
    }

    #[test]
    fn prefers_the_usual_place_to_the_mount_of_a_chroot() {
        let mounts = Mount::parse_all(
            b"1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n2 0 0:1 / /tmp/root/sys/fs/cgroup rw - cgroup2 c rw\n",
        );
        assert_eq!(cgroup2(&mounts).unwrap().at, PathBuf::from("/sys/fs/cgroup"));
    }

    #[test]
    fn reads_options_and_escaped_places() {
        let mounts = Mount::parse_all(HYBRID);
        assert_eq!(mounts[4].option("hidepid"), Some("invisible"));
        assert_eq!(mounts[4].option("gid"), None);
        let odd = Mount::parse_all(b"1 0 0:1 / /a\\040b\\134c\\0 rw a:1 b:2 - ext4 /dev/sda rw\n");
        assert_eq!(odd[0].at, PathBuf::from("/a b\\c\\0"));
    }

    proptest::proptest! {
        #[test]
        fn survives_any_bytes(bytes: Vec<u8>) {
            let _ = Mount::parse_all(&bytes);
        }

        #[test]
        fn survives_lines_of_the_right_words(words in proptest::collection::vec("[ -/\\\\0-9a]{0,6}", 0..14)) {
            for mount in Mount::parse_all(words.join(" ").as_bytes()) {
                proptest::prop_assert!(mount.at.is_absolute());
            }
        }
    }
}
