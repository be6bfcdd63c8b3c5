use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use futures_util::FutureExt;

use super::super::fake::{Fake, settings};
use super::super::fault::FaultKind;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PONG: &str = "+PONG\r\n";

async fn fake() -> (Fake, Node) {
    let fake = Fake::start(|_, _| PONG.to_owned()).await;
    let node = Node::at(fake.endpoint(), settings());
    (fake, node)
}

async fn ping(node: &Node) -> Result<Value, Fault> {
    node.run(&redis::cmd("PING"), false, Instant::now() + CONNECT_WITHIN).await
}

/// What is bound to happen, on a machine that has other things to do.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(20 * SECOND, work).await.expect("within 20 s")
}

/// One whose connection was closed before anybody could take it for idle, and why, as soon as that was known. `ask` asks first.
async fn hung_up_on(ask: impl AsyncFn(&Node)) -> (Fake, Node, Fault) {
    for _ in 0..20 {
        let (fake, node) = fake().await;
        let begun = Instant::now();
        ask(&node).await;
        let lost = node.lost();
        fake.hang_up();
        let fault = soon(lost).await;
        // Otherwise this thread was held up for longer.
        if begun.elapsed() < IDLE_AFTER {
            return (fake, node, fault);
        }
    }
    panic!("twenty connections were there for {IDLE_AFTER:?}");
}

#[tokio::test]
async fn a_connection_that_ends_is_noticed_while_nobody_asks_anything() {
    let (fake, node, fault) = hung_up_on(async |node| {
        assert!(node.lost().now_or_never().is_none(), "nobody has needed it");
        ping(node).await.unwrap();
        assert!(node.lost().now_or_never().is_none(), "it is there");
    })
    .await;
    assert_eq!(fault.kind, FaultKind::Away);
    assert_eq!(fault.message, format!("127.0.0.1:{}: the connection was closed", fake.port));
    assert_eq!(node.fault(), Some(fault));
    // Until it is back.
    until_up(&node).await;
    assert!(node.lost().now_or_never().is_none());
    assert_eq!(fake.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_that_ended_and_another_that_came_before_anybody_looked_is_noticed_too() {
    let (fake, node) = fake().await;
    ping(&node).await.unwrap();
    let lost = node.lost();
    tokio::pin!(lost);
    assert!(lost.as_mut().now_or_never().is_none());
    fake.hang_up();
    soon(node.lost()).await;
    until_up(&node).await;
    assert_eq!(soon(lost).await.kind, FaultKind::Away);
}

/// The clock goes on so far at once.
async fn skip(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_connection_that_is_closed_while_nobody_uses_it_is_no_server_that_is_away() {
    let (fake, node) = fake().await;
    for connections in 1..4 {
        ping(&node).await.unwrap();
        assert_eq!(fake.connections.load(Ordering::SeqCst), connections);
        skip(IDLE_AFTER).await;
        let lost = node.lost();
        fake.hang_up();
        assert!(soon(lost).await.message.ends_with("the connection was closed"));
        assert_eq!(node.fault(), None);
        // Also to those who ask only now.
        assert!(node.lost().now_or_never().is_some());
    }
    let _held = nobody_at(fake).await;
    let fault = ping(&node).await.unwrap_err();
    assert_eq!((fault.kind.clone(), node.fault()), (FaultKind::Away, Some(fault)), "it is not there, as is found out");
}

/// Ends it, and has its port, so that nobody else listens there.
async fn nobody_at(fake: Fake) -> tokio::net::TcpSocket {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], fake.port));
    drop(fake);
    soon(async {
        loop {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            // Whose connections may not be over yet. Elsewhere it would take the port from one who listens.
            socket.set_reuseaddr(cfg!(unix)).unwrap();
            if socket.bind(address).is_ok() {
                return socket;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_hangs_up_on_everyone_is_not_tried_without_a_pause() {
    let (_fake, node, _) = hung_up_on(async |node| drop(ping(node).await.unwrap())).await;
    assert!(node.fault().is_some() && ping(&node).await.is_err());
}

#[tokio::test]
async fn a_connection_that_is_closed_while_a_command_is_under_way_is_a_server_that_is_away() {
    let fake = Fake::start(|_, words| if words[0] == "GET" { String::new() } else { PONG.to_owned() }).await;
    let node = Node::at(fake.endpoint(), settings());
    ping(&node).await.unwrap();
    skip(IDLE_AFTER).await;
    let mut command = redis::cmd("GET");
    command.arg("key");
    let asks = node.run(&command, false, Instant::now() + CONNECT_WITHIN);
    let closes = async {
        tokio::task::yield_now().await;
        fake.hang_up();
    };
    let (answer, ()) = tokio::join!(asks, closes);
    assert_eq!(answer.unwrap_err().kind, FaultKind::Away);
    assert!(node.fault().is_some());
}

#[tokio::test]
async fn a_node_that_nobody_uses_any_more_closes_its_connection() {
    let (_fake, node) = fake().await;
    let end = node.connection().await.unwrap().0.connection.end();
    drop(node);
    soon(end).await;
}

/// What connects once, by this, and then to the fake.
async fn first_by(
    first: impl Fn() -> BoxFuture<'static, Result<Connection, Fault>> + Send + Sync + 'static,
) -> (Fake, Node) {
    let fake = Fake::start(|_, _| PONG.to_owned()).await;
    let (endpoint, is_first) = (fake.endpoint(), AtomicBool::new(true));
    let connect: Connect = Arc::new(move |deadline| {
        let endpoint = endpoint.clone();
        if is_first.swap(false, Ordering::SeqCst) {
            first()
        } else {
            Box::pin(async move { Connection::open(&endpoint, &settings(), deadline).await })
        }
    });
    (fake, Node::new("host:1", connect))
}

async fn until_up(node: &Node) {
    let comes_up = async {
        while ping(node).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(comes_up).await;
}

#[tokio::test]
async fn a_server_that_was_away_long_before_anybody_needed_it_again_is_waited_for_as_at_first() {
    let (_fake, node) = first_by(|| Box::pin(std::future::ready(Err(Fault::away("no"))))).await;
    assert_eq!(ping(&node).await.unwrap_err().message, "no");
    skip(LONGEST_PAUSE).await;
    assert_eq!(ping(&node).await.unwrap_err().message, "no", "nobody waits for one that is away");
    until_up(&node).await;
    let (_fake, node) = first_by(|| Box::pin(std::future::ready(Err(Fault::away("no"))))).await;
    ping(&node).await.unwrap_err();
    skip(STALE_AFTER + LONGEST_PAUSE).await;
    ping(&node).await.unwrap();
}

#[tokio::test]
async fn nobody_waits_for_whoever_panicked_while_connecting() {
    let (_fake, node) = first_by(|| Box::pin(async { panic!("a defect") })).await;
    assert_eq!(ping(&node).await.unwrap_err().message, "host:1: connecting was given up");
    until_up(&node).await;
}

#[tokio::test]
async fn nobody_waits_for_a_runtime_that_ended_while_connecting_or_connected() {
    let (_fake, node) = first_by(|| Box::pin(std::future::pending())).await;
    let node = Arc::new(node);
    let elsewhere = |work: fn(Arc<Node>) -> BoxFuture<'static, ()>| {
        let node = Arc::clone(&node);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work(node));
        })
        .join()
        .unwrap();
    };
    elsewhere(|node| Box::pin(async move { assert!(node.connection().now_or_never().is_none()) }));
    assert_eq!(ping(&node).await.unwrap_err().message, "host:1: connecting was given up");
    let begun = Instant::now();
    while ping(&node).await.is_err() {
        assert!(begun.elapsed() < 20 * SECOND, "{:?}", node.fault());
        elsewhere(|node| Box::pin(async move { drop(ping(&node).await) }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_still_is_waited_for_a_second_once_and_then_by_nobody() {
    let node = Node::new("host:1", Arc::new(|_| Box::pin(std::future::pending())));
    let begun = Instant::now();
    let expected = Fault::slow("host:1", CONNECT_WITHIN);
    assert_eq!(ping(&node).await, Err(expected.clone()));
    assert_eq!(begun.elapsed().as_millis(), 1000);
    for _ in 0..100 {
        assert_eq!(ping(&node).await, Err(expected.clone()));
        tokio::time::advance(Duration::from_millis(33)).await;
    }
    assert!(begun.elapsed() < Duration::from_millis(4500), "{:?}", begun.elapsed());
}

/// One that takes so many milliseconds to answer, of whom nobody waits for longer than 100.
struct Late {
    node: Node,
    takes: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
    /// What is opened while it is carries nothing, ever.
    is_cut: Arc<AtomicBool>,
}

impl Late {
    fn new() -> Self {
        let (takes, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let open = Fake::late(Arc::clone(&takes), Arc::clone(&connections), Duration::from_millis(100));
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        let connect: Connect =
            Arc::new(
                move |deadline| {
                    if cut.load(Ordering::SeqCst) { Box::pin(std::future::pending()) } else { open(deadline) }
                },
            );
        Self { node: Node::new("late:1", connect), takes, connections, is_cut }
    }

    async fn ask(&self) -> Result<Value, Fault> {
        self.node.run(&redis::cmd("DBSIZE"), false, Instant::now() + CONNECT_WITHIN).await
    }

    async fn until_up(&self) {
        let comes_up = async {
            while self.ask().await.is_err() {
                tokio::time::sleep(RARELY).await;
            }
        };
        soon(comes_up).await;
    }

    /// How often somebody connects in this time, if it is asked this often.
    async fn connections_in(&self, time: Duration, apart: Duration) -> usize {
        let (begun, before) = (Instant::now(), self.connections.load(Ordering::SeqCst));
        while begun.elapsed() < time {
            drop(self.ask().await);
            tokio::time::sleep(apart).await;
        }
        self.connections.load(Ordering::SeqCst) - before
    }
}

const OFTEN: Duration = Duration::from_millis(5);
const RARELY: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn a_server_that_is_late_is_connected_to_ever_more_rarely() {
    let late = Late::new();
    late.takes.store(150, Ordering::SeqCst);
    let [first, then] = [late.connections_in(10 * SECOND, OFTEN).await, late.connections_in(60 * SECOND, OFTEN).await];
    assert!(first <= 15 && then <= 60, "{first}, {then}");
    // There may be a new connection, that nobody has found out about yet.
    assert_eq!(late.ask().await.unwrap_err().kind, FaultKind::Slow);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_late_for_long_is_used_within_two_seconds_when_it_is_not_any_more() {
    let late = Late::new();
    for round in 0..50 {
        late.takes.store(150, Ordering::SeqCst);
        late.connections_in(10 * SECOND, OFTEN).await;
        // At any moment of a pause.
        tokio::time::sleep(Duration::from_millis(29) * round).await;
        late.takes.store(0, Ordering::SeqCst);
        let begun = Instant::now();
        late.until_up().await;
        assert!(begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
        // And from then on as one that never was late.
        late.takes.store(150, Ordering::SeqCst);
        assert_eq!(late.connections_in(SECOND / 4, OFTEN).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_behind_a_network_that_was_cut_for_long_is_used_within_two_seconds_when_it_is_not_any_more() {
    let late = Late::new();
    for round in 0..50 {
        late.ask().await.unwrap();
        // What was opened before carries nothing either.
        late.takes.store(3_600_000, Ordering::SeqCst);
        late.is_cut.store(true, Ordering::SeqCst);
        assert_eq!(late.connections_in(10 * SECOND, OFTEN).await, 0);
        // At any moment of a try and of a pause.
        tokio::time::sleep(Duration::from_millis(29) * round).await;
        late.takes.store(0, Ordering::SeqCst);
        late.is_cut.store(false, Ordering::SeqCst);
        let begun = Instant::now();
        late.until_up().await;
        assert!(begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_connection_that_carries_nothing_any_more_is_given_up_for_another() {
    let is_cut = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&is_cut);
    let fake = Fake::start(move |_, _| if cut.load(Ordering::SeqCst) { String::new() } else { PONG.to_owned() }).await;
    let node = Node::at(fake.endpoint(), Settings { timeout: SECOND, ..settings() });
    ping(&node).await.unwrap();
    is_cut.store(true, Ordering::SeqCst);
    assert_eq!(ping(&node).await.unwrap_err().kind, FaultKind::Slow);
    assert_eq!(soon(node.lost()).await.kind, FaultKind::Slow);
    is_cut.store(false, Ordering::SeqCst);
    until_up(&node).await;
    assert_eq!(fake.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_is_too_old_or_loads_its_data_or_has_no_room_is_named_by_that() {
    for (replies, expected) in [
        (["+PONG", "$21\r\nredis_version:4.0.14\n"], "is Redis 4.0.14: 5 or newer is needed, or Valkey"),
        (
            ["-LOADING Redis is loading the dataset in memory", "$0\r\n"],
            "LOADING Redis is loading the dataset in memory",
        ),
        (["-NOAUTH Authentication required.", "-NOAUTH"], "NOAUTH Authentication required."),
    ] {
        let fake = Fake::start(move |_, words| format!("{}\r\n", replies[usize::from(words[0] == "INFO")])).await;
        let fault = ping(&Node::at(fake.endpoint(), settings())).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused);
        assert!(fault.message.ends_with(expected), "{fault}");
    }
    for info in ["-NOPERM no", "$20\r\nredis_version:5.0.1\n", "$20\r\nredis_version:7.2.4\n", "$-1", "$2\r\nhi"] {
        let fake =
            Fake::start(move |_, words| format!("{}\r\n", if words[0] == "INFO" { info } else { "+PONG" })).await;
        ping(&Node::at(fake.endpoint(), settings())).await.unwrap();
    }
}
