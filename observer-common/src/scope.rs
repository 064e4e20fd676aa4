//! Which connections are watched. Pure: the kernel programs supply the look-ups, tests a table.

/// Why a connection is watched, as bits.
pub mod reach {
    /// Its dialled or listening port is in the set.
    pub const PORT: u32 = 1;
    /// Its owner was found to be a watched program by user space.
    pub const PROCESS: u32 = 2;
    /// Its owner's command name is that of a watched program: a candidate, never proof.
    pub const COMMAND: u32 = 4;
    /// Its owner's cgroup is in the set.
    pub const CGROUP: u32 = 8;
    /// Its peer's address is in the set.
    pub const ADDRESS: u32 = 16;
    /// Everything is watched.
    pub const EVERYTHING: u32 = 32;
    /// User space named this very socket.
    pub const SOCKET: u32 = 64;
    /// The socket that dialled it is watched, and is of this node.
    pub const PEER: u32 = 128;
}

/// What user space said about a thread group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Unknown,
    /// It is a watched program.
    Watched,
    /// It is not, whatever its command name says.
    NotWatched,
}

/// The look-ups that a decision may need. Each is made at most once, and only if an earlier rule did not suffice to
/// make it moot.
pub trait Rules {
    /// Whether everything is watched.
    fn everything(&self) -> bool;
    /// Whether a port is in the set.
    fn port(&self, port: u16) -> bool;
    /// What user space said about a thread group.
    fn process(&self, tgid: u32) -> Verdict;
    /// Whether a command name is that of a watched program.
    fn command(&self, command: &[u64; 2]) -> bool;
    /// Whether a cgroup is in the set.
    fn cgroup(&self, id: u64) -> bool;
    /// Whether an address (IPv4 as mapped) is in the set.
    fn address(&self, ip: &[u32; 4]) -> bool;
    /// Whether user space named this very socket.
    fn socket(&self, cookie: u64) -> bool;
}

/// What is known of a connection when its scope is decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The port that was dialled, as the program gave it; 0 if not known.
    pub dialled_port: u16,
    /// The port that the socket listens on, or the peer's port of a dialled one; 0 if not known.
    pub service_port: u16,
    /// Where the packet really goes, after address translation; 0 if not known.
    pub wire_port: u16,
    /// For a socket whose role is not known, its other port; 0 otherwise.
    pub other_port: u16,
    /// The owner's thread group; 0 if not known.
    pub tgid: u32,
    /// The owner's command name.
    pub command: Option<&'a [u64; 2]>,
    /// The owner's cgroup; 0 if not known.
    pub cgroup: u64,
    /// The peer; `None` for a listener.
    pub peer: Option<&'a [u32; 4]>,
    /// The peer before address translation, where that was seen.
    pub dialled: Option<&'a [u32; 4]>,
    /// The socket's cookie; 0 if not known.
    pub cookie: u64,
}

/// The reasons for which a connection is watched ([`reach`] bits); 0 if it is not.
#[inline(always)]
pub fn decide<R: Rules>(rules: &R, facts: &Facts<'_>) -> u32 {
    let mut why = 0;
    if rules.everything() {
        why |= reach::EVERYTHING;
    }
    if (facts.dialled_port != 0 && rules.port(facts.dialled_port))
        || (facts.service_port != 0
            && facts.service_port != facts.dialled_port
            && rules.port(facts.service_port))
        || (facts.wire_port != 0 && facts.wire_port != facts.service_port && rules.port(facts.wire_port))
        || (facts.other_port != 0 && rules.port(facts.other_port))
    {
        why |= reach::PORT;
    }
    let verdict = if facts.tgid == 0 { Verdict::Unknown } else { rules.process(facts.tgid) };
    match verdict {
        Verdict::Watched => why |= reach::PROCESS,
        Verdict::NotWatched => {}
        Verdict::Unknown => {
            if let Some(command) = facts.command
                && command[0] != 0
                && rules.command(command)
            {
                why |= reach::COMMAND;
            }
        }
    }
    if facts.cgroup != 0 && rules.cgroup(facts.cgroup) {
        why |= reach::CGROUP;
    }
    if let Some(peer) = facts.peer
        && rules.address(peer)
    {
        why |= reach::ADDRESS;
    }
    if let Some(dialled) = facts.dialled
        && why & reach::ADDRESS == 0
        && rules.address(dialled)
    {
        why |= reach::ADDRESS;
    }
    if facts.cookie != 0 && rules.socket(facts.cookie) {
        why |= reach::SOCKET;
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Table {
        everything: bool,
        ports: &'static [u16],
        watched: &'static [u32],
        refused: &'static [u32],
        command: Option<[u64; 2]>,
        cgroup: u64,
        address: Option<[u32; 4]>,
        cookie: u64,
    }

    impl Rules for Table {
        fn everything(&self) -> bool {
            self.everything
        }
        fn port(&self, port: u16) -> bool {
            self.ports.contains(&port)
        }
        fn process(&self, tgid: u32) -> Verdict {
            if self.watched.contains(&tgid) {
                Verdict::Watched
            } else if self.refused.contains(&tgid) {
                Verdict::NotWatched
            } else {
                Verdict::Unknown
            }
        }
        fn command(&self, command: &[u64; 2]) -> bool {
            self.command == Some(*command)
        }
        fn cgroup(&self, id: u64) -> bool {
            self.cgroup == id
        }
        fn address(&self, ip: &[u32; 4]) -> bool {
            self.address == Some(*ip)
        }
        fn socket(&self, cookie: u64) -> bool {
            self.cookie == cookie
        }
    }

    const KUBE: [u64; 2] = [0x6562_756b, 0];

    #[test]
    fn nothing_is_watched_by_no_rules() {
        let facts = Facts { dialled_port: 6443, tgid: 7, command: Some(&KUBE), ..Facts::default() };
        assert_eq!(decide(&Table::default(), &facts), 0);
    }

    #[test]
    fn a_port_is_watched_as_dialled_as_connected_and_as_translated() {
        let rules = Table { ports: &[6443], ..Table::default() };
        for facts in [
            Facts { dialled_port: 6443, service_port: 30443, ..Facts::default() },
            Facts { dialled_port: 443, service_port: 6443, ..Facts::default() },
            Facts { dialled_port: 443, service_port: 443, wire_port: 6443, ..Facts::default() },
            Facts { service_port: 40000, other_port: 6443, ..Facts::default() },
        ] {
            assert_eq!(decide(&rules, &facts), reach::PORT, "{facts:?}");
        }
        assert_eq!(decide(&rules, &Facts { dialled_port: 80, ..Facts::default() }), 0);
    }

    #[test]
    fn a_name_is_a_candidate_until_user_space_speaks() {
        let facts = Facts { tgid: 7, command: Some(&KUBE), ..Facts::default() };
        let named = Table { command: Some(KUBE), ..Table::default() };
        assert_eq!(decide(&named, &facts), reach::COMMAND);
        let refused = Table { command: Some(KUBE), refused: &[7], ..Table::default() };
        assert_eq!(decide(&refused, &facts), 0);
        let proven = Table { watched: &[7], ..Table::default() };
        assert_eq!(decide(&proven, &facts), reach::PROCESS);
    }

    #[test]
    fn an_unset_name_matches_no_rule() {
        let rules = Table { command: Some([0, 0]), ..Table::default() };
        assert_eq!(decide(&rules, &Facts { tgid: 7, command: Some(&[0, 0]), ..Facts::default() }), 0);
    }

    #[test]
    fn an_address_counts_before_and_after_translation() {
        let service = [1, 2, 3, 4];
        let backend = [5, 6, 7, 8];
        let rules = Table { address: Some(service), ..Table::default() };
        assert_eq!(
            decide(&rules, &Facts { peer: Some(&backend), dialled: Some(&service), ..Facts::default() }),
            reach::ADDRESS
        );
        assert_eq!(decide(&rules, &Facts { peer: Some(&service), ..Facts::default() }), reach::ADDRESS);
        assert_eq!(decide(&rules, &Facts { peer: Some(&backend), ..Facts::default() }), 0);
    }

    #[test]
    fn every_reason_is_told() {
        let peer = [1, 2, 3, 4];
        let rules = Table {
            everything: true,
            ports: &[1],
            watched: &[7],
            cgroup: 9,
            address: Some(peer),
            cookie: 11,
            ..Table::default()
        };
        let facts = Facts {
            dialled_port: 1,
            tgid: 7,
            command: Some(&KUBE),
            cgroup: 9,
            peer: Some(&peer),
            cookie: 11,
            ..Facts::default()
        };
        let all =
            reach::EVERYTHING | reach::PORT | reach::PROCESS | reach::CGROUP | reach::ADDRESS | reach::SOCKET;
        assert_eq!(decide(&rules, &facts), all);
    }
}
