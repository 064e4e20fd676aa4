//! What can be changed, asked and wished while the programs run.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use aya::Ebpf;
use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray};
use foldhash::fast::RandomState;
use observer_common::{Config, Counters, Mode, OwnerRule, WakeSwitch, Wish, role};
use observer_core::engine::{FaceKey, Role};

use super::scope::command_key;
use super::{Error, Network, OlderSocket, Scope};

macro_rules! plain {
    ($($name:ident($record:ty),)*) => {$(
        #[repr(transparent)]
        #[derive(Clone, Copy)]
        struct $name($record);
        // SAFETY: a record of integers without hidden padding; observer-common asserts it.
        unsafe impl Pod for $name {}
    )*};
}

plain! {
    PlainConfig(Config),
    PlainCounters(Counters),
    PlainSwitch(WakeSwitch),
    PlainOwner(OwnerRule),
}

/// Wishes kept in the kernel's table, which has room for 65,536.
const WISHES: usize = 49_152;

/// Changes, asks and wishes. Cheap to clone; any thread may use it.
#[derive(Clone)]
pub struct Control {
    maps: Arc<Mutex<Maps>>,
    wake: Arc<Mutex<Array<MapData, PlainSwitch>>>,
    counters: Arc<PerCpuArray<MapData, PlainCounters>>,
}

struct Maps {
    settings: Config,
    config: Array<MapData, PlainConfig>,
    ports: Array<MapData, u64>,
    commands: HashMap<MapData, [u64; 2], u32>,
    processes: HashMap<MapData, u32, u32>,
    cgroups: HashMap<MapData, u64, u32>,
    addresses: LpmTrie<MapData, [u32; 4], u32>,
    owners: HashMap<MapData, u64, PlainOwner>,
    feedback: HashMap<MapData, u64, u64>,
    scope: Scope,
    /// Peers of the scope, and those that are watched besides.
    peers: [BTreeSet<Network>; 2],
    /// Cookies of the sockets that are older than the programs, as far as they were told about.
    older: HashSet<u64>,
    /// Faces announced under a name of our own, and the kernel's names of them.
    named: std::collections::HashMap<FaceKey, u64, RandomState>,
    /// The same the other way round.
    names: std::collections::HashMap<u64, FaceKey, RandomState>,
    /// Faces whose places in the streams are not the sequence numbers of their packets (Multipath TCP).
    moved: HashSet<FaceKey, RandomState>,
    /// Kernel's names of faces that something was wished for.
    wished: HashSet<u64, RandomState>,
    /// The same, oldest first. A wish can come after its connection has ended, so age takes them away too: the socket
    /// keeps what it has read.
    wishes: std::collections::VecDeque<u64>,
    refused_wishes: u64,
}

fn take<T: TryFrom<aya::maps::Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, Error> {
    let map = ebpf.take_map(name).ok_or(Error::Missing(name))?;
    T::try_from(map).map_err(Error::map(name))
}

impl Control {
    pub(super) fn new(ebpf: &mut Ebpf, settings: Config) -> Result<Self, Error> {
        let maps = Maps {
            settings,
            config: take(ebpf, "CONFIG")?,
            ports: take(ebpf, "PORTS")?,
            commands: take(ebpf, "COMMANDS")?,
            processes: take(ebpf, "PROCESSES")?,
            cgroups: take(ebpf, "CGROUPS")?,
            addresses: take(ebpf, "ADDRESSES")?,
            owners: take(ebpf, "OWNERS")?,
            feedback: take(ebpf, "FEEDBACK")?,
            scope: Scope::default(),
            peers: [BTreeSet::new(), BTreeSet::new()],
            older: HashSet::new(),
            named: std::collections::HashMap::default(),
            names: std::collections::HashMap::default(),
            moved: HashSet::default(),
            wished: HashSet::default(),
            wishes: std::collections::VecDeque::new(),
            refused_wishes: 0,
        };
        Ok(Self {
            maps: Arc::new(Mutex::new(maps)),
            wake: Arc::new(Mutex::new(take(ebpf, "WAKE")?)),
            counters: Arc::new(take(ebpf, "COUNTERS")?),
        })
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        self.maps.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes `scope` what is watched. Sockets decide again at their next data packet.
    ///
    /// # Errors
    /// [`Error::Map`] if a table of the kernel's is full; then what was watched before still is.
    pub fn set_scope(&self, scope: &Scope) -> Result<(), Error> {
        let mut maps = self.maps();
        let mut scope = scope.clone();
        let before = core::mem::replace(&mut maps.peers[0], scope.addresses.clone());
        scope.addresses.extend(maps.peers[1].iter().copied());
        maps.set_scope(&scope).inspect_err(|_| maps.peers[0] = before)
    }

    /// Makes these the peers that are watched besides those of any scope: the machines of API servers.
    ///
    /// # Errors
    /// As [`Control::set_scope`].
    pub fn also_watch(&self, peers: &BTreeSet<IpAddr>) -> Result<(), Error> {
        let mut maps = self.maps();
        let peers: BTreeSet<Network> = peers.iter().copied().map(Network::from).collect();
        if maps.peers[1] == peers || maps.scope.everything {
            return Ok(());
        }
        let mut scope = maps.scope.clone();
        scope.addresses = maps.peers[0].union(&peers).copied().collect();
        maps.set_scope(&scope)?;
        maps.peers[1] = peers;
        Ok(())
    }

    /// Judges a thread group: `Some(true)` watched, `Some(false)` not, `None` forgets it.
    ///
    /// # Errors
    /// As [`Control::set_scope`].
    pub fn judge_process(&self, tgid: u32, watched: Option<bool>) -> Result<(), Error> {
        let mut maps = self.maps();
        let mut scope = maps.scope.clone();
        match watched {
            Some(watched) => scope.processes.insert(tgid, watched),
            None => scope.processes.remove(&tgid),
        };
        maps.set_scope(&scope)
    }

    /// Tells about a socket that is older than the programs, by its cookie.
    ///
    /// # Errors
    /// As [`Control::set_scope`].
    pub fn tell_older(&self, cookie: u64, socket: OlderSocket) -> Result<(), Error> {
        let rule = OwnerRule {
            tgid: socket.tgid.unwrap_or(0),
            watched: socket.watched.into(),
            role: u32::from(match socket.role {
                Some(Role::Client) => role::CLIENT,
                Some(Role::Server) => role::SERVER,
                Some(Role::Wire) | None => role::UNKNOWN,
            }),
            padding: 0,
        };
        let mut maps = self.maps();
        maps.owners.insert(cookie, PlainOwner(rule), 0).map_err(Error::map("OWNERS"))?;
        maps.older.insert(cookie);
        Ok(())
    }

    /// Forgets what [`Control::tell_older`] told of all sockets but those in `kept`.
    pub fn forget_older(&self, kept: &HashSet<u64>) {
        let Maps { older, owners, .. } = &mut *self.maps();
        older.retain(|cookie| kept.contains(cookie) || owners.remove(cookie).is_err());
    }

    /// Makes what [`Control::tell_older`] and [`Control::forget_older`] told take effect: once after many.
    ///
    /// # Errors
    /// As [`Control::set_scope`].
    pub fn apply(&self) -> Result<(), Error> {
        self.maps().publish()
    }

    /// Enough of a connection was seen: the kernel stops copying.
    pub fn enough(&self, face: FaceKey) {
        self.wish(face, Mode::ENOUGH, None);
    }

    /// The requests of a connection are wanted on: the kernel copies the direction to the server, up to its rate. `from`
    /// is the sequence number from which they are: what lies before it was read, or is the body of a request that was.
    /// To be told again as the reading goes on, since the kernel copies no more than a window beyond that place.
    pub fn read_requests(&self, face: FaceKey, from: Option<u32>) {
        self.wish(face, Mode::REQUESTS, from);
    }

    /// A connection is not to be watched after all.
    pub fn unwatch(&self, face: FaceKey) {
        self.wish(face, Mode::ENOUGH, None);
    }

    fn wish(&self, face: FaceKey, mode: u8, from: Option<u32>) {
        let mut maps = self.maps();
        let key = maps.named.get(&face).copied().unwrap_or(face.0);
        let from = from.filter(|_| !maps.moved.contains(&face));
        match maps.feedback.insert(key, Wish { mode, from }.encode(), 0) {
            Ok(()) if maps.wished.insert(key) => maps.wishes.push_back(key),
            Ok(()) => {}
            Err(_) => maps.refused_wishes += 1,
        }
        while maps.wishes.len() > WISHES
            && let Some(oldest) = maps.wishes.pop_front()
        {
            if maps.wished.remove(&oldest) {
                let _ = maps.feedback.remove(&oldest);
            }
        }
    }

    pub(super) fn forget(&self, key: u64) {
        let mut maps = self.maps();
        // Most connections end before anything was wished for them, and a system call is dear.
        if maps.wished.remove(&key) {
            let _ = maps.feedback.remove(&key);
        }
        let face = maps.names.remove(&key);
        if let Some(face) = face {
            maps.named.remove(&face);
        }
        maps.moved.remove(&face.unwrap_or(FaceKey(key)));
    }

    /// The places in the streams of a face are not the sequence numbers of its packets.
    pub(super) fn moves(&self, face: FaceKey) {
        self.maps().moved.insert(face);
    }

    pub(super) fn named(&self, face: FaceKey, key: u64) {
        let mut maps = self.maps();
        maps.named.insert(face, key);
        maps.names.insert(key, face);
    }

    /// Wishes that found the kernel's table full; the kernel went on copying up to its budget.
    #[must_use]
    pub fn refused_wishes(&self) -> u64 {
        self.maps().refused_wishes
    }

    /// The account of every hook, all CPUs together.
    ///
    /// # Errors
    /// [`Error::Map`] if the kernel refuses the look-up.
    pub fn counters(&self) -> Result<Counters, Error> {
        let mut sum = Counters::default();
        for counters in self.counters.get(&0, 0).map_err(Error::map("COUNTERS"))?.iter() {
            sum.add(&counters.0);
        }
        Ok(sum)
    }

    /// Asks to be woken by the next record.
    pub(super) fn arm(&self) {
        let switch = PlainSwitch(WakeSwitch { armed: 1, padding: 0 });
        let mut wake = self.wake.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Without it the reader still wakes by its timeout.
        let _ = wake.set(0, switch, 0);
    }
}

impl Maps {
    fn set_scope(&mut self, scope: &Scope) -> Result<(), Error> {
        let old = std::mem::take(&mut self.scope);
        if let Err(error) = self.write(&old, scope) {
            // Takes back what was written until then.
            let back = self.write(scope, &old);
            self.scope = old;
            return Err(match back {
                Ok(()) => error,
                Err(back) => Error::HalfChanged { error: Box::new(error), back: Box::new(back) },
            });
        }
        self.scope = scope.clone();
        self.publish()
    }

    /// Writes what differs: additions first, so that nothing falls between.
    fn write(&mut self, old: &Scope, new: &Scope) -> Result<(), Error> {
        for (index, (before, after)) in port_words(old).iter().zip(&port_words(new)).enumerate() {
            if before != after {
                let index = u32::try_from(index).unwrap_or(0);
                self.ports.set(index, after, 0).map_err(Error::map("PORTS"))?;
            }
        }
        for name in new.commands.difference(&old.commands) {
            self.commands.insert(command_key(name), 1, 0).map_err(Error::map("COMMANDS"))?;
        }
        for id in new.cgroups.difference(&old.cgroups) {
            self.cgroups.insert(id, 1, 0).map_err(Error::map("CGROUPS"))?;
        }
        for network in new.addresses.difference(&old.addresses) {
            self.addresses.insert(&prefix(*network), 1, 0).map_err(Error::map("ADDRESSES"))?;
        }
        for (tgid, watched) in &new.processes {
            if old.processes.get(tgid) != Some(watched) {
                self.processes
                    .insert(tgid, if *watched { 1 } else { 2 }, 0)
                    .map_err(Error::map("PROCESSES"))?;
            }
        }
        let kept: BTreeSet<_> = new.commands.iter().map(|name| command_key(name)).collect();
        for name in old.commands.difference(&new.commands) {
            if !kept.contains(&command_key(name)) {
                gone(self.commands.remove(&command_key(name))).map_err(Error::map("COMMANDS"))?;
            }
        }
        for id in old.cgroups.difference(&new.cgroups) {
            gone(self.cgroups.remove(id)).map_err(Error::map("CGROUPS"))?;
        }
        for network in old.addresses.difference(&new.addresses) {
            gone(self.addresses.remove(&prefix(*network))).map_err(Error::map("ADDRESSES"))?;
        }
        for tgid in old.processes.keys().filter(|tgid| !new.processes.contains_key(tgid)) {
            gone(self.processes.remove(tgid)).map_err(Error::map("PROCESSES"))?;
        }
        Ok(())
    }

    /// Writes the configuration under a new number.
    fn publish(&mut self) -> Result<(), Error> {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let settings = &mut self.settings;
        settings.generation = settings.generation.checked_add(1).unwrap_or(1);
        settings.everything = self.scope.everything.into();
        settings.addresses = count(self.scope.addresses.len());
        settings.cgroups = count(self.scope.cgroups.len());
        settings.processes = count(self.scope.processes.len());
        settings.owners = count(self.older.len());
        self.config.set(0, PlainConfig(*settings), 0).map_err(Error::map("CONFIG"))
    }
}

/// Whether an entry is gone: that it never was there is as good.
fn gone(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn port_words(scope: &Scope) -> Vec<u64> {
    let mut words = vec![0; 1024];
    for port in &scope.ports {
        if let Some(word) = words.get_mut(usize::from(port >> 6)) {
            *word |= 1 << (port & 63);
        }
    }
    words
}

fn prefix(network: Network) -> Key<[u32; 4]> {
    let (length, words) = network.key();
    Key::new(length, words)
}
