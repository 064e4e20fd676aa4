//! The thread that speaks to the API.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use futures::{Stream, StreamExt};
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use observer_core::engine::FaceKey;
use observer_core::event::KubernetesApi;
use observer_core::time::Timestamp;
use tokio::sync::mpsc;

use super::access::Access;
use super::allowance::Allowance;
use super::directory::{Directory, Entry, Resident};
use super::objects::{self, Known, PodObject};
use super::own_pods::OwnPods;
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
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Objects of one answer: more pods than two with one address name nobody.
const MOST_OBJECTS: u32 = 64;

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

/// Counted on the client's thread.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests sent, watches included.
    pub requests: AtomicU64,
    /// Requests that failed.
    pub failures: AtomicU64,
    /// Requests that the API refused for want of rights (403).
    pub forbidden: AtomicU64,
    /// Questions that were given up: too many, or the API was away for too long.
    pub unanswered: AtomicU64,
}

impl Counts {
    /// As it is told.
    #[must_use]
    pub fn told(&self) -> KubernetesApi {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KubernetesApi {
            requests: read(&self.requests),
            failures: read(&self.failures),
            forbidden: read(&self.forbidden),
            unanswered: read(&self.unanswered),
        }
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, error: &kube::Error) {
        Self::count(&self.failures);
        if let kube::Error::Api(status) = error
            && status.code == 403
        {
            Self::count(&self.forbidden);
        }
    }
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
        let system =
            |error: io::Error| format!("the client of the Kubernetes API cannot be started: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        let Some(client) = runtime.block_on(access.client())? else { return Ok(None) };
        let (questions, asked) = mpsc::channel(QUEUE);
        let (news, heard) = bounded(QUEUE);
        let service =
            Service { client, news, counts: Arc::new(Counts::default()), own: Arc::new(OwnPods::default()) };
        let handle = Self { questions, counts: Arc::clone(&service.counts), own: Arc::clone(&service.own) };
        let node = node.map(str::to_owned);
        std::thread::Builder::new()
            .name("kubernetes".into())
            .spawn(move || runtime.block_on(service.serve(asked, node)))
            .map_err(system)?;
        Ok(Some((handle, heard)))
    }

    /// Asks without waiting; a question that finds the queue full is counted.
    pub fn ask(&self, question: Question) {
        if self.questions.try_send(question).is_err() {
            Counts::count(&self.counts.unanswered);
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
            Counts::count(&self.counts.unanswered);
        }
    }

    /// Reads the cluster's id, once.
    async fn identify(&self) {
        let namespaces: Api<DynamicObject> = Api::all_with(
            self.client.clone(),
            &kube::core::ApiResource::erase::<k8s_openapi::api::core::v1::Namespace>(&()),
        );
        let mut allowance = Allowance::new(1, PAUSE, Instant::now());
        loop {
            if allowance.take(Instant::now()) {
                Counts::count(&self.counts.requests);
                match tokio::time::timeout(ANSWER, namespaces.get_metadata("kube-system")).await {
                    Ok(Ok(namespace)) => {
                        if let Some(uid) = namespace.metadata.uid.filter(|uid| (1..=64).contains(&uid.len()))
                        {
                            self.tell(News::Cluster(uid.into()));
                        }
                        return;
                    }
                    Ok(Err(error)) => self.counts.failed(&error),
                    Err(_) => Counts::count(&self.counts.failures),
                }
                allowance.failed(Instant::now());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows where the API servers are.
    async fn follow_servers(&self) {
        let resource = kube::core::ApiResource::erase::<k8s_openapi::api::discovery::v1::EndpointSlice>(&());
        let slices: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "default", &resource);
        let config = watcher::Config::default().labels("kubernetes.io/service-name=kubernetes");
        let mut known: HashMap<String, Vec<SocketAddr>> = HashMap::new();
        let mut listed: HashSet<String> = HashSet::new();
        let mut events = pin!(self.counted(watcher(slices, config)));
        while let Some(event) = events.next().await {
            let name = |object: &DynamicObject| object.metadata.name.clone().unwrap_or_default();
            match event {
                watcher::Event::Init => listed.clear(),
                watcher::Event::InitApply(slice) | watcher::Event::Apply(slice) => {
                    listed.insert(name(&slice));
                    if known.len() < 64 {
                        known.insert(name(&slice), objects::endpoints(&slice.data));
                    }
                }
                watcher::Event::Delete(slice) => {
                    known.remove(&name(&slice));
                }
                watcher::Event::InitDone => known.retain(|name, _| listed.contains(name)),
            }
            let mut servers: Vec<SocketAddr> = known.values().flatten().copied().collect();
            servers.sort_unstable();
            servers.dedup();
            self.tell(News::Servers(servers));
        }
    }

    /// Follows this node's pods.
    async fn follow_pods(&self, node: Option<String>) {
        let Some(node) = node else { return };
        let pods: Api<PodObject> = Api::all_with(self.client.clone(), &objects::pods());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
        let mut listed: HashSet<String> = HashSet::new();
        let mut events = pin!(self.counted(watcher(pods, config)));
        while let Some(event) = events.next().await {
            match event {
                watcher::Event::Init => listed.clear(),
                watcher::Event::InitApply(pod) | watcher::Event::Apply(pod) => {
                    if let Some(known) = Known::of(pod) {
                        listed.extend(known.pod.uid.clone());
                        self.own.put(&known);
                    }
                }
                watcher::Event::Delete(pod) => {
                    if let Some(uid) = pod.metadata.uid {
                        self.own.remove(&uid);
                    }
                }
                watcher::Event::InitDone => self.own.keep(&listed),
            }
        }
    }

    /// A watch that begins anew after failures, each time later, and counts them.
    fn counted<K>(
        &self,
        events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    ) -> impl Stream<Item = watcher::Event<K>> {
        let counts = Arc::clone(&self.counts);
        events.default_backoff().filter_map(move |event| {
            let event = match event {
                Ok(event) => {
                    if matches!(event, watcher::Event::Init) {
                        // A list, and the watch that follows it.
                        counts.requests.fetch_add(2, Ordering::Relaxed);
                    }
                    Some(event)
                }
                Err(error) => {
                    Counts::count(&counts.failures);
                    if is_forbidden(&error) {
                        Counts::count(&counts.forbidden);
                    }
                    None
                }
            };
            std::future::ready(event)
        })
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
                            Counts::count(&self.counts.unanswered);
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
                        Counts::count(&self.counts.unanswered);
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
        Counts::count(&self.counts.requests);
        match tokio::time::timeout(ANSWER, pods.list(&which)).await {
            Ok(Ok(found)) => {
                allowance.answered();
                directory.learn(ip, asked, found.items.into_iter().filter_map(Known::of));
            }
            Ok(Err(error)) => {
                self.counts.failed(&error);
                allowance.failed(Instant::now());
            }
            Err(_) => {
                Counts::count(&self.counts.failures);
                allowance.failed(Instant::now());
            }
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        _ => return false,
    };
    status.code == 403
}
