//! The same traffic by the other road: tcpdump beside it, then `observer replay`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use crate::event::Event;
use crate::netns::Netns;
use crate::world::observer;

/// A running tcpdump on all interfaces of a namespace.
#[derive(Debug)]
pub struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    /// Starts it and waits until it listens.
    #[must_use]
    pub fn start(place: &Netns, folder: &Path) -> Self {
        Self::spawn(place.command("tcpdump"), folder.join("capture.pcap"))
    }

    /// The same by any command that leads to tcpdump.
    #[must_use]
    pub fn spawn(mut tcpdump: Command, file: PathBuf) -> Self {
        let mut child = tcpdump
            // A large buffer: none of our packets may be missing from it.
            .args(["-i", "any", "-U", "-n", "-B", "32768", "-Z", "root", "-w"])
            .arg(&file)
            .arg("tcp")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut words = BufReader::new(child.stderr.take().unwrap());
        while !line.contains("listening on") {
            line.clear();
            assert!(words.read_line(&mut line).unwrap() > 0, "tcpdump does not start");
        }
        // It must be able to say its last words.
        std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
        Self { child, file }
    }

    /// Stops it and replays what it has.
    #[must_use]
    pub fn replay(self) -> Vec<Event> {
        let file = self.stop();
        let mut replay = Command::new(observer().unwrap());
        let output = replay.args(["replay", "-q", "--format", "json"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| Event { value: serde_json::from_str(line).unwrap(), read: SystemTime::now() })
            .collect()
    }

    /// Stops it; its file.
    #[must_use]
    pub fn stop(mut self) -> PathBuf {
        std::thread::sleep(Duration::from_millis(300));
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap();
        self.file.clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
