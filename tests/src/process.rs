//! Running a program to its end, or to its time limit, in a process group of its own.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; none when a signal or the time limit ended it.
    pub code: Option<i32>,
    /// Did the time limit end it?
    pub timed_out: bool,
    /// Standard output, byte for byte.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// Wall-clock time.
    pub elapsed: Duration,
}

impl Outcome {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Both outputs without Hudson's own lines: what the client itself has shown.
    pub fn shown(&self) -> String {
        self.everything().lines().filter(|line| !line.starts_with("hudson: ")).collect::<Vec<_>>().join("\n")
    }

    /// Both outputs.
    pub fn everything(&self) -> String {
        format!("{}\n{}", self.text(), self.stderr)
    }

    /// Ends the test unless the exit code is this one.
    #[track_caller]
    pub fn exited(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "unexpected end: {self}");
        self
    }

    /// Ends the test unless the client shows this, in upper or lower case.
    #[track_caller]
    pub fn shows(&self, what: &str) -> &Self {
        let found = self.shown().to_lowercase().contains(&what.to_lowercase());
        assert!(found, "the client does not show {what:?}: {self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = match (self.timed_out, self.code) {
            (true, _) => "time limit".to_owned(),
            (_, Some(code)) => format!("exit code {code}"),
            _ => "a signal".to_owned(),
        };
        writeln!(f, "`{}` ended with {end} after {:?}", self.command, self.elapsed)?;
        writeln!(f, "--- stdout\n{}", self.text())?;
        write!(f, "--- stderr\n{}", self.stderr)
    }
}

/// A program in the background; its whole process group ends when this is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    group: Pid,
}

impl Background {
    /// Starts it with its own process group.
    pub fn start(command: &mut Command) -> Self {
        let child = command.process_group(0).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let group = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id is a positive number");
        Self { child, group }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: Signal) {
        // The group may have ended already; that is what was wanted.
        kill_process_group(self.group, signal).ok();
    }

    /// `kill -9` to the program alone, and waits until it is gone.
    pub fn kill_now(&mut self) {
        self.child.kill().expect("the program still runs");
        self.child.wait().expect("it is our child");
    }

    /// Waits for the end; false when `limit` comes first.
    pub fn wait(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) | Err(_) => return true,
                Ok(None) if Instant::now() > deadline => return false,
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Has it ended?
    pub fn ended(&mut self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for the end; the exit code, or none where a signal ended it.
    pub fn code(&mut self) -> Option<i32> {
        self.child.wait().ok().and_then(|status| status.code())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if !self.ended() {
            self.signal(Signal::TERM);
            self.wait(Duration::from_secs(3));
        }
        self.signal(Signal::KILL);
        self.child.wait().ok();
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command, limit: Duration) -> Outcome {
    let line = line_of(command);
    let started = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Background::start(command);
    let stdout = running.child.stdout.take().expect("standard output is piped");
    let stderr = running.child.stderr.take().expect("standard error is piped");
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    let timed_out = !running.wait(limit);
    if timed_out {
        running.signal(Signal::TERM);
        running.wait(Duration::from_secs(3));
    }
    // Whatever the program left behind in its group would hold the pipes open.
    running.signal(Signal::KILL);
    let code = if timed_out { None } else { running.code() };
    let elapsed = started.elapsed();
    let stdout = stdout.join().unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned();
    Outcome { command: line, code, timed_out, stdout, stderr, elapsed }
}

fn collect(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).ok();
        all
    })
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
