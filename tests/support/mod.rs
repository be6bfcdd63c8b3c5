//! A small scriptable server on a real socket, for tests. HTTP/1.1, keep-alive, nothing else.
//!
//! A handler looks at each request and scripts its [`Reply`], step by step: bytes, a pause, a gate that the test opens, a
//! cut, a silence. The server records what it received, and counts connections. Dropping it closes everything.
//!
//! ```ignore
//! let server = Server::start(|_| Reply::json(200, r#"{"choices":[]}"#)).await;
//! let url = server.url("/v1/chat/completions");
//! assert_eq!(server.requests()[0].header("authorization"), Some("Bearer sk-test"));
//! ```
//!
//! Real sockets and tokio's paused clock do not mix: the clock jumps while bytes are under way. Use [`Gate`] to say when.
#![allow(dead_code, reason = "each test binary uses the part of it that it needs")]

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Received {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a JSON body is UTF-8")
    }
}

/// What a test opens when the server may go on. Clones are one gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Opens it for good, for everyone.
    pub fn open(&self) {
        self.0.close();
    }

    /// Done when it is open.
    pub async fn passed(&self) {
        // A closed semaphore is an open gate.
        let _ = self.0.acquire().await;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Pause(Duration),
    Wait(Gate),
    Cut,
    Reset,
    Hang,
}

/// A scripted answer. Chunked as soon as a step is more than the one body.
#[derive(Clone, Debug)]
pub struct Reply {
    head: Option<(u16, Vec<(String, String)>)>,
    steps: Vec<Step>,
}

impl Reply {
    /// An answer without a body.
    pub fn new(status: u16) -> Self {
        Self { head: Some((status, Vec::new())), steps: Vec::new() }
    }

    /// A whole JSON answer.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::new(status).header("content-type", "application/json").then(body.into())
    }

    /// A whole answer of any type.
    pub fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status).header("content-type", content_type).then(body)
    }

    /// The head of an event stream; [`event`](Self::event)s follow.
    pub fn stream() -> Self {
        Self::new(200).header("content-type", "text/event-stream").header("transfer-encoding", "chunked")
    }

    /// Exactly these bytes, head and all; the steps that follow are as raw. The connection ends after it.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { head: None, steps: vec![Step::Bytes(bytes.into())] }
    }

    /// The request is read and nothing ever comes back.
    pub fn silence() -> Self {
        Self { head: None, steps: vec![Step::Hang] }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Some((_, headers)) = &mut self.head {
            headers.push((name.to_owned(), value.into()));
        }
        self
    }

    /// More of the body.
    pub fn then(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Bytes(bytes.into()));
        self
    }

    /// One event.
    pub fn event(self, data: &str) -> Self {
        self.then(format!("data: {data}\n\n"))
    }

    /// The event that ends a stream.
    pub fn done(self) -> Self {
        self.event("[DONE]")
    }

    /// A real pause: for demonstrations; tests use [`wait`](Self::wait).
    pub fn pause(mut self, time: Duration) -> Self {
        self.steps.push(Step::Pause(time));
        self
    }

    /// Waits until the test opens the gate.
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Wait(gate.clone()));
        self
    }

    /// Closes the connection here, in the middle of the body.
    pub fn cut(mut self) -> Self {
        self.steps.push(Step::Cut);
        self
    }

    /// The request is read and the connection is reset.
    pub fn reset() -> Self {
        Self { head: None, steps: vec![Step::Reset] }
    }

    /// Says no more, and keeps the connection until the other side closes it.
    pub fn hang(mut self) -> Self {
        self.steps.push(Step::Hang);
        self
    }

    /// Whether the connection may be used again.
    async fn write(self, socket: &mut TcpStream) -> io::Result<bool> {
        let is_whole = matches!(self.steps[..], [] | [Step::Bytes(_)]);
        let mut is_chunked = false;
        let is_raw = self.head.is_none();
        if let Some((status, mut headers)) = self.head {
            let has = |name: &str| headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
            let is_framed = has("content-length") || has("transfer-encoding");
            is_chunked = has("transfer-encoding") || !(is_whole || is_framed);
            if !is_framed {
                headers.push(match &self.steps[..] {
                    [] => ("content-length".into(), "0".into()),
                    [Step::Bytes(body)] => ("content-length".into(), body.len().to_string()),
                    _ => ("transfer-encoding".into(), "chunked".into()),
                });
            }
            let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = format!("HTTP/1.1 {status} Scripted\r\n{}\r\n", lines.concat());
            socket.write_all(head.as_bytes()).await?;
        }
        for step in self.steps {
            match step {
                // An empty chunk would end the body.
                Step::Bytes(bytes) if bytes.is_empty() => {}
                Step::Bytes(bytes) if is_chunked => {
                    let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
                    socket.write_all(&chunk).await?;
                }
                Step::Bytes(bytes) => socket.write_all(&bytes).await?,
                Step::Pause(time) => tokio::select! {
                    () = tokio::time::sleep(time) => {}
                    () = left(socket) => return Ok(false),
                },
                Step::Wait(gate) => tokio::select! {
                    () = gate.passed() => {}
                    () = left(socket) => return Ok(false),
                },
                Step::Cut => return Ok(false),
                Step::Reset => {
                    socket.set_zero_linger()?;
                    return Ok(false);
                }
                Step::Hang => {
                    left(socket).await;
                    return Ok(false);
                }
            }
        }
        if is_chunked {
            socket.write_all(b"0\r\n\r\n").await?;
        }
        Ok(!is_raw)
    }
}

/// Done when the other side has closed the connection, which it must not write on meanwhile.
async fn left(socket: &mut TcpStream) {
    let _ = socket.read_u8().await;
}

type Handler = dyn Fn(&Received) -> Reply + Send + Sync;

/// The server. Dropping it closes it.
pub struct Server {
    address: SocketAddr,
    requests: watch::Receiver<Vec<Received>>,
    accepted: watch::Receiver<usize>,
    open: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (log, requests) = watch::channel(Vec::new());
        let (accepted_count, accepted) = watch::channel(0);
        let (open_count, open) = watch::channel(0);
        let handler: Arc<Handler> = Arc::new(handler);
        let accepting = tokio::spawn(async move {
            // Ends with this task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let number = *accepted_count.borrow();
                open_count.send_modify(|open| *open += 1);
                accepted_count.send_modify(|accepted| *accepted += 1);
                let (handler, log, open_count) = (Arc::clone(&handler), log.clone(), open_count.clone());
                connections.spawn(async move {
                    let _ = serve(socket, number, &*handler, &log).await;
                    open_count.send_modify(|open| *open -= 1);
                });
            }
        });
        Self { address, requests, accepted, open, accepting }
    }

    /// `http://127.0.0.1:<port>` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What was received so far.
    pub fn requests(&self) -> Vec<Received> {
        self.requests.borrow().clone()
    }

    /// Done when this many requests have been received.
    pub async fn until_received(&self, count: usize) {
        until(&self.requests, &format!("{count} requests"), |requests| requests.len() >= count).await;
    }

    /// Connections that were ever opened.
    pub fn connections(&self) -> usize {
        *self.accepted.borrow()
    }

    /// Done when no connection is open.
    pub async fn until_closed(&self) {
        until(&self.open, "every connection to be closed", |open| *open == 0).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers the requests of one connection until it is closed.
async fn serve(
    mut socket: TcpStream,
    number: usize,
    handler: &Handler,
    log: &watch::Sender<Vec<Received>>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(request) = receive(&mut socket, &mut buffer, number).await? {
        let reply = handler(&request);
        log.send_modify(|log| log.push(request));
        if !reply.write(&mut socket).await? {
            break;
        }
    }
    Ok(())
}

/// The next request; `None` if the connection was closed before one. What comes after it stays in the buffer.
async fn receive(socket: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> io::Result<Option<Received>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut request = Received { method, path, headers: headers.collect(), body: Vec::new(), connection };
    let length: usize = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or_default();
    while buffer.len() < end + length {
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Ok(Some(request))
}

/// Waits for no longer than a minute, by the clock on the wall: tokio's may be paused, and would jump there.
async fn until<T>(watched: &watch::Receiver<T>, what: &str, is_met: impl FnMut(&T) -> bool) {
    let (late, is_late) = oneshot::channel::<()>();
    let (_done, is_done) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if is_done.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = late.send(());
        }
    });
    let mut watched = watched.clone();
    tokio::select! {
        biased;
        outcome = watched.wait_for(is_met) => drop(outcome.expect("the server runs as long as it is held")),
        Ok(()) = is_late => panic!("waited a minute for {what}"),
    }
}

/// An address where nobody listens: who connects is refused, and nobody else gets the port as long as the socket is held.
pub fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    (socket, address)
}

/// Runs an ignored test in a process of its own, with these variables and no proxy but theirs: whether it passed, and
/// its report. It has longer than a name may take to be looked up.
pub fn child(test: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let command = command.args(["--ignored", "--exact", test]).envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (sender, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut report = Vec::new();
        let _ = io::Read::read_to_end(&mut out, &mut report);
        sender.send(report)
    });
    let Ok(report) = read.recv_timeout(Duration::from_secs(180)) else {
        child.kill().unwrap();
        panic!("{test} has not ended within three minutes");
    };
    let report = String::from_utf8_lossy(&report).into_owned();
    (child.wait().unwrap().success() && report.contains("1 passed"), report)
}
