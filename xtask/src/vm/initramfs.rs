//! A root file system in memory: the kernel's `newc` archive (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive being written.
#[derive(Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<String>,
}

impl Initramfs {
    /// Adds an empty folder, with those above it.
    pub fn folder(&mut self, path: &str) {
        let mut end = 0;
        while let Some(next) =
            path[end..].find('/').map(|at| end + at).or((end < path.len()).then_some(path.len()))
        {
            let name = &path[..next];
            if !name.is_empty() && self.folders.insert(name.into()) {
                self.entry(name, FOLDER, &[]);
            }
            end = (next + 1).min(path.len());
        }
    }

    /// Adds an executable file, with its folders. `path` has no slash in front.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder);
        }
        self.entry(path, PROGRAM, content);
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = if mode == FOLDER { 2 } else { 1 };
        let fields = [self.entries as usize, mode as usize, 0, 0, links, 0, content.len(), 0, 0, 0, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields.into_iter().chain([name.len() + 1, 0]) {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_their_files() {
        let mut archive = Initramfs::default();
        archive.file("a/b/c", b"hello");
        archive.file("a/b/d", b"");
        archive.folder("a/e");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let mut names = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            assert_eq!(&rest[..6], b"070701");
            let field = |index: usize| {
                let digits = std::str::from_utf8(&rest[6 + index * 8..14 + index * 8]).unwrap();
                usize::from_str_radix(digits, 16).unwrap()
            };
            let (size, length) = (field(6), field(11));
            names.push(String::from_utf8(rest[110..110 + length - 1].to_vec()).unwrap());
            let content = (110 + length).next_multiple_of(4);
            if names.last().unwrap() == "a/b/c" {
                assert_eq!(&rest[content..content + size], b"hello");
            }
            rest = &rest[(content + size).next_multiple_of(4)..];
        }
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", "a/e", "TRAILER!!!"]);
    }
}
