//! Work for the node.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::bench::used::Leashed;
use crate::process::{command, exists, output, run};

/// A port that is watched by default: etcd's, which nothing else uses here.
pub const PORT: u16 = 2379;
/// OpenSSL's port, watched by default too.
const TLS_PORT: u16 = 6443;

/// The two ends of a load keep to a core each, or where the scheduler happens to put them decides how fast it is.
const CLIENT_CORE: &str = "0";
const SERVER_CORE: &str = "1";

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// An OpenSSL server with a certificate of P-256.
#[derive(Debug)]
pub struct Tls {
    _server: Leashed,
}

impl Tls {
    /// Makes a certificate in `folder` and serves it.
    pub fn start(folder: &Path) -> Result<Self> {
        let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
        let mut make = command("openssl");
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        make.args(["-subj", "/CN=bench", "-keyout"]).arg(&key).arg("-out").arg(&certificate);
        run(make.stderr(Stdio::null()))?;
        let mut server = on_core(SERVER_CORE, "openssl");
        server.args(["s_server", "-quiet", "-tls1_3", "-accept", &TLS_PORT.to_string(), "-key"]);
        server.arg(&key).arg("-cert").arg(&certificate).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Leashed(server.spawn()?);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", TLS_PORT)).is_err() {
            ensure!(began.elapsed() < Duration::from_secs(10), "openssl s_server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { _server: server })
    }

    /// New connections a second.
    #[expect(clippy::unused_self, reason = "there must be a server")]
    pub fn connections(&self, time: Duration) -> Result<f64> {
        let mut client = on_core(CLIENT_CORE, "openssl");
        client.args(["s_time", "-new", "-connect", &format!("127.0.0.1:{TLS_PORT}"), "-time"]);
        client.arg(time.as_secs().to_string()).stderr(Stdio::null());
        let start = Instant::now();
        let said = output(&mut client)?;
        let wall = start.elapsed().as_secs_f64();
        let count =
            said.lines().find_map(|line| line.split_once(" connections in ")?.0.trim().parse::<f64>().ok());
        Ok(count.context("openssl s_time tells no number of connections")? / wall)
    }
}

/// A command on one core.
fn on_core(core: &str, program: &str) -> Command {
    if !exists("taskset") {
        return command(program);
    }
    let mut command = command("taskset");
    command.args(["-c", core, program]);
    command
}

/// Keeps the calling thread to one core; without `taskset` it goes where it is put.
fn keep_to(core: &str) {
    let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    if let Some(thread) = thread.file_name()
        && exists("taskset")
    {
        let mut keep = command("taskset");
        keep.args(["-pc", core]).arg(thread).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = keep.status();
    }
}

/// Runs a load on a thread of its own, on the client's core.
fn as_client<T: Send>(load: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            keep_to(CLIENT_CORE);
            load()
        });
        client.join().unwrap_or_else(|_| bail!("the load failed"))
    })
}

/// A server of one thread that answers each connection by a function, until it is dropped.
struct Server {
    port: u16,
    stop: std::sync::Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(port: u16, mut answer: impl FnMut(TcpStream) + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let asked = std::sync::Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            keep_to(SERVER_CORE);
            while let Ok((stream, _)) = listener.accept() {
                if asked.load(Ordering::Relaxed) {
                    return;
                }
                answer(stream);
            }
        });
        Ok(Self { port, stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn respond(mut stream: TcpStream) {
    let mut request = [0; 256];
    if stream.read(&mut request).is_ok_and(|length| length > 0) {
        let _ = stream.write_all(RESPONSE);
    }
}

fn request() -> Result<()> {
    let mut client = TcpStream::connect(("127.0.0.1", PORT))?;
    client.write_all(REQUEST)?;
    client.read_to_end(&mut Vec::with_capacity(256))?;
    Ok(())
}

/// Connect, one small request, close: how many a second, and how many.
pub fn connections(time: Duration) -> Result<(f64, u32)> {
    let _server = Server::start(PORT, respond)?;
    as_client(|| {
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < time {
            request()?;
            count += 1;
        }
        Ok((f64::from(count) / start.elapsed().as_secs_f64(), count))
    })
}

/// The same with a pause in between: how many. The one connection that ends the server has no request and is counted too.
pub fn requests(time: Duration, pause: Duration) -> Result<u32> {
    let _server = Server::start(PORT, respond)?;
    let start = Instant::now();
    let mut count = 1;
    while start.elapsed() < time {
        request()?;
        count += 1;
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    Ok(count)
}

/// Megabytes a second on one connection.
pub fn bulk(time: Duration) -> Result<f64> {
    let _server = Server::start(PORT, |mut stream| {
        let mut buffer = vec![0; 1 << 18];
        while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
    })?;
    as_client(|| {
        let mut client = TcpStream::connect(("127.0.0.1", PORT))?;
        let chunk = vec![0xa5; 1 << 16];
        let start = Instant::now();
        let mut megabytes = 0.0;
        while start.elapsed() < time {
            client.write_all(&chunk)?;
            megabytes += 0.065_536;
        }
        Ok(megabytes / start.elapsed().as_secs_f64())
    })
}

/// Connections that stay open while this lives, in processes of their own: one may not have that many descriptors.
#[derive(Debug, Default)]
pub struct Held {
    _holders: Vec<Leashed>,
}

/// What held connections have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Said {
    /// SSH's first line each way: the verdict stands
    Decided,
    /// A part of a ClientHello, a byte a segment
    Trickled,
}

impl Held {
    /// Has so many connections opened and held.
    /// With `cgroup`, the dialling sockets alone belong to that group.
    pub fn open(said: Said, count: usize, cgroup: Option<&Path>) -> Result<Self> {
        let mut holders = Vec::new();
        for port in [PORT, PORT + 1] {
            let mut holder = Command::new(std::env::current_exe()?);
            holder.args(["bench", "hold", said.name(), &(count / 2).to_string(), &port.to_string()]);
            if let Some(cgroup) = cgroup {
                holder.arg("--cgroup").arg(cgroup);
            }
            let mut holder = Leashed(holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
            let mut ready = [0];
            let words = holder.0.stdout.as_mut().context("no pipe")?;
            words.read_exact(&mut ready).context("the connections could not be opened")?;
            holders.push(holder);
        }
        Ok(Self { _holders: holders })
    }
}

impl Said {
    const fn name(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Trickled => "trickled",
        }
    }
}

/// Opens connections, says when they are there, and holds them until standard input ends.
pub fn hold(said: Said, count: usize, port: u16, cgroup: Option<&Path>) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    if let Some(cgroup) = cgroup {
        // Accepted sockets belong to the group of their listener, which was made before this.
        std::fs::write(cgroup.join("cgroup.procs"), std::process::id().to_string())?;
    }
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut client = TcpStream::connect(("127.0.0.1", port))?;
        let (mut server, _) = listener.accept()?;
        match said {
            Said::Decided => {
                client.write_all(b"SSH-2.0-bench\r\n")?;
                server.write_all(b"SSH-2.0-bench\r\n")?;
            }
            Said::Trickled => trickle(&mut client, 20)?,
        }
        streams.extend([client, server]);
    }
    std::io::stdout().write_all(b"!")?;
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The beginning of a ClientHello, a byte a segment.
fn trickle(client: &mut TcpStream, count: usize) -> Result<()> {
    client.set_nodelay(true)?;
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for byte in hello.into_iter().chain(std::iter::repeat(7)).take(count) {
        client.write_all(&[byte])?;
    }
    Ok(())
}

/// Some connections that each send 300 bytes of a ClientHello, a byte a segment.
pub fn undecided() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", PORT))?;
    for _ in 0..60 {
        let mut client = TcpStream::connect(("127.0.0.1", PORT))?;
        let _server = listener.accept()?;
        trickle(&mut client, 300)?;
    }
    Ok(())
}

/// 20,000 packets of 64 bytes in turn on one connection, which begins as SSH.
pub fn ping(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut line = [0; 15];
    client.write_all(b"SSH-2.0-bench\r\n")?;
    server.write_all(b"SSH-2.0-bench\r\n")?;
    client.read_exact(&mut line)?;
    server.read_exact(&mut line)?;
    // Until the verdict stands.
    std::thread::sleep(Duration::from_millis(50));
    let mut buffer = [0; 64];
    for _ in 0..10_000 {
        client.write_all(&[7; 64])?;
        server.read_exact(&mut buffer)?;
        server.write_all(&[7; 64])?;
        client.read_exact(&mut buffer)?;
    }
    Ok(())
}
