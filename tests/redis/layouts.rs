//! Servers that are found: nodes of a Cluster, and masters behind Sentinels.

use std::time::{Duration, Instant};

use thryd::cache::Cache;

use super::cache::{entry, found, key, keys, options_at, until_found};
use super::reached::reach;
use super::server::Server;
use super::{ask, at, redis_of, router, until};

/// A Cluster of two nodes, each with half of the slots.
pub async fn cluster() -> Option<(Server, Server)> {
    let cluster = ["--cluster-enabled", "yes"];
    let (one, two) = (Server::start_with(&cluster)?, Server::start_with(&cluster)?);
    one.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    two.ask(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    // One of them cannot be the same as the other.
    two.ask(&["CLUSTER", "SET-CONFIG-EPOCH", "2"]);
    one.ask(&["CLUSTER", "MEET", "127.0.0.1", &two.port.to_string(), &two.bus.to_string()]);
    let is_up = |server: &Server| server.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
    until(Duration::from_secs(20), || is_up(&one) && is_up(&two)).await;
    Some((one, two))
}

#[tokio::test]
async fn each_key_goes_to_the_node_of_a_cluster_that_has_it() {
    // Which of both has the slot is left to the name: one of these is on each.
    let Some((one, two)) = cluster().await else { return };
    let limits = at(&format!("redis+cluster://127.0.0.1:{}", one.port));
    for name in 0..8 {
        let provider = format!(r#"{{"type": "dummy", "apiKey": "key number {name}"}}"#);
        let router = super::router_of(&limits, r#""rpm": 2"#, &provider);
        ask(&router).await.unwrap();
        ask(&router).await.unwrap();
        assert!(ask(&router).await.is_err());
        let redis = redis_of(&router);
        assert_eq!(redis.status, "connected", "{redis:?}");
    }
    let keys = |server: &Server| server.ask(&["DBSIZE"]).trim().trim_start_matches(':').parse::<u64>().unwrap();
    assert!(keys(&one) > 0 && keys(&two) > 0, "{} and {}", keys(&one), keys(&two));
}

#[tokio::test]
async fn the_master_is_whoever_sentinels_say_it_is_also_after_a_failover() {
    let Some(first) = Server::start() else { return };
    let Some(second) = Server::start_with(&["--replicaof", "127.0.0.1", &first.port.to_string()]) else { return };
    let Some(sentinel) = Server::sentinel(first.port) else { return };
    let knows = || sentinel.ask(&["SENTINEL", "REPLICAS", "main"]).contains(&second.port.to_string());
    until(Duration::from_secs(30), knows).await;
    let limits = at(&format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port));
    let _connected = reach(&limits).await;
    let router = router(&limits, r#""rpm": 10"#, "{}");
    for _ in 0..4 {
        ask(&router).await.unwrap();
    }
    assert_eq!(redis_of(&router).status, "connected");
    let is_synced = || second.ask(&["DBSIZE"]) == first.ask(&["DBSIZE"]);
    until(Duration::from_secs(10), is_synced).await;
    // A failover that is asked for does not wait until the master counts as down.
    // There is nobody to take over before the replica is known to be well.
    let begins = || {
        let said = sentinel.try_ask(&["SENTINEL", "FAILOVER", "main"]);
        said.is_ok_and(|said| said.starts_with("+OK") || said.contains("INPROG"))
    };
    until(Duration::from_secs(30), begins).await;
    let is = |server: &Server, role| server.try_ask(&["ROLE"]).is_ok_and(|answer| answer.contains(role));
    // A Sentinel that was held up trusts nothing that it sees for half a minute.
    until(Duration::from_secs(90), || is(&second, "master")).await;
    until(Duration::from_secs(90), || is(&first, "slave")).await;
    let _ = ask(&router).await;
    until(Duration::from_secs(3), || redis_of(&router).status == "connected").await;
    let mut admitted = 0;
    for _ in 0..20 {
        admitted += i32::from(ask(&router).await.is_ok());
    }
    assert!((4..=6).contains(&admitted), "what was counted before counts: {admitted}");
}

#[tokio::test]
async fn sentinels_that_do_not_know_the_name_say_so() {
    let Some(server) = Server::start() else { return };
    let Some(sentinel) = Server::sentinel(server.port) else { return };
    let limits = at(&format!("redis+sentinel://127.0.0.1:{}/other", sentinel.port));
    let router = router(&limits, r#""rpm": 10"#, "{}");
    ask(&router).await.unwrap();
    let redis = redis_of(&router);
    assert_eq!(redis.status, "local");
    assert!(redis.error.unwrap().contains("no master \"other\""));
}

#[tokio::test]
async fn a_cluster_has_the_answers_on_all_of_its_nodes_and_loses_only_those_of_one_with_it() {
    let Some((mut one, two)) = cluster().await else { return };
    let options = options_at(&format!("redis+cluster://127.0.0.1:{}", two.port));
    let (cache, other) = (Cache::open(options.clone()).unwrap(), Cache::open(options).unwrap());
    let count = async |cache: &Cache| {
        let mut found = 0;
        for number in 0..20 {
            found += usize::from(self::found(cache, &key(number), "").await.is_some());
        }
        found
    };
    // Connected, before anyone counts.
    until_found(&cache, 0).await;
    for number in 0..20 {
        cache.put(key(number), entry("an answer"));
    }
    cache.flush().await.unwrap();
    until_found(&other, 0).await;
    assert_eq!(count(&other).await, 20);
    let (here, there) = (keys(&one).len(), keys(&two).len());
    assert!(here > 0 && there > 0 && here + there == 20, "{here} and {there}");
    one.kill();
    count(&other).await;
    let begun = Instant::now();
    let left = count(&other).await;
    assert!(left <= there && begun.elapsed() < Duration::from_secs(3), "{left} in {:?}", begun.elapsed());
}
