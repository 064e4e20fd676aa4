//! A client of the cluster: our peer, in some place, doing jobs one after another.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::expect::Expect;

/// A running client. It ends when this is dropped.
#[derive(Debug)]
pub struct Mouth {
    child: Child,
    jobs: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Its process; none where it is not on this machine's list, inside a pod.
    pid: Option<u32>,
}

/// What became of a job, in the client's words.
#[derive(Clone, Debug)]
pub struct Done(Value);

impl Mouth {
    /// Starts `command`, which is a client or leads to one.
    pub fn start(command: &mut Command, in_pod: bool) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let jobs = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut this = Self { child, jobs, answers, pid: None };
        let pid = this.answer()?["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        this.pid = if in_pod { None } else { pid };
        Ok(this)
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("a client ended ({})", self.child.wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("a client said {line}"))
    }

    /// Has a job done. A failure of the job is an answer too.
    pub fn ask(&mut self, job: &Value) -> Result<Done> {
        let jobs = self.jobs.as_mut().context("no pipe")?;
        writeln!(jobs, "{job}")?;
        jobs.flush()?;
        Ok(Done(self.answer()?))
    }

    /// A request, with what a job may have besides.
    pub fn get(&mut self, url: &str, more: &Value) -> Result<Done> {
        let mut job = json!({"Kind": "http", "Method": "GET", "URL": url});
        for (name, value) in more.as_object().into_iter().flatten() {
            job[name] = value.clone();
        }
        self.ask(&job)
    }

    /// Names this client in what is expected of a connection that it dialled.
    pub fn sign(&self, expect: Expect) -> Expect {
        expect.process("client", "peer", self.pid)
    }
}

impl Drop for Mouth {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.child.wait();
    }
}

impl Done {
    /// One of its words; empty if it has none.
    pub fn word(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// The response's status.
    pub fn status(&self) -> Option<u64> {
        self.0["status"].as_u64()
    }

    /// What the pod that answered saw of the request.
    pub fn told(&self) -> Result<Value> {
        serde_json::from_str(self.word("body")).with_context(|| {
            format!("a pod did not answer: {}", serde_json::to_string(&self.0).unwrap_or_default())
        })
    }

    /// What is expected of its own connection.
    pub fn connection(&self) -> Expect {
        let expect = Expect::between(self.word("local"), self.word("remote"));
        match self.word("client") {
            "" => expect.plaintext(),
            client => expect.tls(self.word("tls"), client),
        }
    }
}
