//! What becomes of what several processes may do when their Redis has forgotten everything.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::super::super::fake::watched;
use super::super::back::OTHERS_TELL_WITHIN;
use super::super::ledger::RedisLedger;
use super::super::status::Status;
use super::slow::SlowWay;
use super::*;
use crate::tracker::{Tracker, Wait};

const FORTY: Limits = Limits { rpm: Some(40), tpm: None, max_concurrent: None };

/// How long such a process waits for an answer, which tells its connections from those of others.
fn patience_of(number: u64) -> Duration {
    Duration::from_millis(3000 + number)
}

fn redis_at(url: &str, timeout: Duration) -> Redis {
    let mut options = RedisOptions::at("url", url).unwrap();
    options.timeout = timeout;
    Redis::shared(options)
}

/// The connections of such a process.
pub(super) fn redis_of(server: &Server, number: u64) -> Redis {
    redis_at(&server.url(), patience_of(number))
}

/// A deployment as another process would have it, with connections of its own.
pub(super) fn process(server: &Server, number: u64, limits: Limits) -> (Tracker, Arc<Status>) {
    process_at(&server.url(), patience_of(number), number, limits)
}

/// The same at any URL, with this patience.
fn process_at(url: &str, timeout: Duration, number: u64, limits: Limits) -> (Tracker, Arc<Status>) {
    let redis = redis_at(url, timeout);
    let status = Arc::new(Status::new(url.to_owned(), 1));
    let tracker = Tracker::new(limits);
    let speaker = Speaker {
        ledger: format!("{number}.1"),
        process: number.to_string(),
        lease: Duration::from_secs(3),
        clock: None,
    };
    tracker.count_with(|told| {
        let keys = Keys::new("test", "account", "m");
        Arc::new(RedisLedger::new(redis, keys, speaker, told, 1, Arc::clone(&status)))
    });
    (tracker, status)
}

/// Begins as many as are admitted until then, and has use for one more.
pub(super) async fn take(tracker: &Tracker, until: Instant, most: usize) -> usize {
    let mut taken = 0;
    while Instant::now() < until && taken < most {
        match tracker.try_acquire(0, Instant::now()) {
            Ok(mut permit) => {
                permit.sent();
                taken += 1;
            }
            Err(Wait::Never) => panic!("it fits"),
            Err(_) => sleep(Duration::from_millis(2)).await,
        }
    }
    taken
}

/// Two processes that have spent a limit of forty, half of it each, and have heard of one another.
async fn two_that_have_spent_all(server: &Server) -> Vec<(Tracker, Arc<Status>)> {
    spend_all((0..2).map(|number| process(server, number, FORTY)).collect()).await
}

async fn spend_all(all: Vec<(Tracker, Arc<Status>)>) -> Vec<(Tracker, Arc<Status>)> {
    let far = Instant::now() + Duration::from_secs(30);
    for _ in 0..2 {
        for (tracker, _) in &all {
            assert_eq!(take(tracker, far, 10).await, 10);
        }
        // How many there are is heard along with a request, once a second.
        sleep(Duration::from_millis(1100)).await;
    }
    assert!(all.iter().all(|(_, status)| status.processes() == 2));
    all
}

async fn until(mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a server that forgets what was admitted grants nothing before two processes have told it. Both are of this thread: where that
/// is held up for half of the time that one waits for the other, it may have done so in vain, and all is done again.
async fn grants_nothing_when_it_has_forgotten(forgets: impl Fn(&mut Server)) {
    for rounds_left in (0..3).rev() {
        let Some(mut server) = Server::start() else { return };
        let all = two_that_have_spent_all(&server).await;
        forgets(&mut server);
        let (granted, held_up) = watched(async {
            let granted = take(&all[0].0, Instant::now() + Duration::from_secs(4), 1).await;
            until(|| all.iter().all(|(_, status)| status.stats(Instant::now()).redis.status == "connected")).await;
            granted + take(&all[0].0, Instant::now() + Duration::from_millis(500), 1).await
        })
        .await;
        if granted == 0 {
            return;
        }
        assert!(
            held_up > OTHERS_TELL_WITHIN / 2 && rounds_left > 0,
            "{granted} though held up for {held_up:?} at most"
        );
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_grants_nothing_before_everyone_has_told_it_what_it_admitted() {
    // One of them has nothing to do, and tells all the same.
    grants_nothing_when_it_has_forgotten(|server| {
        server.kill();
        server.restart();
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_comes_while_redis_is_away_takes_the_share_that_is_known() {
    let Some(mut server) = Server::start() else { return };
    let limits = Limits { rpm: Some(40), ..Limits::default() };
    let [(first, status), (second, _)] = [0, 1].map(|number| process(&server, number, limits));
    let far = Instant::now() + Duration::from_secs(30);
    take(&second, far, 1).await;
    take(&first, far, 1).await;
    assert_eq!(status.processes(), 2);
    server.kill();
    let shared = super::super::SharedLimits {
        redis: Redis::shared(RedisOptions::at("url", &server.url()).unwrap()),
        options: super::super::SharedLimitsOptions::at(&server.url()).unwrap(),
        status,
    };
    let later = Tracker::new(limits);
    later.count_with(|told| shared.ledger(&[7; 32], "later", told));
    assert_eq!(take(&later, Instant::now() + Duration::from_secs(2), 40).await, 20, "half of it");
}

#[tokio::test]
async fn a_window_that_was_evicted_grants_nothing_before_everyone_has_told_it_what_it_admitted() {
    // The other one hears of it when it says again that it is alive.
    grants_nothing_when_it_has_forgotten(|server| drop(server.ask(&["DEL", "test:limits:{account}:window:m"]))).await;
}

#[tokio::test]
async fn an_account_whose_window_alone_was_evicted_is_told_all_of_the_last_minute() {
    let Some(server) = Server::start() else { return };
    let (wide, forty) =
        (Limits { rpm: Some(1000), ..Limits::default() }, Limits { rpm: Some(40), ..Limits::default() });
    let (tracker, status) = process(&server, 0, wide);
    tracker.stand_on(Some(Tracker::new(forty)));
    let far = Instant::now() + Duration::from_secs(30);
    assert_eq!(take(&tracker, far, 40).await, 40);
    sleep(Duration::from_millis(600)).await;
    server.ask(&["DEL", "test:limits:{account}:account"]);
    assert_eq!(take(&tracker, Instant::now() + Duration::from_secs(4), 1).await, 0);
    until(|| status.stats(Instant::now()).redis.status == "connected").await;
    assert_eq!(take(&tracker, Instant::now() + Duration::from_millis(500), 1).await, 0);
}

#[tokio::test]
async fn a_telling_whose_answer_was_lost_is_charged_once_and_is_not_taken_for_that_of_another() {
    let Some(mut server) = Server::start() else { return };
    let ways = [SlowWay::to(&server).await, SlowWay::to(&server).await];
    let both = (0..2).zip(&ways).map(|(number, way)| process_at(&way.url(), Duration::from_millis(500), number, FORTY));
    let all = spend_all(both.collect()).await;
    server.kill();
    // What the one tells is heard, and its answer is not; the other tells nothing.
    ways[0].delays_after("account-told");
    ways[1].delays_by(3000);
    server.restart();
    // When nothing was charged for the last time.
    let (mut begun, mut looked) = (Instant::now(), Instant::now());
    until(|| {
        (begun, looked) = (looked, Instant::now());
        charged(&server, "window:m") > 0
    })
    .await;
    until(|| all[0].1.stats(Instant::now()).redis.status == "connected").await;
    // It has told again after 1.4 s at most, and waits for a second from then on.
    assert!(begun.elapsed() >= Duration::from_millis(1_800), "it waited for the other, and not {:?}", begun.elapsed());
    assert_eq!(charged(&server, "window:m"), 20, "what one of them was admitted");
}

#[tokio::test]
async fn what_the_server_reads_after_what_was_said_later_changes_nothing_any_more() {
    let Some(server) = Server::start() else { return };
    let (patience, five) = (Duration::from_millis(100), Limits { max_concurrent: Some(5), rpm: Some(1000), tpm: None });
    let held = || server.ask(&["HGET", "test:limits:{account}:held:m", ""]).lines().nth(1).unwrap_or("0").to_owned();
    for (number, late) in (0..).zip([150, 300, 400, 500, 700, 1500]) {
        let mut tries = 0;
        let (way, tracker, status) = loop {
            server.ask(&["FLUSHALL"]);
            let way = SlowWay::to(&server).await;
            let (tracker, status) = process_at(&way.url(), patience, number, five);
            let far = Instant::now() + Duration::from_secs(30);
            assert_eq!(take(&tracker, far, 1).await, 1);
            sleep(Duration::from_millis(300)).await;
            // Where this thread was held up for longer than it is patient, it counts alone.
            if status.stats(Instant::now()).redis.status == "connected" {
                break (way, tracker, status);
            }
            tries += 1;
            assert!(tries < 10, "{:?}", status.stats(Instant::now()));
        };
        let begun = Instant::now();
        way.delays_one(late);
        assert!(tracker.try_acquire(0, begun).is_err());
        until(|| status.stats(Instant::now()).redis.status == "local").await;
        until(|| status.stats(Instant::now()).redis.status == "connected").await;
        // It holds nothing, and has said so: no other word of its is to be taken for the last.
        while begun.elapsed() < Duration::from_millis(late + 200) {
            assert_eq!(held(), "0", "{late} ms late, after {:?}", begun.elapsed());
            sleep(Duration::from_millis(5)).await;
        }
        // Beyond half a second nothing is granted to nobody either.
        assert!(late < 600 || charged(&server, "window:m") == 1, "{late} ms late");
    }
}

#[tokio::test]
async fn what_is_admitted_while_one_of_two_windows_is_told_of_the_past_is_charged_to_both() {
    let Some(server) = Server::start() else { return };
    let way = SlowWay::to(&server).await;
    let wide = Limits { rpm: Some(1_000_000), ..Limits::default() };
    let (tracker, status) = process_at(&way.url(), Duration::from_secs(3), 0, wide);
    tracker.stand_on(Some(Tracker::new(wide)));
    let sent = take(&tracker, Instant::now() + Duration::from_secs(30), 40).await;
    sleep(Duration::from_millis(600)).await;
    way.delays_by(80);
    server.ask(&["DEL", "test:limits:{account}:account"]);
    // Whatever it is told meanwhile, it admits some at any time.
    let (mut sent, mut was_alone) = (u64::try_from(sent).unwrap(), false);
    let begun = Instant::now();
    while !was_alone || status.stats(Instant::now()).redis.status != "connected" {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s");
        if let Ok(mut permit) = tracker.try_acquire(0, Instant::now()) {
            permit.sent();
            sent += 1;
        }
        was_alone = was_alone || status.stats(Instant::now()).redis.status == "local";
        sleep(Duration::from_millis(2)).await;
    }
    // What was granted and not begun is given back.
    sleep(Duration::from_secs(1)).await;
    let all = ["account", "window:m"].map(|key| charged(&server, key));
    assert!(all.iter().all(|charged| (sent..=sent + 32).contains(charged)), "{sent} were sent, charged are {all:?}");
}

#[tokio::test]
async fn what_was_admitted_while_redis_was_away_is_told_though_its_router_is_gone() {
    let Some(mut server) = Server::start() else { return };
    let limits = Limits { rpm: Some(10), ..Limits::default() };
    let far = Instant::now() + Duration::from_secs(30);
    let (gone, status) = process(&server, 0, limits);
    take(&gone, far, 1).await;
    server.kill();
    assert_eq!(take(&gone, far, 5).await, 5);
    assert_eq!(status.stats(Instant::now()).redis.status, "local");
    drop(gone);
    server.restart();
    until(|| server.ask(&["STRLEN", "test:limits:{account}:window:m"]).trim() != ":0").await;
    let (after, _) = process(&server, 1, limits);
    assert_eq!(take(&after, Instant::now() + Duration::from_secs(2), 10).await, 5);
    // Nor does it say for ever that somebody is alone.
    assert_ne!(status.stats(Instant::now()).redis.status, "local");
}
