use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use super::super::fake::{Fake, settings};
use super::super::fault::FaultKind;
use super::*;

const PONG: &str = "+PONG\r\n";

async fn fake() -> (Fake, Node) {
    let fake = Fake::start(|_, _| PONG.to_owned()).await;
    let node = Node::at(fake.endpoint(), settings());
    (fake, node)
}

async fn ping(node: &Node) -> Result<Value, Fault> {
    node.run(&redis::cmd("PING"), false).await
}

#[tokio::test]
async fn a_connection_that_ends_is_noticed_while_nobody_asks_anything() {
    let (fake, node) = fake().await;
    assert!(node.lost().now_or_never().is_none(), "nobody has needed it");
    ping(&node).await.unwrap();
    assert!(node.lost().now_or_never().is_none(), "it is there");
    let lost = node.lost();
    fake.hang_up();
    let fault = lost.await;
    assert_eq!(fault.kind, FaultKind::Away);
    assert_eq!(fault.message, format!("127.0.0.1:{}: the connection was closed", fake.port));
    assert_eq!(node.fault(), Some(fault));
    // Until it is back.
    while ping(&node).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
    node.lost().await;
    while ping(&node).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(lost.await.kind, FaultKind::Away);
}

#[tokio::test]
async fn a_node_that_nobody_uses_any_more_closes_its_connection() {
    let (_fake, node) = fake().await;
    let end = node.connection().await.unwrap().end();
    drop(node);
    end.await;
}
