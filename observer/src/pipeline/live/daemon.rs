//! The daemon: set-up, the main thread's waiting, and the end.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use observer_core::connection::{Context, Joiner, JoinerLimits, Seed};
use observer_core::engine::{self, Engine};
use observer_core::event::{Cluster, Coverage, Event, Heartbeat};
use observer_core::time::Timestamp;
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};

use super::counts::Counts;
use super::ears::{Ears, State};
use super::older;
use super::outlet::Outlet;
use super::proof::{Proof, Told};
use super::servers::Servers;
use super::watched::{Present, Watched};
use super::{heap, rank};
use crate::attribution::mount::is_whole;
use crate::attribution::{Desk, NodeName, Owners, Roots};
use crate::cli::{KubernetesApi, RunConfig};
use crate::kubernetes::{self, Access, Kubernetes};
use crate::pipeline::host::hostname;
use crate::sink::Sink;
use crate::source::ebpf::{self, Clock, Live, Settings};
use crate::source::existing::Finder;
use crate::source::tracking::Tracking;

/// Events that may wait for the sink.
const EVENTS: usize = 65_536;
/// Owners that may be asked for at one time.
const QUESTIONS: usize = 8192;
/// How long a verdict waits for the other end's face and for the owners.
const HOLD: Duration = Duration::from_millis(1);
/// How long a closed end waits for the other end to close.
const CLOSE: Duration = Duration::from_millis(500);
/// Connections that are known at one time, with those whose other end is waited for.
const CONNECTIONS: usize = 150_000;
/// What could not be seen of the past and is told again with each sign of life, at most.
const MOST_UNSEEN: usize = 16;
/// How often the daemon says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// How often what a burst has left of the heap is given back.
const TIDYING: Duration = Duration::from_secs(5);

/// Why the daemon does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The configuration asks for what is not there.
    #[error("{0}")]
    Configuration(String),
    /// The node does not let it.
    #[error(transparent)]
    Source(#[from] ebpf::Error),
    /// The sink failed.
    #[error("{0}")]
    Output(io::Error),
    /// The operating system refused something else.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// How the configuration is read again.
pub struct Again<'a> {
    /// Reads it, or says what is wrong with it.
    pub read: &'a dyn Fn() -> Result<RunConfig, String>,
    /// Told what became of it.
    pub told: &'a dyn Fn(Reread),
}

/// What became of a configuration that was read again: it is in force now, with remarks; or why the old one stays.
pub type Reread = Result<(RunConfig, Vec<String>), String>;

/// The running daemon.
pub struct Daemon {
    live: Live<Ears>,
    events: Receiver<Box<Event>>,
    counts: Arc<Counts>,
    asked: Option<Arc<kubernetes::Counts>>,
    context: Context,
    config: RunConfig,
    roots: Roots,
    node: NodeName,
    present: Arc<Present>,
    servers: Servers,
    told: Told,
    started: Instant,
    written: u64,
    coverage: Coverage,
    /// Of the configuration in force.
    in_force: String,
}

impl Daemon {
    /// Loads and attaches everything. What could not be seen of the past is given back in words.
    ///
    /// # Errors
    /// [`LiveError`], each with its fix.
    pub fn start(config: &RunConfig) -> Result<(Self, Vec<String>), LiveError> {
        heap::keep_small();
        let roots = roots(config)?;
        let watched = Watched::of(config, &roots).map_err(LiveError::Configuration)?;
        let scope = watched.scope(&roots).map_err(LiveError::Configuration)?;
        let present = Arc::new(Present::new(watched));
        let settings = Settings {
            scope,
            lifecycle_ring: config.lifecycle_ring,
            payload_ring: config.payload_ring,
            cgroup: config.cgroup_root.clone(),
            ..Settings::default()
        };
        let now = Clock::now().utc(Clock::monotonic());
        let context = Context {
            seed: Seed(seed(&roots, now)),
            hostname: hostname(),
            log: None,
            since: now,
            cluster: cluster(config),
        };
        let limits = engine::Limits { verdict: config.verdict_timeout, ..engine::Limits::default() };
        let (sender, events) = channel(EVENTS);
        let node = node_name(config);
        let node_now = Owners::new(roots.clone()).on(node.clone()).node();
        let kubernetes = Kubernetes::start(&access(config), node_now.as_deref());
        let kubernetes = kubernetes.map_err(LiveError::Configuration)?;
        let asked = kubernetes.as_ref().map(|(kubernetes, _)| kubernetes.counts());
        let own_pods = kubernetes.as_ref().map(|(kubernetes, _)| kubernetes.own_pods());
        let owners = || Owners::new(roots.clone()).on(node.clone()).with(own_pods.clone());
        let (desk, answers) = Desk::open(owners, || Finder::new(roots.clone()), QUESTIONS)?;
        let (tracking, translations) = Tracking::start(roots.clone())?;
        let servers = Servers::of(&config.apiservers);
        servers.keep_up(&roots);
        let counts = Arc::new(Counts::default());
        let control = Arc::new(OnceLock::new());
        let listed = Arc::new(OnceLock::new());
        let ears = Ears {
            engine: Engine::new(limits),
            joiner: Joiner::new(
                context.clone(),
                JoinerLimits { hold: HOLD, close: CLOSE, connections: CONNECTIONS },
            ),
            control: Arc::clone(&control),
            events: Outlet::new(sender),
            counts: Arc::clone(&counts),
            proof: Proof::new(roots.clone(), Arc::clone(&present)),
            desk,
            answers,
            tracking,
            translations,
            kubernetes,
            servers: servers.clone(),
            older: Arc::clone(&listed),
            own: own_pid(&roots),
            state: State::default(),
        };
        let mut holes = Vec::new();
        let whole_node = roots.cgroup.as_deref().is_none_or(is_whole);
        let part = roots.cgroup.as_deref().filter(|_| !whole_node).map(|root| {
            format!("{}: only a part of the cgroup tree; sockets outside of it are not seen", root.display())
        });
        let live = Live::start_after(&settings, ears, |kernel| {
            let _ = control.set(kernel.clone());
            kernel.also_watch(&servers.hosts())?;
            let mut older = older::list(&mut owners(), &present.get(), kernel, now);
            holes = part.into_iter().chain(std::mem::take(&mut older.holes)).collect();
            let _ = listed.set(older);
            Ok(())
        })?;
        let coverage = Coverage {
            whole_node,
            processes: roots.shows_initial_pids().unwrap_or(true),
            unseen: holes.iter().take(MOST_UNSEEN).cloned().collect(),
        };
        let daemon = Self {
            coverage,
            in_force: configuration(config),
            live,
            events,
            counts,
            asked,
            context,
            config: config.clone(),
            roots,
            node,
            present,
            servers,
            told: Told::default(),
            started: Instant::now(),
            written: 0,
        };
        Ok((daemon, holes))
    }

    /// Writes events until SIGINT or SIGTERM, then everything that is still open, and gives back a last account. SIGHUP
    /// makes it take what `again` reads for its configuration; without that, SIGHUP ends it too.
    ///
    /// # Errors
    /// [`LiveError::Output`].
    pub fn run(mut self, sink: &mut dyn Sink, again: Option<&Again<'_>>) -> Result<String, LiveError> {
        rank::let_others_finish();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(self.serve(sink, again));
        let mut failed = outcome;
        // The reader has to be stopped while this thread still takes its events.
        let Self { live, events, written, .. } = &mut self;
        std::thread::scope(|scope| -> io::Result<()> {
            let ending = std::thread::Builder::new().name("ending".into()).spawn_scoped(scope, || {
                if let Some(ears) = live.stop() {
                    ears.finish();
                }
            })?;
            while let Some(event) = events.blocking_recv() {
                if failed.is_ok() {
                    match sink.event(&event) {
                        Ok(()) => *written += 1,
                        Err(error) => failed = Err(LiveError::Output(error)),
                    }
                }
            }
            let _ = ending.join();
            Ok(())
        })?;
        failed?;
        sink.flush().map_err(LiveError::Output)?;
        // When nothing is under way any more, what was submitted is what was received.
        Ok(format!("{} events; {}", self.written, self.account()))
    }

    async fn serve(&mut self, sink: &mut dyn Sink, again: Option<&Again<'_>>) -> Result<(), LiveError> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let first = tokio::time::Instant::now() + HEARTBEAT;
        let mut heartbeat = tokio::time::interval_at(first, HEARTBEAT);
        let mut upkeep = tokio::time::interval(Duration::from_secs(1));
        let mut tidying = tokio::time::interval(TIDYING);
        let mut batch = Vec::with_capacity(256);
        loop {
            tokio::select! {
                received = self.events.recv_many(&mut batch, 256) => {
                    if received == 0 {
                        return Ok(());
                    }
                    for event in batch.drain(..) {
                        sink.event(&event).map_err(LiveError::Output)?;
                        self.written += 1;
                    }
                    sink.flush().map_err(LiveError::Output)?;
                }
                _ = heartbeat.tick() => {
                    let event = self.context.heartbeat(now(), self.heartbeat());
                    sink.event(&event).and_then(|()| sink.flush()).map_err(LiveError::Output)?;
                    self.written += 1;
                }
                // Loading the kernel programs took more than watching does, and so does every burst.
                _ = tidying.tick() => heap::give_back(),
                _ = upkeep.tick() => {
                    self.servers.keep_up(&self.roots);
                    self.watch_servers();
                    self.learn_cluster();
                    Proof::keep_up(&self.roots, &self.present.get(), self.live.control(), &mut self.told);
                }
                _ = hangup.recv() => {
                    let Some(again) = again else { return Ok(()) };
                    let outcome = (again.read)().and_then(|config| self.reconfigure(config));
                    (again.told)(outcome);
                }
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            }
        }
    }

    /// Watches the machines of API servers. Where the kernel's table has no room what was watched before stays so; the rest
    /// is told as a loss.
    fn watch_servers(&self) {
        let hosts = self.servers.hosts();
        let refused = match self.live.control().also_watch(&hosts) {
            Ok(()) => 0,
            Err(_) => hosts.len(),
        };
        self.counts.servers_not_watched.store(u64::try_from(refused).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The reader's thread hears of the cluster first.
    fn learn_cluster(&mut self) {
        if let Some(id) = self.counts.cluster.get() {
            let cluster = self.context.cluster.get_or_insert_default();
            cluster.id.get_or_insert_with(|| Arc::clone(id));
        }
    }

    /// Watches what `config` says from now on. What was refused changes nothing. Gives back the configuration, and in words
    /// what of it has to wait for the next start or could not be seen of the past.
    fn reconfigure(&mut self, config: RunConfig) -> Reread {
        let watched = Arc::new(Watched::of(&config, &self.roots)?);
        let scope = watched.scope(&self.roots)?;
        let before = self.present.get();
        // Judged by the new one from here on: what is judged is forgotten by the kernel with the old one.
        self.present.set(Arc::clone(&watched));
        if let Err(error) = self.live.control().set_scope(&scope) {
            self.present.set(before);
            return Err(error.to_string());
        }
        self.told = Told::default();
        self.in_force = configuration(&config);
        let mut owners = Owners::new(self.roots.clone()).on(self.node.clone());
        let mut words = older::list(&mut owners, &watched, self.live.control(), now()).holes;
        let later = self.config.fixed_settings_that_differ(&config);
        if !later.is_empty() {
            words.push(format!("{} can change at the next start only", later.join(", ")));
        }
        Ok((config, words))
    }

    fn heartbeat(&self) -> Heartbeat {
        let kernel = self.live.counters().unwrap_or_default();
        let received = self.live.received();
        Heartbeat {
            coverage: self.coverage.clone(),
            configuration: self.in_force.clone(),
            uptime: self.started.elapsed().as_secs(),
            connections_open: Counts::read(&self.counts.open),
            events_written: self.written,
            events_lost: Counts::read(&self.counts.events_lost),
            lifecycle_wanted: kernel.lifecycle.wanted,
            lifecycle_submitted: kernel.lifecycle.submitted,
            lifecycle_dropped: kernel.lifecycle.dropped(),
            lifecycle_received: Counts::read(&received.lifecycle),
            payload_wanted: kernel.payload.wanted,
            payload_submitted: kernel.payload.submitted,
            payload_dropped: kernel.payload.dropped(),
            payload_received: Counts::read(&received.payload),
            payload_bytes_lost: kernel.payload_bytes_lost,
            request_bytes_skipped: kernel.bytes_skipped,
            packets_unreadable: kernel.unreadable,
            sockets_without_storage: kernel.no_storage,
            packets_encapsulated: kernel.encapsulated,
            records_undecoded: Counts::read(&received.undecoded),
            owners_not_asked: Counts::read(&self.counts.owners_not_asked)
                + Counts::read(&self.counts.not_searched),
            backends_not_asked: Counts::read(&self.counts.backends_not_asked),
            candidates_disproved: Counts::read(&self.counts.not_proven),
            own_connections: Counts::read(&self.counts.own),
            relayed_connections: Counts::read(&self.counts.relayed),
            client_hellos_forgotten: Counts::read(&self.counts.hellos_forgotten),
            servers_not_watched: Counts::read(&self.counts.servers_not_watched),
            wishes_refused: self.live.control().refused_wishes(),
            kubernetes_api: self.asked.as_ref().map(|counts| counts.told()),
        }
    }

    fn account(&self) -> String {
        let beat = self.heartbeat();
        let api = beat.kubernetes_api.map_or_else(String::new, |api| {
            let lacks = api.lacks.iter().map(|lack| format!(", {} {}", lack.what.name(), lack.reason.name()));
            format!(
                "; API: {} requests, {} failed, {} forbidden, {} questions not answered{}",
                api.requests,
                api.failures,
                api.forbidden,
                api.unanswered,
                lacks.collect::<String>()
            )
        });
        format!(
            "lifecycle: {} wanted = {} submitted + {} dropped, {} received; payload: {} wanted = {} submitted + {} \
             dropped, {} received, {} bytes lost; {} events lost{api}",
            beat.lifecycle_wanted,
            beat.lifecycle_submitted,
            beat.lifecycle_dropped,
            beat.lifecycle_received,
            beat.payload_wanted,
            beat.payload_submitted,
            beat.payload_dropped,
            beat.payload_received,
            beat.payload_bytes_lost,
            beat.events_lost,
        )
    }
}

/// The digest of a configuration; what a file that it names holds is no part of it.
fn configuration(config: &RunConfig) -> String {
    Sha256::digest(format!("{config:?}")).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// This process as the kernel programs see it, if the process file system shows the node's pids.
fn own_pid(roots: &Roots) -> Option<u32> {
    let shown = roots.shows_initial_pids().unwrap_or(true);
    let link = std::fs::read_link(roots.proc.join("self")).ok().filter(|_| shown)?;
    link.to_str()?.parse().ok()
}

fn now() -> Timestamp {
    Clock::now().utc(Clock::monotonic())
}

fn roots(config: &RunConfig) -> Result<Roots, LiveError> {
    let found = Roots::of_this_machine();
    if let Some(cgroup) = &config.cgroup_root
        && !cgroup.join("cgroup.procs").exists()
    {
        return Err(LiveError::Configuration(format!(
            "--cgroup-root {}: no cgroup v2 hierarchy is mounted there; `observer doctor` shows where one is",
            cgroup.display()
        )));
    }
    if !config.proc_root.join("self/stat").exists() {
        return Err(LiveError::Configuration(format!(
            "--proc-root {}: no process file system is mounted there; mount one: mount -t proc proc {0}",
            config.proc_root.display()
        )));
    }
    let cgroup = match (&config.cgroup_root, found) {
        (Some(cgroup), _) => Some(cgroup.clone()),
        (None, Ok(found)) => found.cgroup,
        (None, Err(_)) => None,
    };
    Ok(Roots { proc: config.proc_root.clone(), cgroup, pod_logs: config.pod_logs.clone() })
}

/// Something that no other run of the daemon has: the boot's id, and when this run began.
fn seed(roots: &Roots, now: Timestamp) -> Box<[u8]> {
    let boot = std::fs::read(roots.proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
    let pid = std::process::id().to_be_bytes();
    [boot.as_slice(), &now.0.to_be_bytes(), &pid].concat().into()
}

fn cluster(config: &RunConfig) -> Option<Cluster> {
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    let cluster = Cluster { name: text(&config.cluster_name), id: text(&config.cluster_id) };
    (cluster != Cluster::default()).then_some(cluster)
}

fn access(config: &RunConfig) -> Access {
    match (config.kubernetes_api, &config.kubeconfig) {
        (KubernetesApi::Off, _) => Access::Off,
        (KubernetesApi::Auto, Some(path)) => Access::Kubeconfig(path.clone()),
        (KubernetesApi::Auto, None) => Access::found(),
    }
}

fn node_name(config: &RunConfig) -> NodeName {
    NodeName {
        told: config.node_name.as_deref().map(Into::into),
        hostname: hostname().map(|name| name.to_lowercase().into()),
    }
}
