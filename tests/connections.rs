//! Connections over a real socket: what is kept, what is refused, and what a failure says.

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use support::{Gate, Reply, Server};
use thryd::connections::{Client, HeaderText, HttpRequest};
use thryd::error::{Failure, FailureClass, Phase};

const SECRET: &str = "sk-never-to-be-seen";

fn client() -> Client {
    Client::shared(Duration::from_secs(10))
}

fn request(url: impl Into<String>) -> HttpRequest {
    HttpRequest {
        url: url.into(),
        headers: Arc::new(vec![(
            "authorization".into(),
            HeaderText::Secret(SecretString::from(format!("Bearer {SECRET}"))),
        )]),
        body: Bytes::from_static(b"{}"),
        allow_insecure: false,
        max_response_bytes: 1 << 16,
    }
}

async fn refused(request: HttpRequest) -> Failure {
    let failure = client().send(request).await.expect_err("it is refused");
    assert!(!format!("{failure:?}").contains(SECRET), "{failure:?}");
    failure
}

/// Asks the server for `/` and reads all of the answer.
async fn whole(server: &Server) -> Result<Bytes, Failure> {
    client().send(request(server.url("/"))).await?.whole().await
}

#[tokio::test]
async fn what_is_sent_is_the_request_and_the_key() {
    let server = Server::start(|_| Reply::json(200, "[1]").header("x-request-id", "r1")).await;
    let mut request = request(server.url("/v1/x?a=b"));
    Arc::make_mut(&mut request.headers).push(("x-extra".into(), HeaderText::Plain("yes".into())));
    let response = client().send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-request-id"], "r1");
    assert_eq!(response.whole().await.unwrap(), "[1]");
    let [got] = &server.requests()[..] else { panic!("one request") };
    assert_eq!((got.method.as_str(), got.path.as_str(), got.text()), ("POST", "/v1/x?a=b", "{}"));
    assert_eq!(got.header("authorization"), Some("Bearer sk-never-to-be-seen"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("accept-encoding"), Some("gzip"));
    assert_eq!(got.header("x-extra"), Some("yes"));
    assert_eq!(got.header("user-agent"), Some(concat!("thryd/", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn one_connection_carries_request_after_request_whoever_asks() {
    let server = Server::start(|_| Reply::json(200, "[]")).await;
    for _ in 0..10 {
        whole(&server).await.unwrap();
    }
    assert_eq!((server.requests().len(), server.connections()), (10, 1));
}

#[test]
fn a_connection_is_never_lent_to_another_runtime_which_would_not_drive_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let servers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = servers.block_on(Server::start(|_| Reply::json(200, "[]")));
    // One client, made where there is no runtime.
    let client = client();
    let ask = async || client.send(request(server.url("/"))).await.unwrap().whole().await.unwrap();
    let idle = runtime();
    idle.block_on(async { (ask().await, ask().await) });
    assert_eq!(server.connections(), 1);
    runtime().block_on(ask());
    assert_eq!(server.connections(), 2);
    drop(idle);
    runtime().block_on(ask());
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_a_key() {
    let other = Server::start(|_| Reply::json(200, "[]")).await;
    let location = other.url("/v1/chat?token=hidden");
    let server = Server::start(move |_| Reply::new(307).header("location", location.as_str())).await;
    let failure = refused(request(server.url("/v1/chat"))).await;
    assert_eq!((failure.class, failure.status), (FailureClass::Auth, Some(307)));
    let origin = format!("set baseUrl to its address at {}", other.url(""));
    assert!(failure.message.contains(&origin), "{}", failure.message);
    assert!(!failure.message.contains("hidden"), "{}", failure.message);
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_redirect_to_a_path_names_the_same_origin() {
    let server = Server::start(|_| Reply::new(302).header("location", "/login")).await;
    assert!(refused(request(server.url("/"))).await.message.contains(&server.url("")));
    assert_eq!(server.requests().len(), 1);
    let server = Server::start(|_| Reply::new(304)).await;
    assert!(refused(request(server.url("/"))).await.message.contains("check baseUrl"));
}

#[tokio::test]
async fn a_key_never_goes_over_plain_http_to_another_machine() {
    // 192.0.2.1 is an address that nobody has: were a socket opened, this would end in a timeout, not at once.
    let mut by_query = request("http://192.0.2.1/v1?key=sk-never-to-be-seen");
    Arc::make_mut(&mut by_query.headers).clear();
    let mut by_user = request("http://user:sk-never-to-be-seen@192.0.2.1/v1");
    Arc::make_mut(&mut by_user.headers).clear();
    for request in [request("http://192.0.2.1/v1"), request("http://example.invalid/v1"), by_query, by_user] {
        let failure = refused(request).await;
        assert_eq!((failure.class, failure.is_sent), (FailureClass::Auth, false));
        assert!(failure.message.contains("allowInsecureHttp"), "{}", failure.message);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_says_so_without_the_key() {
    for url in ["", "localhost:11434/v1", "ftp://127.0.0.1/", "http://", "http://[::1/sk-never-to-be-seen"] {
        let failure = refused(request(url)).await;
        assert_eq!((failure.class, failure.is_sent), (FailureClass::Auth, false), "{url}");
        assert!(failure.message.contains("baseUrl"), "{}", failure.message);
    }
    let mut newline = request("http://127.0.0.1:1/");
    Arc::make_mut(&mut newline.headers)[0].1 = HeaderText::Secret(SecretString::from(format!("{SECRET}\n")));
    assert!(refused(newline).await.message.contains("\"authorization\""));
    let mut name = request("http://127.0.0.1:1/");
    Arc::make_mut(&mut name.headers)[0].0 = "a b".into();
    assert!(refused(name).await.message.contains("\"a b\""));
}

#[tokio::test]
async fn a_refused_port_is_transient_and_costs_nothing() {
    let (_held, address) = support::refusing();
    let failure = refused(request(format!("http://{address}/v1?a=secret"))).await;
    assert_eq!((failure.class, failure.is_sent), (FailureClass::Transient, false));
    assert_eq!(failure.message, format!("connection refused by http://{address}"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_made_in_time_names_its_clock() {
    // Nobody accepts, and nobody greets: TLS waits for an answer that does not come.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let limit = Duration::from_secs(7);
    let url = format!("https://{}/", deaf.local_addr().unwrap());
    let failure = Client::shared(limit).send(request(url)).await.unwrap_err();
    assert_eq!(failure.timeout, Some((Phase::Connect, limit)));
    assert_eq!((failure.class, failure.is_sent), (FailureClass::Silent, false));
}

#[tokio::test]
async fn a_connection_lost_before_the_headers_may_have_cost_something() {
    for reply in [Reply::raw(""), Reply::raw("HTTP/1.1 200 OK\r\ncontent-le")] {
        let server = Server::start(move |_| reply.clone()).await;
        let failure = refused(request(server.url("/v1?a=secret"))).await;
        assert_eq!((failure.class, failure.is_sent), (FailureClass::Transient, true));
        assert!(failure.message.starts_with(&format!("no answer from {}: ", server.url(""))), "{}", failure.message);
        assert!(!failure.message.contains("secret"), "{}", failure.message);
    }
}

#[tokio::test]
async fn an_answer_with_a_million_headers_is_not_read() {
    let head = format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(1_000_000));
    let server = Server::start(move |_| Reply::raw(head.clone())).await;
    assert_eq!(refused(request(server.url("/"))).await.class, FailureClass::Transient);
}

#[tokio::test]
async fn a_body_that_is_cut_is_not_an_answer() {
    let replies =
        [Reply::new(200).header("content-length", "10").then("12345").cut(), Reply::new(200).then("12345").cut()];
    for reply in replies {
        let server = Server::start(move |_| reply.clone()).await;
        let failure = whole(&server).await.unwrap_err();
        assert_eq!((failure.class, failure.status, failure.is_sent), (FailureClass::Truncated, Some(200), true));
        assert!(failure.message.contains("cut"), "{}", failure.message);
    }
}

#[tokio::test]
async fn an_announced_length_beyond_the_bound_is_refused_before_it_is_read() {
    let server = Server::start(|_| Reply::new(200).header("content-length", "65537").hang()).await;
    let failure = whole(&server).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Truncated);
    assert!(failure.message.contains("65537"), "{}", failure.message);
    server.until_closed().await;
}

#[tokio::test]
async fn a_body_may_be_as_long_as_the_bound_and_no_longer() {
    let most = vec![b'a'; 1 << 16];
    let exact = most.clone();
    let server = Server::start(move |_| Reply::stream().then(exact.clone())).await;
    assert_eq!(whole(&server).await.unwrap(), most);
    let server = Server::start(move |_| Reply::stream().then(most.clone()).then("a").hang()).await;
    let failure = whole(&server).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Truncated);
    assert!(failure.message.contains("65536"), "{}", failure.message);
    server.until_closed().await;
}

/// A mebibyte of zeros, compressed with gzip.
fn bomb() -> Vec<u8> {
    let start = *b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x08\x5f\xa0";
    let end = *b"\x3e\x03\x1c\xea\x38\xa7\0\0\x10\0";
    [&start[..], &[0; 1016], &end].concat()
}

#[tokio::test]
async fn a_gzip_bomb_stops_at_the_bound() {
    let server = Server::start(|_| Reply::text(200, "text/plain", bomb()).header("content-encoding", "gzip")).await;
    let failure = whole(&server).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Truncated);
    assert!(failure.message.contains("longer than 65536"), "{}", failure.message);

    let mut request = request(server.url("/"));
    request.max_response_bytes = 1 << 20;
    let body = client().send(request).await.unwrap().whole().await.unwrap();
    assert_eq!(body, vec![0; 1 << 20], "the bomb is sound, so the bound is what stopped it");
}

#[tokio::test]
async fn gzip_is_read_and_a_damaged_one_is_not_an_answer() {
    let hello = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x22\x01\xed\xb5\x31\x04\x12\0\0\0";
    let server = Server::start(|_| Reply::text(200, "text/plain", *hello).header("content-encoding", "gzip")).await;
    assert_eq!(whole(&server).await.unwrap(), "hello hello hello ");
    let server = Server::start(|_| Reply::text(200, "text/plain", "hello").header("content-encoding", "gzip")).await;
    assert_eq!(whole(&server).await.unwrap_err().class, FailureClass::Truncated);
}

#[tokio::test]
async fn chunks_come_when_they_are_sent_and_not_when_all_are_there() {
    let gate = Gate::closed();
    let held = gate.clone();
    let server = Server::start(move |_| Reply::stream().event("1").wait(&held).event("2").done()).await;
    let mut response = client().send(request(server.url("/"))).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    gate.open();
    let mut rest = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }
    assert_eq!(rest, b"data: 2\n\ndata: [DONE]\n\n");
}

#[tokio::test]
async fn a_caller_that_leaves_closes_the_socket_before_and_after_the_headers() {
    let server = Server::start(|_| Reply::silence()).await;
    tokio::select! {
        answer = whole(&server) => panic!("{answer:?}"),
        () = server.until_received(1) => {}
    }
    server.until_closed().await;

    let server = Server::start(|_| Reply::stream().event("1").hang()).await;
    let mut response = client().send(request(server.url("/"))).await.unwrap();
    response.chunk().await.unwrap();
    drop(response);
    server.until_closed().await;
}

/// How long the words of a refusal are waited for.
const LIMIT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_words_of_a_refusal_are_bounded_and_never_fail() {
    let long = "\u{e9}".repeat(1 << 16);
    let replies = [
        (Reply::json(400, "{\"error\":\"no\"}"), "{\"error\":\"no\"}".to_owned()),
        (Reply::new(503), String::new()),
        (Reply::new(503).then("half").cut(), "half".to_owned()),
        (Reply::text(502, "text/html", long), "\u{e9}".repeat(1 << 15)),
        (Reply::text(502, "text/html", [b"a".to_vec(), "\u{e9}".repeat(1 << 16).into()].concat()), {
            format!("a{}", "\u{e9}".repeat((1 << 15) - 1))
        }),
        (Reply::text(502, "text/html", vec![0xff; 1 << 17]), String::new()),
        (Reply::text(502, "text/html", *b"\xff."), "\u{fffd}.".to_owned()),
    ];
    for (reply, expected) in replies {
        let server = Server::start(move |_| reply.clone()).await;
        let response = client().send(request(server.url("/"))).await.unwrap();
        assert_eq!(response.error_body(LIMIT).await, (expected, true));
    }
}

#[tokio::test]
async fn the_words_of_a_refusal_are_not_waited_for_for_ever() {
    let server = Server::start(|_| Reply::raw("HTTP/1.1 503 No\r\ncontent-length: 9\r\n\r\nhalf").hang()).await;
    let response = client().send(request(server.url("/"))).await.unwrap();
    // From here on nothing is under way, so the clock may jump.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    assert_eq!(response.error_body(LIMIT).await, ("half".to_owned(), false));
    assert!(
        begun.elapsed() >= LIMIT && begun.elapsed() <= LIMIT + Duration::from_millis(1),
        "the clock ticks in milliseconds"
    );
    server.until_closed().await;
}

#[test]
fn the_key_is_in_no_debug() {
    let text = format!("{:?} {:?}", client(), request("http://127.0.0.1/"));
    assert!(!text.contains(SECRET), "{text}");
}

/// The timer of the one socket that is connected to this port: which one is running (2 is keep-alive), and for how long still.
#[cfg(target_os = "linux")]
fn timer_of_the_socket_to(port: u16) -> Option<(u8, Duration)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Who reads the table while other connections come and go is shown some rows twice: they are told apart by their own port.
    let ours: std::collections::BTreeMap<_, _> = sockets
        .filter(|fields| fields[2] == format!("0100007F:{port:04X}") && fields[3] == "01")
        .map(|fields| (fields[1].to_owned(), fields[5].to_owned()))
        .collect();
    assert!(ours.len() <= 1, "one connection: {ours:?}");
    let (timer, when) = ours.values().next()?.split_once(':').unwrap();
    // In hundredths of a second, whatever the kernel counts in.
    let when = Duration::from_millis(10 * u64::from_str_radix(when, 16).unwrap());
    Some((u8::from_str_radix(timer, 16).unwrap(), when))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_route_that_died_is_noticed_while_the_other_side_thinks() {
    let server = Server::start(|_| Reply::stream().event("1").hang()).await;
    let mut response = client().send(request(server.url("/"))).await.unwrap();
    response.chunk().await.unwrap();
    // The other timers, of what was just sent, end within a moment.
    let keep_alive = async {
        loop {
            match timer_of_the_socket_to(server.port()) {
                Some((2, left)) => break left,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let left =
        tokio::time::timeout(Duration::from_secs(30), keep_alive).await.expect("it is asked whether it is there");
    assert!(left > Duration::from_secs(5) && left <= Duration::from_secs(15), "{left:?}");
}
