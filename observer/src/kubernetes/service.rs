//! The thread that speaks to the API.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::runtime::watcher;
use kube::{Api, Client};
use observer_core::engine::FaceKey;
use observer_core::event::{Asked, Refusal};
use observer_core::time::Timestamp;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::access::Access;
use super::allowance::Allowance;
use super::counts::{Counts, refusal, refusal_of_watch};
use super::directory::{Directory, Entry, Resident};
use super::gate::Gate;
use super::names;
use super::objects::{self, Known, PodObject};
use super::own_pods::OwnPods;
use super::pause::Pause;
use crate::source::ebpf::Clock;

/// Questions and news that may wait.
const QUEUE: usize = 4096;
/// Look-ups at once, and then one in each pause.
const BURST: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);
/// How long a question may wait for its look-up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the waiting questions are gone through at most.
const TURN: Duration = Duration::from_millis(100);
/// Objects of one answer: more pods than these with one address name nobody.
const MOST_OBJECTS: u32 = 64;
/// Slices of the endpoints of `kubernetes`.
const MOST_SLICES: usize = 16;
/// Objects of one page of a list.
const PAGE: u32 = 100;
/// How long the start waits for the credentials: a program that gives them may not come back.
const CREDENTIALS: Duration = Duration::from_secs(5);

/// Asks who is at the remote end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// A face of the connection.
    pub key: FaceKey,
    /// The remote end's address.
    pub ip: IpAddr,
    /// When the connection was opened.
    pub opened: Timestamp,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Who is at the remote end of a connection.
    Peer {
        /// A face of the connection.
        key: FaceKey,
        /// Who.
        resident: Resident,
    },
    /// The UID of the namespace `kube-system`, which stands for the cluster.
    Cluster(Arc<str>),
    /// Where the API servers are now: all of them.
    Servers(Vec<SocketAddr>),
}

/// The way to ask. Dropping it ends the thread.
#[derive(Debug)]
pub struct Kubernetes {
    questions: mpsc::Sender<Question>,
    counts: Arc<Counts>,
    own: Arc<OwnPods>,
}

impl Kubernetes {
    /// Starts the thread; `None` if the API is not to be asked. `node` names the node whose pods are watched.
    ///
    /// # Errors
    /// In words: what `access` names cannot be used, or no thread can be started.
    pub fn start(access: &Access, node: Option<&str>) -> Result<Option<(Self, Receiver<News>)>, String> {
        if *access == Access::Off {
            return Ok(None);
        }
        let system =
            |error: io::Error| format!("the client of the Kubernetes API cannot be started: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        let (questions, asked) = mpsc::channel(QUEUE);
        let (news, heard) = bounded(QUEUE);
        let (counts, own) = (Arc::<Counts>::default(), Arc::<OwnPods>::default());
        let handle = Self { questions, counts: Arc::clone(&counts), own: Arc::clone(&own) };
        let (access, node) = (access.clone(), node.map(str::to_owned));
        let (made, outcome) = bounded(1);
        let serve = async move {
            let client = match access.client(&Gate::new(Arc::clone(&counts))).await {
                Ok(client) => client,
                Err(error) => {
                    // Too late to refuse the start: then nothing of it is known.
                    if made.send(Err(error)).is_err() {
                        for asked in [Asked::ClusterId, Asked::ApiServers, Asked::OwnPods] {
                            counts.failed(asked, Refusal::Unauthorized);
                        }
                    }
                    return;
                }
            };
            let _ = made.send(Ok(()));
            Service { client, news, counts, own }.serve(asked, node).await;
        };
        std::thread::Builder::new()
            .name("kubernetes".into())
            .spawn(move || runtime.block_on(serve))
            .map_err(system)?;
        match outcome.recv_timeout(CREDENTIALS) {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(RecvTimeoutError::Timeout) => Ok(Some((handle, heard))),
            Err(RecvTimeoutError::Disconnected) => {
                Err("the credentials for the Kubernetes API cannot be used".into())
            }
        }
    }

    /// Asks without waiting; a question that finds the queue full is counted.
    pub fn ask(&self, question: Question) {
        if self.questions.try_send(question).is_err() {
            self.counts.unanswered();
        }
    }

    /// What was asked of the API.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// The pods of this node.
    #[must_use]
    pub fn own_pods(&self) -> Arc<OwnPods> {
        Arc::clone(&self.own)
    }
}

struct Service {
    client: Client,
    news: Sender<News>,
    counts: Arc<Counts>,
    own: Arc<OwnPods>,
}

impl Service {
    /// Until nobody asks any more.
    async fn serve(self, asked: mpsc::Receiver<Question>, node: Option<String>) {
        let watched = async {
            tokio::join!(self.identify(), self.follow_servers(), self.follow_pods(node));
        };
        tokio::select! {
            () = self.answer(asked) => {}
            () = async { watched.await; std::future::pending().await } => {}
        }
    }

    /// A queue that is full means that nobody reads: then nothing is missed that anybody would know.
    fn tell(&self, news: News) {
        if self.news.try_send(news).is_err() {
            self.counts.unanswered();
        }
    }

    /// Reads the cluster's id, once.
    async fn identify(&self) {
        let namespaces: Api<DynamicObject> = Api::all_with(
            self.client.clone(),
            &kube::core::ApiResource::erase::<k8s_openapi::api::core::v1::Namespace>(&()),
        );
        let mut pause = Pause::default();
        loop {
            let failed = match namespaces.get_metadata("kube-system").await {
                Ok(namespace) => match namespace.metadata.uid.filter(|uid| names::uid(uid)) {
                    Some(uid) => {
                        self.counts.lacks.told(Asked::ClusterId);
                        return self.tell(News::Cluster(uid.into()));
                    }
                    None => Refusal::NotUnderstood,
                },
                Err(error) => refusal(&error),
            };
            self.counts.failed(Asked::ClusterId, failed);
            tokio::time::sleep(pause.failed(Instant::now())).await;
        }
    }

    /// Follows where the API servers are.
    async fn follow_servers(&self) {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), "default");
        let config =
            watcher::Config::default().labels("kubernetes.io/service-name=kubernetes").page_size(PAGE);
        let mut known: HashMap<String, Vec<SocketAddr>> = HashMap::new();
        let mut listed: HashSet<String> = HashSet::new();
        self.follow(Asked::ApiServers, slices, config, |event| {
            let is_listed = matches!(event, watcher::Event::InitApply(_));
            match event {
                watcher::Event::Init => listed.clear(),
                watcher::Event::InitApply(slice) | watcher::Event::Apply(slice) => {
                    let Some(name) = objects::name_of_slice(&slice) else { return };
                    if known.len() < MOST_SLICES || known.contains_key(&name) {
                        known.insert(name.clone(), objects::endpoints(&slice));
                        if is_listed {
                            listed.insert(name);
                        }
                    }
                }
                watcher::Event::Delete(slice) => {
                    known.remove(&slice.metadata.name.unwrap_or_default());
                }
                watcher::Event::InitDone => known.retain(|name, _| listed.contains(name)),
            }
            let mut servers: Vec<SocketAddr> = known.values().flatten().copied().collect();
            servers.sort_unstable();
            servers.dedup();
            self.tell(News::Servers(servers));
        })
        .await;
    }

    /// Follows this node's pods.
    async fn follow_pods(&self, node: Option<String>) {
        let Some(node) = node else {
            return self.counts.lacks.refused(Asked::OwnPods, Refusal::NodeNotKnown, Instant::now());
        };
        let pods: Api<PodObject> = Api::all_with(self.client.clone(), &objects::pods());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={node}")).page_size(PAGE);
        let mut listed: HashSet<String> = HashSet::new();
        self.follow(Asked::OwnPods, pods, config, |event| {
            let is_listed = matches!(event, watcher::Event::InitApply(_));
            match event {
                watcher::Event::Init => listed.clear(),
                watcher::Event::InitApply(pod) | watcher::Event::Apply(pod) => {
                    if let Some(known) = Known::of(pod).filter(|it| it.node.as_deref() == Some(&node))
                        && self.own.put(&known)
                        && is_listed
                    {
                        listed.extend(known.pod.uid.clone());
                    }
                }
                watcher::Event::Delete(pod) => {
                    if let Some(uid) = pod.metadata.uid {
                        self.own.remove(&uid);
                    }
                }
                watcher::Event::InitDone => self.own.keep(&listed),
            }
        })
        .await;
    }

    /// Follows objects for ever: begins anew after failures, each time later, and says what is missing and why.
    async fn follow<K>(
        &self,
        asked: Asked,
        api: Api<K>,
        config: watcher::Config,
        mut with: impl FnMut(watcher::Event<K>),
    ) where
        K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let mut pause = Pause::default();
        loop {
            let mut events = pin!(watcher(api.clone(), config.clone()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        if !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_)) {
                            self.counts.lacks.told(asked);
                        }
                        with(event);
                    }
                    Err(error) => {
                        let why = refusal_of_watch(&error);
                        self.counts.failed(asked, why);
                        tokio::time::sleep(pause.failed(Instant::now())).await;
                        // The crate would ask for the same for ever.
                        if why == Refusal::Expired && matches!(error, watcher::Error::WatchStartFailed(_)) {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Answers questions until nobody can ask any more.
    async fn answer(&self, mut asked: mpsc::Receiver<Question>) {
        let pods: Api<PodObject> = Api::all_with(self.client.clone(), &objects::pods());
        let mut directory = Directory::default();
        let mut allowance = Allowance::new(BURST, PAUSE, Instant::now());
        let mut waiting: VecDeque<(Question, Instant)> = VecDeque::new();
        let mut gone_through = Instant::now();
        loop {
            let wait = if waiting.is_empty() { Duration::from_secs(3600) } else { TURN };
            match tokio::time::timeout(wait, asked.recv()).await {
                Ok(Some(question)) => {
                    if !self.answers(&mut directory, &question) {
                        if waiting.len() < QUEUE {
                            waiting.push_back((question, Instant::now()));
                        } else {
                            self.counts.unanswered();
                        }
                    }
                }
                Ok(None) => return,
                Err(_) => {}
            }
            // All that wait are gone through now and then, never once for each that comes.
            if gone_through.elapsed() >= TURN {
                gone_through = Instant::now();
                waiting.retain(|(question, since)| {
                    let answered = self.answers(&mut directory, question);
                    let given_up = !answered && since.elapsed() > PATIENCE;
                    if given_up {
                        self.counts.unanswered();
                    }
                    !answered && !given_up
                });
            }
            if let Some((question, _)) = waiting.front().copied()
                && allowance.take(Instant::now())
            {
                self.look_up(&pods, question.ip, &mut directory, &mut allowance).await;
            }
        }
    }

    /// Answers from what is known; false if the API has to be asked.
    fn answers(&self, directory: &mut Directory, question: &Question) -> bool {
        match directory.look_up(question.ip, question.opened) {
            Entry::Had(resident) => self.tell(News::Peer { key: question.key, resident }),
            Entry::Nobody => {}
            Entry::Ask => return false,
        }
        true
    }

    async fn look_up(
        &self,
        pods: &Api<PodObject>,
        ip: IpAddr,
        directory: &mut Directory,
        allowance: &mut Allowance,
    ) {
        let asked = Clock::now().utc(Clock::monotonic());
        let which = ListParams::default().fields(&format!("status.podIP={ip}")).limit(MOST_OBJECTS);
        match pods.list(&which).await {
            Ok(found) => {
                allowance.answered();
                self.counts.lacks.told(Asked::RemotePods);
                let whole = found.metadata.continue_.is_none_or(|token| token.is_empty());
                let pods = found.items.into_iter().filter_map(Known::of);
                directory.learn(ip, asked, pods, whole);
            }
            Err(error) => {
                self.counts.failed(Asked::RemotePods, refusal(&error));
                allowance.failed(Instant::now());
            }
        }
    }
}
