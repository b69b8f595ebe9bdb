//! A running `lyceum`, or another server, as a test sees it.

use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// No test waits longer for anything; nothing takes a fraction of it but on a machine that does ten other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Process {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: tokio::task::JoinHandle<Vec<String>>,
    said: Vec<String>,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<String>,
    pub(crate) err: Vec<String>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum"));
        command.args(arguments).envs(environment.iter().copied()).env("LYCEUM_LOG", "warn");
        Self::spawn(command)
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let err = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                all.push(line);
            }
            all
        });
        Self { child, out, err, said: Vec::new() }
    }

    /// Waits for the line that says it serves, and returns its URL.
    pub(crate) async fn ready(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.out.next_line()).await.expect("it was never ready").unwrap();
        let Some(line) = line else {
            let status = self.child.wait().await.unwrap();
            panic!("it ended with {status} before it was ready: {:?}", (&mut self.err).await.unwrap());
        };
        let url = line.strip_prefix("ready ").unwrap_or_else(|| panic!("the first line was {line:?}")).to_owned();
        self.said.push(line);
        url
    }

    pub(crate) fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().unwrap()));
        rustix::process::kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn end(mut self) -> Ended {
        let end = async {
            while let Ok(Some(line)) = self.out.next_line().await {
                self.said.push(line);
            }
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE, end).await.expect("it did not end");
        let err = self.err.await.unwrap();
        let bad: Vec<_> = err.iter().filter(|line| line.contains("ERROR") || line.contains("panicked")).collect();
        assert!(bad.is_empty(), "its log has errors: {bad:?}");
        Ended { code: status.code(), out: self.said, err }
    }
}
