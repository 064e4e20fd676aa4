//! The live source as a whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use aya::maps::{Map, MapData};
use aya::{Ebpf, EbpfLoader};
use observer_common::{Config, Counters};

use super::control::Control;
use super::object::object;
use super::reader::{Reader, Received, Shared};
use super::ring::Ring;
use super::{Clock, Error, Faces, Hear, ProgramCost, Scope, programs};

/// How the live source is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is watched at first.
    pub scope: Scope,
    /// Bytes of the ring for announcements, events and handshakes; a power of two, at least a page.
    pub lifecycle_ring: u32,
    /// Bytes of the ring for payload; a power of two, at least a page.
    pub payload_ring: u32,
    /// Payload bytes copied for each direction until enough was seen.
    pub budget: u32,
    /// Bytes a second copied for each connection whose requests are read on.
    pub request_rate: u32,
    /// Bytes copied of such a connection beyond the place that was read last.
    pub request_window: u32,
    /// Of a connection with both ends on this node, let the end that dialled tell the bytes for both.
    pub pairs: bool,
    /// The cgroup to attach to; `None` for the root of the cgroup v2 tree, which holds every socket of the node.
    pub cgroup: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            lifecycle_ring: 8 << 20,
            payload_ring: 4 << 20,
            budget: 64 << 10,
            request_rate: 8 << 20,
            request_window: 256 << 10,
            pairs: true,
            cgroup: None,
        }
    }
}

/// The kernel programs, attached, and the thread that reads what they tell. Dropping it detaches them.
pub struct Live<H> {
    ebpf: Ebpf,
    control: Control,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<H>>,
}

impl<H: Hear + Send + 'static> Live<H> {
    /// Loads the programs, fills their tables, starts the reader, and attaches them last. `hear` is called on the
    /// reader's thread.
    ///
    /// # Errors
    /// [`Error`], each with its fix.
    pub fn start(settings: &Settings, hear: H) -> Result<Self, Error> {
        Self::start_after(settings, hear, |_| Ok(()))
    }

    /// The same, with `prepare` called when everything but the attaching is done: the place to tell about older
    /// sockets.
    ///
    /// # Errors
    /// [`Error`], or what `prepare` returns.
    pub fn start_after(
        settings: &Settings,
        hear: H,
        prepare: impl FnOnce(&Control) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut ebpf = load(settings)?;
        programs::load(&mut ebpf)?;
        let config = Config {
            budget: settings.budget,
            request_rate: settings.request_rate,
            request_window: settings.request_window,
            pairs: settings.pairs.into(),
            shed_from: u64::from(settings.lifecycle_ring) / 4 * 3,
            lifecycle_wake: u64::from(settings.lifecycle_ring) / 4,
            payload_wake: u64::from(settings.payload_ring) / 4,
            ..Config::default()
        };
        let lifecycle = ring(&mut ebpf, "LIFECYCLE", settings.lifecycle_ring)?;
        let payload = ring(&mut ebpf, "PAYLOAD", settings.payload_ring)?;
        let control = Control::new(&mut ebpf, config)?;
        control.set_scope(&settings.scope)?;
        prepare(&control)?;
        let shared = Arc::new(Shared::new()?);
        let mut faces = Faces::default();
        faces.set_clock(Clock::now());
        let reader = Reader {
            lifecycle,
            payload,
            control: control.clone(),
            shared: Arc::clone(&shared),
            faces,
            hear,
            told_lost: [(0, 0); 6],
            sweep: super::sweep::Sweep::default(),
            #[cfg(feature = "kernel-log")]
            diagnostics: super::diagnostics::Diagnostics::new(&mut ebpf),
        };
        let thread = std::thread::Builder::new()
            .name("rings".into())
            .spawn(move || reader.run())
            .map_err(Error::Thread)?;
        let mut live = Self { ebpf, control, shared, reader: Some(thread) };
        let root = match &settings.cgroup {
            Some(path) => path.clone(),
            None => programs::cgroup_root()?,
        };
        programs::attach(&mut live.ebpf, &root)?;
        Ok(live)
    }

    /// Detaches the programs, reads what the rings still hold, and gives back who heard it all; `None` if the reader
    /// panicked, or was stopped before. The counters stay, and do not change any more.
    #[must_use]
    pub fn stop(&mut self) -> Option<H> {
        programs::detach(&mut self.ebpf);
        self.shared.stop();
        self.reader.take().and_then(|reader| reader.join().ok())
    }
}

impl<H> Live<H> {
    /// Changes, asks and wishes.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// The account of every hook.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn counters(&self) -> Result<Counters, Error> {
        self.control.counters()
    }

    /// What the reader took from the rings. When nothing is under way, its numbers are those of `submitted`.
    #[must_use]
    pub fn received(&self) -> &Received {
        &self.shared.received
    }

    /// What each program cost the verifier, and what its runs cost.
    #[must_use]
    pub fn costs(&self) -> Vec<ProgramCost> {
        programs::costs(&self.ebpf)
    }
}

impl<H> Drop for Live<H> {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Whether this binary has the kernel programs inside.
#[must_use]
pub fn has_programs() -> bool {
    object().is_some()
}

/// Loads the programs and lets them go again, without attaching them: what each cost the verifier.
///
/// # Errors
/// [`Error`], as [`Live::start`] would meet it.
pub fn trial() -> Result<Vec<ProgramCost>, Error> {
    let settings = Settings { lifecycle_ring: 1 << 16, payload_ring: 1 << 16, ..Settings::default() };
    let mut ebpf = load(&settings)?;
    programs::load(&mut ebpf)?;
    Ok(programs::costs(&ebpf))
}

fn load(settings: &Settings) -> Result<Ebpf, Error> {
    let object = object().ok_or(Error::NoProbes)?;
    raise_memlock();
    let netns_cookie = u32::from(programs::has_netns_cookie());
    let senders = u32::from(programs::knows_senders());
    EbpfLoader::new()
        // The programs hold no relocations against the kernel's own types.
        .btf(None)
        .map_max_entries("LIFECYCLE", settings.lifecycle_ring)
        .map_max_entries("PAYLOAD", settings.payload_ring)
        .override_global("NETNS_COOKIE", &netns_cookie, true)
        .override_global("SENDERS", &senders, true)
        .load(object)
        .map_err(|error| Error::Load(Box::new(error)))
}

/// Before Linux 5.11 maps count against the limit of locked memory.
fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Without the right to, loading says so on the kernels that need it.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
}

fn ring(ebpf: &mut Ebpf, name: &'static str, size: u32) -> Result<Ring, Error> {
    let map: Map = ebpf.take_map(name).ok_or(Error::Missing(name))?;
    let Map::RingBuf(data) = map else { return Err(Error::Missing(name)) };
    let data: &MapData = &data;
    use std::os::fd::AsFd;
    Ring::new(data.fd().as_fd(), size).map_err(|error| Error::Ring { name, error })
}
