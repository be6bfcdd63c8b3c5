use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;

use super::super::connection::CONNECT_WITHIN;
use super::super::fake::{Fake, HELD_UP, settings, watched};
use super::*;

/// What a Cluster answers whose slots are all at this port.
fn all_at(port: u16) -> String {
    format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
}

async fn run(cluster: &Cluster) -> Result<Value, Fault> {
    let mut command = redis::cmd("GET");
    command.arg("key");
    cluster.run(b"key", &command, Instant::now() + CONNECT_WITHIN).await
}

#[test]
fn keys_go_where_a_cluster_says() {
    // As `CLUSTER KEYSLOT` answers.
    let known = [("123456789", 12739), ("foo", 12182), ("{foo}bar", 12182), ("a{foo}{bar}", 12182), ("{}foo", 9500)];
    for (key, expected) in known {
        assert_eq!(slot(key.as_bytes()), expected, "{key}");
    }
}

#[tokio::test]
async fn the_end_of_a_node_is_the_loss_of_the_keys_that_it_has_now() {
    let second = Fake::start(|port, words| if words[0] == "GET" { "$5\r\nvalue\r\n".to_owned() } else { all_at(port) });
    let second = second.await;
    let (has_moved, to) = (Arc::new(AtomicBool::new(false)), second.port);
    let moved = Arc::clone(&has_moved);
    let first = Fake::start(move |port, words| match words[0].as_str() {
        "GET" if moved.load(Ordering::SeqCst) => format!("-MOVED {} 127.0.0.1:{to}\r\n", slot(b"key")),
        "GET" => "$-1\r\n".to_owned(),
        _ if moved.load(Ordering::SeqCst) => all_at(to),
        _ => all_at(port),
    });
    let first = first.await;
    let cluster = Cluster::new(vec![first.endpoint()], settings());
    let lost = cluster.lost(b"key");
    tokio::pin!(lost);
    assert!(lost.as_mut().now_or_never().is_none(), "nobody has needed it");
    assert_eq!(run(&cluster).await, Ok(Value::Nil));
    assert!(lost.as_mut().now_or_never().is_none());
    has_moved.store(true, Ordering::SeqCst);
    assert_eq!(run(&cluster).await, Ok(Value::BulkString(b"value".to_vec())));
    assert!(lost.as_mut().now_or_never().is_none());
    let of_first = cluster.node(&first.endpoint());
    first.hang_up();
    of_first.lost().await;
    assert!(lost.as_mut().now_or_never().is_none(), "it has the key no more");
    second.hang_up();
    assert!(lost.await.message.contains(&second.port.to_string()));
}

#[tokio::test]
async fn seeds_that_keep_still_do_not_hide_one_that_answers() {
    let good = Fake::start(|port, words| if words[0] == "GET" { "$-1\r\n".to_owned() } else { all_at(port) }).await;
    let mut fakes = Vec::new();
    for _ in 0..6 {
        fakes.push(Fake::start(|_, _| String::new()).await);
    }
    fakes.push(good);
    let mut answers = Vec::new();
    // A machine that has other things to do may be late, but not each time.
    for _ in 0..5 {
        let cluster = Cluster::new(fakes.iter().map(Fake::endpoint).collect(), settings());
        let (answer, held_up) = watched(run(&cluster)).await;
        if answer == Ok(Value::Nil) {
            return;
        }
        assert!(held_up > HELD_UP, "{answer:?}, though held up for {held_up:?} at most");
        answers.push(answer);
    }
    panic!("{answers:?}");
}

#[tokio::test]
async fn a_key_that_is_sent_from_node_to_node_is_not_followed_for_ever() {
    let fake = Fake::start(|port, words| match words[0].as_str() {
        "GET" => format!("-MOVED {} 127.0.0.1:{port}\r\n", slot(b"key")),
        _ => all_at(port),
    });
    let fake = fake.await;
    let cluster = Cluster::new(vec![fake.endpoint()], settings());
    assert!(run(&cluster).await.unwrap_err().message.contains("from node to node"));
}

#[tokio::test]
async fn a_key_whose_slot_is_on_its_way_is_asked_for_where_it_goes_for_this_once() {
    let second = Fake::start(|_, words| match words[0].as_str() {
        "ASKING" => "+OK\r\n".to_owned(),
        "GET" => "$5\r\nvalue\r\n".to_owned(),
        _ => "+PONG\r\n".to_owned(),
    });
    let second = second.await;
    let to = second.port;
    let first = Fake::start(move |port, words| match words[0].as_str() {
        "GET" => format!("-ASK {} :{to}\r\n", slot(b"key")),
        _ => all_at(port),
    });
    let first = first.await;
    let cluster = Cluster::new(vec![first.endpoint()], settings());
    for _ in 0..2 {
        assert_eq!(run(&cluster).await, Ok(Value::BulkString(b"value".to_vec())));
    }
    assert_eq!(cluster.lock().owner(slot(b"key")), Some(first.endpoint()));
}
