use tokio::time::timeout;

use super::*;

#[allow(clippy::duplicate_mod, reason = "tests of other folders use it too")]
#[path = "../../../tests/redis/server.rs"]
mod server;

use server::Server;

const LONG: Duration = Duration::from_secs(10);

fn watches(server: &Server, url: &str) -> Watches {
    let mut options = RedisOptions::at("url", &url.replace("{}", &server.port.to_string())).unwrap();
    options.timeout = LONG;
    Watches::new(options)
}

fn at(server: &Server) -> Watches {
    watches(server, "redis://127.0.0.1:{}")
}

/// Whether it is heard of within so many milliseconds.
async fn hears(watch: &mut Watch, milliseconds: u64) -> bool {
    timeout(Duration::from_millis(milliseconds), watch.changed()).await.is_ok()
}

#[tokio::test]
async fn whatever_ends_or_changes_a_key_is_heard_by_all_who_watch_it_and_by_nobody_else() {
    let Some(server) = Server::start() else { return };
    let watches = at(&server);
    let endings: [&[&str]; 5] = [
        &["DEL", "key"],
        &["SET", "key", "other"],
        &["PEXPIRE", "key", "30"],
        &["FLUSHALL"],
        &["EVAL", "redis.call('DEL', KEYS[1])", "1", "key"],
    ];
    for ending in endings {
        server.ask(&["SET", "key", "value"]);
        server.ask(&["SET", "another", "value"]);
        let (mut one, mut two) = (watches.watch("key").await.unwrap(), watches.watch("key").await.unwrap());
        let mut other = watches.watch("another").await.unwrap();
        assert_eq!((one.value(), two.value()), (Some(&b"value"[..]), Some(&b"value"[..])));
        assert!(!hears(&mut one, 20).await, "nothing has happened");
        server.ask(ending);
        assert!(hears(&mut one, 10_000).await && hears(&mut two, 10_000).await, "{ending:?}");
        assert_eq!(hears(&mut other, 20).await, ending == ["FLUSHALL"], "{ending:?}");
        drop((one, two, other));
        let (_, known) = watches.open().unwrap();
        assert_eq!(known.lock().len(), 0, "{ending:?}: nobody watches anything");
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_is_watched_too() {
    let Some(server) = Server::start() else { return };
    let mut watch = at(&server).watch("key").await.unwrap();
    assert_eq!(watch.value(), None);
    server.ask(&["SET", "key", "value"]);
    assert!(hears(&mut watch, 10_000).await);
}

#[tokio::test]
async fn whoever_watches_is_told_when_nobody_tells_any_more_and_can_watch_again() {
    let Some(server) = Server::start() else { return };
    let watches = at(&server);
    server.ask(&["SET", "key", "value"]);
    let mut watch = watches.watch("key").await.unwrap();
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(hears(&mut watch, 10_000).await);
    let begun = std::time::Instant::now();
    let mut again = loop {
        match watches.watch("key").await {
            Ok(watch) => break watch,
            Err(fault) => assert!(begun.elapsed() < LONG, "{fault}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    server.ask(&["DEL", "key"]);
    assert!(hears(&mut again, 10_000).await);
}

#[tokio::test]
async fn who_wants_a_password_is_told_it_and_one_that_is_wrong_is_shown_nowhere() {
    let Some(server) = Server::start_with(&["--requirepass", "a secret"]) else { return };
    let watch = watches(&server, "redis://:a%20secret@127.0.0.1:{}").watch("key").await.unwrap();
    assert_eq!(watch.value(), None);
    for url in ["redis://:not%20it@127.0.0.1:{}", "redis://someone:not%20it@127.0.0.1:{}"] {
        let fault = watches(&server, url).watch("key").await.map(drop).unwrap_err();
        assert!(fault.is_refusal() && !fault.message.contains("not it"), "{fault}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_tell_is_not_asked_again_for_a_minute() {
    for words in [["--rename-command", "HELLO", ""], ["--rename-command", "CLIENT", ""]] {
        let Some(server) = Server::start_with(&words) else { return };
        let watches = at(&server);
        let fault = watches.watch("key").await.map(drop).unwrap_err();
        assert!(fault.is_refusal(), "{fault}");
        let connections = |server: &Server| {
            let said = server.ask(&["INFO", "stats"]);
            let line = said.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        let before = connections(&server);
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(watches.watch("key").await.is_err());
        }
        // This one's own.
        assert_eq!(connections(&server), before + 1, "{words:?}");
    }
}

#[tokio::test]
async fn a_connection_over_which_nothing_was_watched_for_a_minute_is_closed() {
    let Some(server) = Server::start() else { return };
    let watches = at(&server);
    drop(watches.watch("key").await.unwrap());
    let is_open = || server.ask(&["CLIENT", "LIST"]).contains("flags=t");
    assert!(is_open());
    watches.rest();
    assert!(is_open());
    watches.lock().used = Some(Instant::now().checked_sub(IDLE + Duration::from_secs(1)).unwrap());
    watches.rest();
    let begun = std::time::Instant::now();
    while is_open() {
        assert!(begun.elapsed() < LONG, "it is closed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
