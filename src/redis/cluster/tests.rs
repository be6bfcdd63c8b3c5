use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;

use super::super::fake::{Fake, settings};
use super::*;

/// What a Cluster answers whose slots are all at this port.
fn all_at(port: u16) -> String {
    format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
}

fn get() -> Cmd {
    let mut command = redis::cmd("GET");
    command.arg("key");
    command
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
    assert_eq!(cluster.run(b"key", &get()).await, Ok(Value::Nil));
    assert!(lost.as_mut().now_or_never().is_none());
    has_moved.store(true, Ordering::SeqCst);
    assert_eq!(cluster.run(b"key", &get()).await, Ok(Value::BulkString(b"value".to_vec())));
    assert!(lost.as_mut().now_or_never().is_none());
    let of_first = cluster.node(&first.endpoint());
    first.hang_up();
    of_first.lost().await;
    assert!(lost.as_mut().now_or_never().is_none(), "it has the key no more");
    second.hang_up();
    assert!(lost.await.message.contains(&second.port.to_string()));
}
