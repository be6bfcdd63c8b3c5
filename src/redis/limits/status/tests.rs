//! What is said of a Redis that comes and goes.

use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::redis::hearing::{hear, heard};

const AWAY: &str = "limits are counted without Redis, as one of 4: gone";
const AGAIN: &str = "limits are counted over Redis again: redis://host";

fn status() -> Status {
    of(&Arc::default())
}

/// One of several that speak of the same Redis.
fn of(choir: &Arc<Choir>) -> Status {
    Status::saying("redis://host".to_owned(), 4, Arc::clone(choir), hear)
}

fn gone() -> Fault {
    Fault::away("gone")
}

#[tokio::test(start_paused = true)]
async fn an_outage_soon_after_another_is_said_as_soon_as_it_may_be_and_that_it_is_over() {
    let status = status();
    status.lost("one", &gone());
    status.found("one", None);
    assert_eq!(heard(), [AWAY, AGAIN]);
    sleep(Duration::from_secs(6)).await;
    // It is tried again and again.
    for _ in 0..540 {
        status.lost("one", &gone());
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(heard(), Vec::<String>::new());
    status.lost("one", &gone());
    status.lost("one", &gone());
    assert_eq!((heard(), status.stats(Instant::now()).redis.for_ms), (vec![AWAY.to_owned()], 54_000.0));
    status.found("one", None);
    assert_eq!(heard(), [AGAIN]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_was_over_before_it_could_be_said_is_not_said_nor_that_it_is_over() {
    let status = status();
    for _ in 0..50 {
        status.lost("one", &gone());
        status.found("one", None);
    }
    assert_eq!(heard(), [AWAY, AGAIN]);
    sleep(Duration::from_secs(120)).await;
    status.found("one", None);
    assert_eq!(heard(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn several_ledgers_say_one_line_and_the_last_that_is_back_says_the_other() {
    let status = status();
    for ledger in ["one", "two", "one", "two"] {
        status.lost(ledger, &gone());
    }
    status.found("one", None);
    assert_eq!(heard(), [AWAY]);
    // Of the one that is left it is true as before.
    sleep(Duration::from_secs(61)).await;
    status.lost("two", &gone());
    assert_eq!(heard(), Vec::<String>::new());
    status.found("two", None);
    assert_eq!(heard(), [AGAIN]);
}

#[tokio::test(start_paused = true)]
async fn the_next_outage_is_said_also_where_whoever_said_the_last_has_gone_before_its_end() {
    let choir = Arc::default();
    let (first, second) = (of(&choir), of(&choir));
    first.lost("one", &gone());
    // Its router is closed meanwhile, and the other one never knew.
    first.forget("one");
    sleep(Duration::from_secs(120)).await;
    assert_eq!(heard(), [AWAY]);
    second.lost("two", &gone());
    second.found("two", None);
    assert_eq!(heard(), [AWAY, AGAIN]);
}
