//! Where connections really go: what connection tracking says of the address that was dialled, on a thread of its own.
//!
//! A service's address is translated where the packet passes: in the socket's own network namespace, or in that of its node.
//! A connection is asked for in one after the other, each time as the one before translated it. Nothing waits for the answer,
//! and all of it may take 5 % of one core.

mod table;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use observer_core::engine::FaceKey;
use observer_core::party::Component;

use super::existing::{Namespace, Spaces};
use crate::attribution::{Pace, Roots, Running};
use table::Ends;

/// Handfuls of questions that wait at most.
const QUEUE: usize = 64;
/// Questions asked at once at most.
const HANDFUL: usize = 256;
/// Questions that are asked together.
const TOGETHER: usize = 1024;
/// How long it rests at most to keep within its part of a core: another program may have had the core.
const LONGEST: Duration = Duration::from_millis(50);
/// Answers that wait at most.
const ANSWERS: usize = 8192;
/// How often it is looked anew in which network namespaces nodes are.
const PAUSE: Duration = Duration::from_secs(30);
/// Nodes on one machine that are asked.
const NODES: usize = 16;

/// A connection whose far ends are wanted.
#[derive(Clone, Debug)]
pub struct Question {
    /// The face of the end that dialled.
    pub key: FaceKey,
    /// Cookie of its network namespace, where the kernel says.
    pub space: Option<u64>,
    /// The thread group that dialled, in whose namespace the socket most likely is; 0 if nobody is known.
    pub hint: u32,
    /// Its own address.
    pub client: SocketAddr,
    /// The address that it is connected to.
    pub server: SocketAddr,
}

/// The ends behind all translations; the same as were asked for where none was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The face.
    pub key: FaceKey,
    /// The client as the server sees it.
    pub client: SocketAddr,
    /// The server that answers.
    pub server: SocketAddr,
}

/// Where to ask. Dropping it ends the thread.
#[derive(Debug)]
pub struct Tracking {
    questions: Sender<Vec<Question>>,
    not_asked: Arc<AtomicU64>,
}

impl Tracking {
    /// Starts the thread.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(roots: Roots) -> io::Result<(Self, Receiver<Translation>)> {
        let (questions, asked) = bounded::<Vec<Question>>(QUEUE);
        let (answers, answered) = bounded(ANSWERS);
        let not_asked = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&not_asked);
        thread::Builder::new().name("tracking".into()).spawn(move || {
            let _ = rustix::process::setpriority_process(None, 5);
            let mut tables = Tables::new(roots);
            let mut pace = Pace::default();
            while let Ok(mut handful) = asked.recv() {
                if let Some(wait) = pace.wait(Instant::now()) {
                    thread::sleep(wait.min(LONGEST));
                }
                // Entering a namespace costs more than asking in it.
                while handful.len() < TOGETHER
                    && let Ok(more) = asked.try_recv()
                {
                    handful.extend(more);
                }
                tables.look_for_nodes();
                let began = Instant::now();
                let translations = tables.follow(&handful);
                pace.spent(Instant::now(), began.elapsed());
                for translation in translations {
                    if answers.try_send(translation).is_err() {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        })?;
        Ok((Self { questions, not_asked }, answered))
    }

    /// Asks, without waiting; what there is no room for is counted.
    pub fn ask(&self, mut questions: Vec<Question>) {
        let beyond = questions.len().saturating_sub(HANDFUL);
        questions.truncate(HANDFUL);
        let refused =
            self.questions.try_send(questions).err().map_or(0, |refused| refused.into_inner().len());
        let lost = u64::try_from(beyond + refused).unwrap_or(u64::MAX);
        if lost > 0 {
            self.not_asked.fetch_add(lost, Ordering::Relaxed);
        }
    }

    /// Connections that were not asked for, or whose answer found no room.
    #[must_use]
    pub fn not_asked(&self) -> u64 {
        self.not_asked.load(Ordering::Relaxed)
    }
}

/// The tables of this machine's network namespaces.
struct Tables {
    roots: Roots,
    spaces: Spaces,
    nodes: Vec<Namespace>,
    looked: Option<Instant>,
}

impl Tables {
    fn new(roots: Roots) -> Self {
        Self { spaces: Spaces::new(roots.clone()), roots, nodes: Vec::new(), looked: None }
    }

    /// Learns now and then in which network namespaces nodes are.
    fn look_for_nodes(&mut self) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= PAUSE) {
            self.looked = Some(Instant::now());
            self.nodes = nodes(&self.roots);
        }
    }

    fn follow(&mut self, questions: &[Question]) -> Vec<Translation> {
        let mut ends: Vec<Ends> = questions.iter().map(|asked| [asked.client, asked.server]).collect();
        let mut by_space: HashMap<(Option<u64>, u32), Vec<usize>> = HashMap::new();
        for (at, question) in questions.iter().enumerate() {
            let hint = if question.space.is_some() { 0 } else { question.hint };
            by_space.entry((question.space, hint)).or_default().push(at);
        }
        for ((space, _), places) in by_space {
            let hint = places.first().and_then(|at| questions.get(*at)).map_or(0, |asked| asked.hint);
            let own = match space {
                Some(cookie) => self.spaces.by_cookie(cookie, hint).cloned(),
                None => Namespace::of_process(&self.roots, hint),
            };
            let mut seen = Vec::new();
            for namespace in own.iter().chain(&self.nodes) {
                if seen.contains(&namespace.inode) {
                    continue;
                }
                seen.push(namespace.inode);
                let sought: Vec<Ends> = places.iter().filter_map(|at| ends.get(*at).copied()).collect();
                let Ok(found) = namespace.enter(|| table::look_up(&sought)) else { continue };
                for (at, found) in places.iter().zip(found) {
                    if let (Some(ends), Some(found)) = (ends.get_mut(*at), found) {
                        *ends = found;
                    }
                }
            }
        }
        let translations = questions.iter().zip(ends);
        translations.map(|(asked, [client, server])| Translation { key: asked.key, client, server }).collect()
    }
}

/// Network namespaces of nodes: those of their kubelets and kube-proxies, the first process's and our own.
fn nodes(roots: &Roots) -> Vec<Namespace> {
    let is_nodes = |component: Component| {
        matches!(component, Component::Kubelet | Component::KubeProxy | Component::Agent | Component::Server)
    };
    let running = Running::list(roots);
    let of_components =
        running.iter().filter(|it| is_nodes(it.component) && !it.is_in_pod()).map(|it| it.pid).take(NODES);
    let mut found: Vec<Namespace> = Vec::new();
    for pid in of_components.chain([std::process::id(), 1]) {
        if let Some(namespace) = Namespace::of_process(roots, pid)
            && found.iter().all(|known| known.inode != namespace.inode)
        {
            found.push(namespace);
        }
    }
    found
}
