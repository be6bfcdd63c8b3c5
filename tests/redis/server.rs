//! A `redis-server` of a test's own, or whatever `THRYD_REDIS_SERVER` names: on a free port, in a folder of its own, without
//! persistence unless asked for, gone with it.
#![allow(dead_code, reason = "each test uses the part of it that it needs")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long it may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server.
pub struct Server {
    pub port: u16,
    /// Where nodes of a Cluster talk to each other.
    pub bus: u16,
    folder: TempDir,
    /// What goes before all else.
    first: Vec<String>,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts one. Where there is none the test has nothing to do and says so; where `THRYD_NEEDS_REDIS` is set, that is a failure.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with further arguments.
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        Self::start_in(tempfile::tempdir().unwrap(), Vec::new(), arguments)
    }

    /// A Sentinel that watches the server at this port under the name `main`.
    pub fn sentinel(port: u16) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sentinel.conf");
        fs::write(&path, format!("sentinel monitor main 127.0.0.1 {port} 1\n")).unwrap();
        let file = path.to_str().unwrap().to_owned();
        Self::start_in(folder, vec![file, "--sentinel".to_owned()], Vec::new())
    }

    fn start_in(folder: TempDir, first: Vec<String>, arguments: Vec<String>) -> Option<Self> {
        if !is_there() {
            return None;
        }
        let mut server = Self { port: 0, bus: 0, folder, first, arguments, child: None };
        for _ in 0..20 {
            (server.port, server.bus) = (some_port(), some_port());
            if server.try_to_start() {
                return Some(server);
            }
        }
        panic!("redis-server does not start: {}", server.log());
    }

    /// Starts it again on its port, as it was begun.
    pub fn restart(&mut self) {
        self.kill();
        // Others may have it for a moment.
        let begun = Instant::now();
        while !self.try_to_start() {
            assert!(begun.elapsed() < PATIENCE, "redis-server does not start again: {}", self.log());
        }
    }

    /// Starts it, unless somebody else has one of its ports. Its socket in its folder is there when it has them itself, so that
    /// nobody takes the server of another test for it.
    fn try_to_start(&mut self) -> bool {
        let socket = self.path("socket");
        let _ = fs::remove_file(&socket);
        let log = File::create(self.path("log")).unwrap();
        let mut command = Command::new(program());
        command.args(&self.first).args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        if self.first.is_empty() {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        if self.arguments.iter().any(|it| it == "--cluster-enabled") {
            command.args(["--cluster-port", &self.bus.to_string()]);
        }
        command.arg("--unixsocket").arg(&socket).arg("--dir").arg(self.folder.path());
        command.args(["--loglevel", "warning"]).args(&self.arguments);
        let mut child = command.stdout(log).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while !(socket.exists() && self.answers()) {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            self.child = Some(child);
            assert!(begun.elapsed() < PATIENCE, "redis-server does not start in time: {}", self.log());
            child = self.child.take().unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child = Some(child);
        true
    }

    /// Whether it answers anything at all: only then are all its ports its own.
    fn answers(&self) -> bool {
        let asked = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"PING\r\n")?;
            stream.read(&mut [0; 64])
        });
        asked.is_ok_and(|count| count > 0)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Lets it stand still, or go on.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// What it answers to a command of words, as it comes: for looking at it from outside.
    pub fn ask(&self, words: &[&str]) -> String {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same while connections may be cut: a Sentinel that makes a server a master or a replica ends all that it has.
    pub fn try_ask(&self, words: &[&str]) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            let _ = write!(command, "${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(command.as_bytes())?;
        let mut answer = Vec::new();
        read_reply(&mut BufReader::new(stream), &mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Reads one reply to its end, and no further.
fn read_reply(stream: &mut BufReader<TcpStream>, answer: &mut Vec<u8>) -> io::Result<()> {
    let from = answer.len();
    stream.read_until(b'\n', answer)?;
    let line = String::from_utf8_lossy(&answer[from..]).trim_end().to_owned();
    if !answer[from..].ends_with(b"\n") {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let count = || line[1..].parse::<i64>().unwrap();
    match &line[..1] {
        "$" => {
            // Nothing follows what is not there.
            let bytes = usize::try_from(count()).map_or(0, |count| count + 2);
            let end = answer.len();
            answer.resize(end + bytes, 0);
            stream.read_exact(&mut answer[end..])?;
        }
        "*" => {
            for _ in 0..count() {
                read_reply(stream, answer)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn program() -> String {
    std::env::var("THRYD_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// A port that no connection to elsewhere is given: those are above, on all systems.
fn some_port() -> u16 {
    fastrand::u16(10_000..32_000)
}

fn is_there() -> bool {
    // What it is told, and how it is stopped, is not the same elsewhere.
    let is_there = cfg!(unix) && Command::new(program()).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        let remedy = format!("there is no {} (Debian: apt-get install redis-server)", program());
        assert!(std::env::var_os("THRYD_NEEDS_REDIS").is_none(), "{remedy}");
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        // Past the capture of tests' output, because nothing else would tell.
        let _ = std::io::stderr().write_all(format!("NOT RUN: {name}: {remedy}\n").as_bytes());
    }
    is_there
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
