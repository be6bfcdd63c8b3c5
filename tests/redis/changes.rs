//! Clusters that change while they are used: slots that move, nodes that die and others that take their place.

use std::time::Duration;

use thryd::kinds::Completion;
use thryd::route::Router;

use super::layouts::cluster;
use super::server::Server;
use super::{ask, at, redis_of, router_of, until};

const PATIENCE: Duration = Duration::from_secs(20);

/// A router that may ask twice a minute, and whose keys are on this node of a Cluster that is named by that one.
async fn router_on(node: &Server, named: &Server) -> Router<Completion> {
    let limits = at(&format!("redis+cluster://127.0.0.1:{}", named.port));
    for name in 0..64 {
        let provider = format!(r#"{{"type": "dummy", "apiKey": "key number {name}"}}"#);
        let router = router_of(&limits, r#""rpm": 2"#, &provider);
        ask(&router).await.unwrap();
        until(PATIENCE, || redis_of(&router).status == "connected").await;
        if !keys(node).is_empty() {
            return router;
        }
    }
    panic!("no key is on the node at port {}", node.port);
}

fn keys(node: &Server) -> Vec<String> {
    let all = node.ask(&["KEYS", "*"]);
    let mut keys: Vec<_> = all.lines().filter(|line| !line.starts_with(['*', '$'])).map(str::to_owned).collect();
    // Each server has an order of its own.
    keys.sort();
    keys
}

fn id(node: &Server) -> String {
    node.ask(&["CLUSTER", "MYID"]).lines().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn slots_that_move_to_another_node_take_along_what_was_counted() {
    let Some((one, two)) = cluster().await else { return };
    let router = router_on(&two, &one).await;
    let slot = two.ask(&["CLUSTER", "KEYSLOT", &keys(&two)[0]]).trim().trim_start_matches(':').to_owned();
    let (from, to) = (id(&two), id(&one));
    one.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]);
    two.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]);
    for key in keys(&two) {
        assert_eq!(two.ask(&["MIGRATE", "127.0.0.1", &one.port.to_string(), &key, "0", "5000"]), "+OK\r\n");
    }
    for node in [&one, &two] {
        node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to]);
    }
    ask(&router).await.unwrap();
    until(PATIENCE, || redis_of(&router).status == "connected").await;
    assert!(ask(&router).await.is_err(), "two of two were admitted");
    assert!(keys(&two).is_empty());
}

#[tokio::test]
async fn a_replica_that_takes_the_place_of_a_node_that_died_is_found() {
    let Some((one, mut two)) = cluster().await else { return };
    let Some(replica) = Server::start_with(&["--cluster-enabled", "yes"]) else { return };
    replica.ask(&["CLUSTER", "MEET", "127.0.0.1", &one.port.to_string(), &one.bus.to_string()]);
    let of = id(&two);
    until(PATIENCE, || replica.ask(&["CLUSTER", "REPLICATE", &of]).starts_with("+OK")).await;
    let router = router_on(&two, &one).await;
    until(PATIENCE, || replica.ask(&["ROLE"]).contains("connected") && keys(&replica) == keys(&two)).await;
    until(PATIENCE, || one.ask(&["CLUSTER", "NODES"]).contains(&format!("slave {of}"))).await;
    two.kill();
    // Whoever is alone has its share; two masters are too few to agree on another by themselves.
    ask(&router).await.unwrap();
    assert_eq!(redis_of(&router).status, "local");
    replica.ask(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    until(PATIENCE, || redis_of(&router).status == "connected").await;
    assert!(ask(&router).await.is_err(), "two of two were admitted");
}
