//! Every map there is.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, RingBuf};
use aya_ebpf::macros::btf_map;
use observer_common::{Config, Counters, OwnerRule, PAIRS, Pair, WakeSwitch};

/// Entries are made by user space alone, so nothing is allocated in a hook and an empty map costs nothing.
const LAZY: usize = BPF_F_NO_PREALLOC as usize;

/// 1 where `bpf_get_netns_cookie` works for packets (6.18); the verifier removes the call elsewhere.
#[unsafe(no_mangle)]
pub static NETNS_COOKIE: Global<u32> = Global::new(0);

/// 1 where a packet's hook may ask who sends it (6.12); the verifier removes the call elsewhere.
#[unsafe(no_mangle)]
pub static SENDERS: Global<u32> = Global::new(0);

/// Announcements, events and handshakes: small and never behind payload.
#[btf_map]
pub static LIFECYCLE: RingBuf<[u8; 8], { 4 << 20 }> = RingBuf::new();

/// Copied payload.
#[btf_map]
pub static PAYLOAD: RingBuf<[u8; 8], { 4 << 20 }> = RingBuf::new();

/// The one configuration entry.
#[btf_map]
pub static CONFIG: Array<Config, 1> = Array::new();

/// The reader's switches: 0 for both rings together.
#[btf_map]
pub static WAKE: Array<WakeSwitch, 1> = Array::new();

/// Each CPU's account.
#[btf_map]
pub static COUNTERS: PerCpuArray<Counters, 1> = PerCpuArray::new();

/// Watched ports, one bit each.
#[btf_map]
pub static PORTS: Array<u64, 1024> = Array::new();

/// Command names of watched programs.
#[btf_map]
pub static COMMANDS: HashMap<[u64; 2], u32, 256> = HashMap::new();

/// Thread groups that user space judged: 1 watched, 2 not.
#[btf_map]
pub static PROCESSES: HashMap<u32, u32, 32768, LAZY> = HashMap::new();

/// Watched cgroups.
#[btf_map]
pub static CGROUPS: HashMap<u64, u32, 16384, LAZY> = HashMap::new();

/// Watched peers.
#[btf_map]
pub static ADDRESSES: LpmTrie<[u32; 4], u32, 16384> = LpmTrie::new();

/// What user space knows about sockets older than the programs, by cookie.
#[btf_map]
pub static OWNERS: HashMap<u64, OwnerRule, 65536, LAZY> = HashMap::new();

/// What user space wants done with a connection from now on ([`observer_common::Wish`]), by face key; read on the copy
/// path and then kept with the socket.
#[btf_map]
pub static FEEDBACK: HashMap<u64, u64, 65536, LAZY> = HashMap::new();

/// Handshakes between two sockets of this node, by [`Pair::slot`].
#[btf_map]
pub static HANDSHAKES: Array<Pair, PAIRS> = Array::new();
