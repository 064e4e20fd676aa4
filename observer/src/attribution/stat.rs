//! `/proc/PID/stat`.

/// `PF_KTHREAD` of `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What is needed of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Field 2 without its brackets: at most 15 bytes, any bytes (64 for kernel workers).
    pub name: Vec<u8>,
    /// Field 4: the parent, which is 1 or a sub-reaper once the real one is gone.
    pub parent: u32,
    /// Whether it is a thread of the kernel, which has no executable.
    pub kernel_thread: bool,
    /// Field 22: start time in clock ticks since boot.
    pub start_ticks: u64,
    /// Fields 26 and 28, where code and stack begin: other values after an `exec` with address randomisation. Zeros
    /// where the reader may not see them.
    pub image: (u64, u64),
}

impl Stat {
    /// Reads the one line of the file. The name may hold brackets, spaces and line ends, so it reaches from the first
    /// `(` to the last `)`; the fields behind it are numbers and one letter. `None` if it is not such a line.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let name = line.get(open + 1..close)?.to_vec();
        let rest = core::str::from_utf8(line.get(close + 1..)?).ok()?;
        // The first of these is field 3.
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(26).collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            name,
            // Field 4 is signed in print; no process has a negative parent.
            parent: u32::try_from(number(4)?).ok()?,
            kernel_thread: number(9)? & KERNEL_THREAD != 0,
            start_ticks: number(22)?,
            image: (number(26).unwrap_or(0), number(28).unwrap_or(0)),
        })
    }
}

#[cfg(test)]
pub(crate) fn line(pid: u32, name: &[u8], parent: u32, start_ticks: u64) -> Vec<u8> {
    let mut line = format!("{pid} (").into_bytes();
    line.extend_from_slice(name);
    line.extend_from_slice(
        format!(") S {parent} 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {start_ticks} 1 1 1 94 95 96 97\n")
            .as_bytes(),
    );
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_line() {
        let stat = Stat::parse(&std::fs::read("/proc/self/stat").unwrap()).unwrap();
        assert!(stat.start_ticks > 0 && stat.parent > 0 && !stat.kernel_thread);
        assert_ne!(stat.image, (0, 0));
    }

    #[test]
    fn is_not_fooled_by_a_name_that_looks_like_fields() {
        let stat = Stat::parse(&line(7, b"a) R 1 (", 3, 55)).unwrap();
        assert_eq!((stat.name.as_slice(), stat.parent, stat.start_ticks), (b"a) R 1 (".as_slice(), 3, 55));
    }

    #[test]
    fn knows_a_kernel_thread() {
        let stat =
            Stat::parse(b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0 18 0 0 0 0")
                .unwrap();
        assert!(stat.kernel_thread);
        assert_eq!(stat.start_ticks, 9);
    }

    #[test]
    fn refuses_a_line_that_was_cut() {
        let whole = line(7, b"x", 3, 55);
        for end in 0..whole.len() - 20 {
            assert!(Stat::parse(&whole[..end]).is_none_or(|stat| stat.start_ticks <= 55), "{end}");
        }
        assert!(Stat::parse(b"").is_none() && Stat::parse(b")(").is_none());
    }

    proptest::proptest! {
        #[test]
        fn finds_the_fields_behind_any_name(name in proptest::collection::vec(0u8.., 0..16), start: u64, parent: u32) {
            let stat = Stat::parse(&line(1, &name, parent, start)).unwrap();
            proptest::prop_assert_eq!((stat.name, stat.parent, stat.start_ticks), (name, parent, start));
        }

        #[test]
        fn survives_any_bytes(bytes: Vec<u8>) {
            let _ = Stat::parse(&bytes);
        }
    }
}
