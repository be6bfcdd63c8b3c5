//! Answers that never end, or that are more than they seem: each is refused within the bound on its size and within little
//! memory, and another deployment answers.
//!
//! What a process took at most can only be measured of a whole process, so each attack has a child of its own.
#![cfg(target_os = "linux")]

mod dummies;
#[path = "attacks/responses.rs"]
mod responses;
mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dummies::{request, router_of};
use serde_json::{Value, json};
use support::{Reply, Server};
use thryd::error::Outcome::{self, Silent, Transient, Truncated};
use thryd::kinds::{Completion, ModelResponse, ResponsesRequest, Streaming};
use thryd::options::{InvokeOptions, OnInterrupt, StreamOptions};
use thryd::route::{Answer, Batch, Router};

/// Most memory that an attack may cost.
const MOST_BYTES: u64 = 100 << 20;
/// What a piece is repeated up to.
const GIBIBYTE: usize = 1 << 30;

const OK: &str = "HTTP/1.1 200 OK\r\n";
const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const SSE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
const FAILED: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\n";

/// What the server says: a beginning, then a piece again and again, up to a gibibyte.
struct Attack {
    name: &'static str,
    start: Vec<u8>,
    piece: Vec<u8>,
    /// How many bytes of pieces, and what follows them.
    most: usize,
    end: &'static str,
    pause: Duration,
    /// The clock of the attempt: short where no bound is there to be reached.
    attempt: Duration,
    outcome: Outcome,
    /// What the first attempt's message must say.
    says: &'static str,
    /// Whether it is one of the Responses API, not of chat.
    is_response: bool,
}

fn attack(name: &'static str, start: impl Into<Vec<u8>>, piece: impl Into<Vec<u8>>, outcome: Outcome) -> Attack {
    let (start, piece) = (start.into(), piece.into());
    let attempt = Duration::from_secs(120);
    Attack {
        name,
        start,
        piece,
        most: GIBIBYTE,
        end: "",
        pause: Duration::ZERO,
        attempt,
        outcome,
        says: "",
        is_response: false,
    }
}

impl Attack {
    fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    fn ends(self, most: usize, end: &'static str) -> Self {
        Self { most, end, ..self }
    }

    fn becomes(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    fn until(self, seconds: u64) -> Self {
        Self { attempt: Duration::from_secs(seconds), ..self }
    }

    fn every(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }
}

/// The beginning of a gzip body of zeros: every byte of zero that follows is two thousand zeros more.
const BOMB: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x08\x5f\xa0";

fn event(content: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n")
}

fn nested(open: &str, levels: usize, close: &str) -> String {
    format!("{}1{}", open.repeat(levels), close.repeat(levels))
}

/// Numbered things that no two events have in common.
fn numbered(event: impl Fn(usize) -> String) -> String {
    (0..20_000).map(event).collect()
}

fn attacks() -> Vec<Attack> {
    let gzip = |head: &str| [format!("{head}content-encoding: gzip\r\n\r\n").as_bytes(), BOMB].concat();
    let zeros = [0; 1 << 12];
    let chunked = |head: &str| format!("{head}transfer-encoding: chunked\r\n\r\n");
    let (deep_list, deep_object) = (nested("[", 100_000, "]"), nested("{\"a\":", 100_000, "}"));
    let letters = "a".repeat(1 << 16);
    let reasons = format!("data: {{\"choices\":[{{\"delta\":{{\"x\":\"{}\"}}}}]}}\n\n", &letters[..1_000]);
    let padded = format!("data: {{\"choices\":[],\"obfuscation\":\"{}\"}}\n\n", &letters[..1_000]);
    // Less than an event may be, and each level of it once more.
    let levels = format!("{SSE}\r\ndata: {{\"choices\":[{{\"delta\":{{\"x\":{{\"a\":{{\"a\":{{\"a\":{{\"a\":\"");
    let too_long = "longer than 67108864 bytes";
    vec![
        // The head.
        attack("one header without end", format!("{OK}a: "), letters.clone(), Transient).says("no answer from"),
        attack("headers without end", OK, "a: b\r\n".repeat(10_000), Transient).says("no answer from"),
        attack("early hints without end", "", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000), Silent).until(3),
        attack("a head that drips", OK, "a", Silent).every(Duration::from_millis(50)).until(2),
        // How the body is framed.
        attack("a chunk extension without end", format!("{}1;", chunked(JSON)), letters.clone(), Truncated),
        attack(
            "trailers without end",
            format!("{}1\r\n{{\r\n0\r\n", chunked(JSON)),
            "a: b\r\n".repeat(10_000),
            Truncated,
        ),
        attack(
            "a length of a gibibyte",
            format!("{JSON}content-length: 1073741824\r\n\r\n"),
            letters.clone(),
            Truncated,
        )
        .says("1073741824 bytes long"),
        // Whole answers.
        attack("an answer without end", format!("{JSON}\r\n{{\"choices\":\""), letters.clone(), Truncated)
            .says(too_long),
        attack("white space without end", format!("{JSON}\r\n"), " \n".repeat(1 << 15), Truncated).says(too_long),
        attack("a list without end", format!("{JSON}\r\n"), "[".repeat(1 << 16), Truncated).says(too_long),
        attack("a gzip bomb", gzip(JSON), zeros, Truncated).says(too_long),
        attack("deep JSON", format!("{JSON}\r\n{{\"choices\":{deep_list}}}"), "", Truncated),
        attack(
            "a page",
            format!("{OK}content-type: text/html\r\n\r\n<html><title>Sign in</title>"),
            letters.clone(),
            Truncated,
        ),
        attack("nothing", format!("{OK}content-length: 0\r\n\r\n"), "", Truncated).says("empty"),
        // Streams.
        attack("an event without end", format!("{SSE}\r\ndata: "), letters.clone(), Truncated)
            .says("larger than 16 MiB"),
        attack(
            "an event of lines without end",
            format!("{SSE}\r\n"),
            format!("data: {}\n", &letters[..100]).repeat(100),
            Truncated,
        )
        .says("larger than 16 MiB"),
        attack(
            "comments without end",
            format!("{SSE}\r\n"),
            format!(": {}\n\n", &letters[..100]).repeat(100),
            Truncated,
        )
        .says(too_long),
        attack("events without end", format!("{SSE}\r\n"), event(&letters[..1_000]), Truncated)
            .says("larger than 16 MiB"),
        attack("events that say nothing", format!("{SSE}\r\n"), padded, Truncated).says(too_long),
        attack("reasons without end", format!("{SSE}\r\n"), reasons, Truncated).says("larger than 16 MiB"),
        attack("a gzip bomb of a stream", gzip(SSE), zeros, Truncated).says("larger than 16 MiB"),
        attack(
            "deep JSON in an event",
            format!("{SSE}\r\ndata: {{\"choices\":[{{\"x\":{deep_object},\"delta\":{deep_list}}}]}}\n\n"),
            "",
            Truncated,
        ),
        attack(
            "a failure of an event that is large",
            format!("{SSE}\r\ndata: {{\"error\":{{\"details\":[0"),
            ",0".repeat(1 << 15),
            Transient,
        )
        .ends(15 << 20, "]}}\n\n"),
        attack("an event that is large on every level", levels, letters.clone(), Truncated)
            .ends(15 << 20, "\"}}}}}}]}\n\n")
            .says("larger than 16 MiB"),
        attack(
            "deep JSON in a failure of an event",
            format!("{SSE}\r\ndata: {{\"error\":{deep_object}}}\n\n"),
            "",
            Transient,
        ),
        attack(
            "choices without end",
            format!("{SSE}\r\n{}", numbered(|index| format!("data: {{\"choices\":[{{\"index\":{index}}}]}}\n\n"))),
            "",
            Truncated,
        )
        .says("too many choices"),
        attack(
            "fields without end",
            format!("{SSE}\r\n{}", numbered(|index| format!("data: {{\"choices\":[],\"{index}\":1}}\n\n"))),
            "",
            Truncated,
        )
        .says("too many choices or fields"),
        // Failures.
        attack("a failure without end", format!("{FAILED}\r\n"), letters, Transient),
        attack("a gzip bomb of a failure", gzip(FAILED), zeros, Transient),
        attack("deep JSON in a failure", format!("{FAILED}\r\n{{\"error\":{deep_object}}}"), "", Transient),
    ]
}

/// Serves an attack to whoever comes.
fn serve(attack: Attack) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let say = |socket: &mut TcpStream| -> io::Result<()> {
            let _request = socket.read(&mut [0; 4096])?;
            socket.write_all(&attack.start)?;
            let times = attack.most.checked_div(attack.piece.len()).unwrap_or(0);
            for _ in 0..times {
                socket.write_all(&attack.piece)?;
                thread::sleep(attack.pause);
            }
            socket.write_all(attack.end.as_bytes())
        };
        for socket in listener.incoming() {
            // Whoever is attacked hangs up.
            let _ = say(&mut socket.unwrap());
        }
    });
    port
}

/// A number of bytes that the kernel keeps of this process.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

fn provider(name: &str, url: &str) -> Value {
    json!({ "type": "openai-compatible", "name": name, "baseUrl": url })
}

/// Asks for an answer, at once or piece by piece.
async fn ask<K: Streaming>(
    router: &Router<K>,
    group: &str,
    request: &K::Request,
    is_stream: bool,
) -> thryd::Result<Answer<K>> {
    if !is_stream {
        return router.invoke(group, request.clone(), InvokeOptions::default()).await;
    }
    let options = StreamOptions { on_interrupt: OnInterrupt::Restart, ..StreamOptions::default() };
    let stream = router.stream(group, request, options).unwrap();
    loop {
        match stream.next().await.unwrap()? {
            Batch::Chunks(_) => {}
            Batch::End(answer) => return Ok(*answer),
        }
    }
}

const NAME: &str = "THRYD_TEST_ATTACK";

#[tokio::test]
#[ignore = "a child: its test starts it with the attack's name"]
async fn child_that_is_attacked() {
    let name = std::env::var(NAME).unwrap();
    let attack = all().find(|attack| attack.name == name).unwrap();
    if attack.is_response {
        let good =
            r#"{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"good"}]}]}"#;
        survive::<ModelResponse>(attack, good, &ResponsesRequest::input("hi")).await;
    } else {
        let good = r#"{"choices":[{"message":{"role":"assistant","content":"good"},"finish_reason":"stop"}]}"#;
        survive::<Completion>(attack, good, &request("hi")).await;
    }
}

fn all() -> impl Iterator<Item = Attack> {
    attacks().into_iter().chain(responses::attacks())
}

async fn survive<K: Streaming>(attack: Attack, good: &'static str, request: &K::Request) {
    let good = Server::start(move |_| Reply::json(200, good)).await;
    let (name, outcome, says, attempt) = (attack.name, attack.outcome, attack.says, attack.attempt);
    let bad = format!("http://127.0.0.1:{}/v1", serve(attack));
    let router = router_of::<K>(json!({
        "providers": [provider("bad", &bad), provider("good", &good.url("/v1"))],
        "groups": {
            "warm": { "deployments": ["good::m"] },
            "default": { "strategy": "first-available", "deployments": ["bad::m", "good::m"] },
        },
        "timeouts": { "attemptMs": u64::try_from(attempt.as_millis()).unwrap() },
        "retry": { "baseDelayMs": 0 },
    }));
    for is_stream in [false, true] {
        ask(&router, "warm", request, is_stream).await.unwrap();
    }
    let (before, begun) = (memory("VmRSS"), Instant::now());
    for is_stream in [false, true] {
        let answer = ask(&router, "default", request, is_stream).await.unwrap();
        assert_eq!((answer.text().as_ref(), answer.deployment.as_str()), ("good", "good::m"));
        // Once it has failed three times in a row it rests.
        let Some(first) = answer.attempts.iter().find(|attempt| attempt.deployment == "bad::m") else { continue };
        let message = first.message.as_deref().unwrap_or_default();
        assert_eq!(first.outcome, outcome, "{message}");
        assert!(message.contains(says) && message.len() <= 600, "{message}");
    }
    let taken = memory("VmHWM") - before;
    println!("\n{name}: {} KiB above {} KiB, {:?}", taken >> 10, before >> 10, begun.elapsed());
    assert!(taken <= MOST_BYTES, "{taken} bytes");
}

#[test]
fn what_never_ends_is_refused_within_little_memory_and_another_answers() {
    for Attack { name, .. } in all() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_is_attacked", "--nocapture", "--test-threads=1"])
            .env(NAME, name)
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
        assert!(child.status.success() && out.contains("1 passed"), "{name}: {out}{err}");
        println!("{}", out.lines().find(|line| line.starts_with(name)).unwrap_or_default());
    }
}
