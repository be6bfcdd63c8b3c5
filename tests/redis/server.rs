//! A `redis-server` of a test's own: on a free port, in a folder of its own, without persistence unless asked for, gone with it.
#![allow(dead_code, reason = "each test uses the part of it that it needs")]

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server.
pub struct Server {
    pub port: u16,
    folder: TempDir,
    /// What goes before all else.
    first: Vec<String>,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts one. Without `redis-server` there is none, and the test has nothing to do; where `CI` is set, that is a failure.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with further arguments.
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let mut server = Self::new(arguments)?;
        server.restart();
        Some(server)
    }

    fn new(arguments: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            assert!(std::env::var_os("CI").is_none(), "redis-server is needed: apt-get install redis-server");
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            // Past the capture of tests' output, because nothing else would tell.
            let line = format!("NOT RUN: {name}: there is no redis-server (Debian: apt-get install redis-server)\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        Some(Self { port, folder: tempfile::tempdir().unwrap(), first: Vec::new(), arguments, child: None })
    }

    /// A Sentinel that watches the server at this port under the name `main`.
    pub fn sentinel(port: u16) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sentinel.conf");
        std::fs::write(&path, format!("sentinel monitor main 127.0.0.1 {port} 1\n")).unwrap();
        let file = path.to_str().unwrap().to_owned();
        let mut server = Self::new(&[])?;
        (server.first, server.folder) = (vec![file, "--sentinel".to_owned()], folder);
        server.restart();
        Some(server)
    }

    /// Starts it again on its port, as it was begun.
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command.args(&self.first).args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        if self.first.is_empty() {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        command.args(["--dir", self.folder.path().to_str().unwrap(), "--loglevel", "warning"]).args(&self.arguments);
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "redis-server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
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
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            let _ = write!(command, "${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(command.as_bytes()).unwrap();
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        // Until it says no more.
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
