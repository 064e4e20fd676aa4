//! Connections and listeners older than the observer, by socket diagnostics in every network namespace.

mod diagnostics;
mod finder;
mod namespace;
mod orientation;
mod pairs;
mod socket;
mod spaces;

use std::collections::{HashMap, HashSet};
use std::io;

use observer_core::connection::Party;
use observer_core::engine::{FaceKey, Opened, Origin, Role, Tuple};
use observer_core::security::Reason;
use observer_core::time::Timestamp;

use crate::attribution::{Owners, Roots};
pub(crate) use namespace::Namespace;
use orientation::{Listening, orient};

pub use finder::Finder;
pub use pairs::Pair;
pub use socket::{Counters, Socket, State};
pub(crate) use spaces::Spaces;

/// Sockets listed in all.
const MOST_SOCKETS: usize = 1_000_000;

/// A socket that was there before the observer.
#[derive(Clone, Debug)]
pub struct ExistingSocket {
    /// The socket as diagnostics show it; its cookie is the one that the kernel programs see.
    pub socket: Socket,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Who holds it now. `missing` is `not_accepted_or_closed` if no program does, `holder_not_found` if the holder was
    /// not seen (it ended meanwhile, or may not be looked at).
    pub owner: Party,
    /// For a connection: whose end it is, its ends, and whether that is certain. `None` for a listener.
    pub connection: Option<(Role, Tuple, bool)>,
}

impl ExistingSocket {
    /// What the engine is told of a connection; `None` for a listener.
    #[must_use]
    pub fn opened(&self, time: Timestamp) -> Option<Opened> {
        let (role, tuple, oriented) = self.connection?;
        Some(Opened {
            subflow: false,
            paired: false,
            client_isn: None,
            server_isn: None,
            key: FaceKey(self.socket.cookie),
            time,
            tuple,
            dialled: None,
            role,
            origin: Origin::MidStream { reason: Reason::StartedBeforeObserver, oriented },
            party: Some(Box::new(self.owner.clone())),
        })
    }
}

/// All that was there, and what could not be listed.
#[derive(Debug, Default)]
pub struct Existing {
    /// The sockets. A listener's children take their owner from it, by its cookie.
    pub sockets: Vec<ExistingSocket>,
    /// Which of them are the two ends of one connection.
    pub pairs: Vec<Pair>,
    /// Network namespaces that were listed.
    pub namespaces: usize,
    /// Namespaces that could not be entered or listed, each with why.
    pub unreachable: Vec<(u32, io::Error)>,
    /// Namespaces beyond the bound.
    pub namespaces_left_out: u64,
    /// Sockets beyond the bound.
    pub sockets_left_out: u64,
    /// Messages of the kernel that were not understood.
    pub not_understood: u64,
    /// Namespaces whose list the kernel says may have holes, because sockets came and went.
    pub interrupted: usize,
    /// Processes whose open files may not be looked at.
    pub holders_not_permitted: usize,
    /// Whether the search for holders stopped at its bound.
    pub holders_cut: bool,
}

/// The cookies of all TCP sockets of the node; `None` if the list has holes.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn cookies(roots: &Roots) -> io::Result<Option<HashSet<u64>>> {
    let (namespaces, left_out) = Namespace::all(roots)?;
    let mut cookies = HashSet::new();
    let mut whole = left_out == 0;
    for namespace in namespaces {
        match namespace.enter(|| diagnostics::list(MOST_SOCKETS)) {
            Ok(listed) => {
                whole &= listed.left_out == 0 && listed.not_understood == 0 && !listed.interrupted;
                cookies.extend(listed.sockets.iter().map(|socket| socket.cookie & 0xffff_ffff_ffff));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => whole = false,
        }
    }
    Ok(whole.then_some(cookies))
}

impl Existing {
    /// Lists them: one netlink dump a namespace, then one look through the open files of all processes. Attach the
    /// kernel programs first: what is opened in between is then seen by both, and told apart by its cookie.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn list(owners: &mut Owners) -> io::Result<Self> {
        let (namespaces, namespaces_left_out) = Namespace::all(owners.roots())?;
        let mut existing = Self { namespaces_left_out, ..Self::default() };
        for namespace in namespaces {
            existing.add(&namespace);
        }
        existing.pairs = pairs::pairs(&mut existing.sockets);
        existing.find_owners(owners);
        Ok(existing)
    }

    /// The connections, as the engine is told of them.
    pub fn connections(&self, time: Timestamp) -> impl Iterator<Item = Opened> {
        self.sockets.iter().filter_map(move |socket| socket.opened(time))
    }

    /// The listeners: cookie and owner, for the kernel table that gives later children their owner.
    pub fn listeners(&self) -> impl Iterator<Item = &ExistingSocket> {
        self.sockets.iter().filter(|socket| socket.socket.state == State::Listen)
    }

    fn add(&mut self, namespace: &Namespace) {
        let most = MOST_SOCKETS.saturating_sub(self.sockets.len());
        let listed = match namespace.enter(|| diagnostics::list(most)) {
            Ok(listed) => listed,
            // The last process of a namespace ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.unreachable.push((namespace.inode, error)),
        };
        self.namespaces += 1;
        self.sockets_left_out += listed.left_out;
        self.not_understood += listed.not_understood;
        self.interrupted += usize::from(listed.interrupted);
        let listening = Listening::of(&listed.sockets);
        let connections: Vec<_> = listed
            .sockets
            .iter()
            .map(|socket| (socket.state != State::Listen).then(|| orient(socket, &listening)))
            .collect();
        self.sockets.extend(listed.sockets.into_iter().zip(connections).map(|(socket, connection)| {
            ExistingSocket { socket, netns: namespace.inode, owner: Party::default(), connection }
        }));
    }

    fn find_owners(&mut self, owners: &mut Owners) {
        let wanted: HashSet<u64> =
            self.sockets.iter().map(|socket| socket.socket.inode).filter(|inode| *inode != 0).collect();
        let (parties, scan) = owners.holders(&wanted);
        self.holders_not_permitted = scan.not_permitted;
        self.holders_cut = scan.cut;
        for socket in &mut self.sockets {
            socket.owner = match parties.get(&socket.socket.inode) {
                Some(party) => party.clone(),
                None if socket.socket.inode == 0 => {
                    Party { missing: Some("not_accepted_or_closed"), ..Party::default() }
                }
                None => Party { missing: Some("holder_not_found"), ..Party::default() },
            };
            socket.owner.opener_unseen = true;
            // The socket's own namespace, not that of the process that holds it.
            socket.owner.netns = Some(socket.netns);
            if socket.owner.cgroup_id.is_none() {
                socket.owner.cgroup_id = socket.socket.cgroup_id;
            }
        }
    }
}

/// The inodes of the sockets with these cookies, for finding out who holds them: the kernel programs see the cookie, a
/// process's open files show the inode. Lists every namespace, so ask for many at once and seldom. A socket without a
/// descriptor is left out.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn inodes(roots: &Roots, cookies: &HashSet<u64>) -> io::Result<HashMap<u64, u64>> {
    let mut found = HashMap::new();
    for namespace in Namespace::all(roots)?.0 {
        if found.len() == cookies.len() {
            break;
        }
        // One that cannot be listed, or is gone meanwhile, leaves its sockets with the owner that is known.
        let Ok(listed) = namespace.enter(|| diagnostics::list(MOST_SOCKETS)) else { continue };
        let wanted = listed.sockets.iter().filter(|it| it.inode != 0 && cookies.contains(&it.cookie));
        found.extend(wanted.map(|socket| (socket.cookie, socket.inode)));
    }
    Ok(found)
}
