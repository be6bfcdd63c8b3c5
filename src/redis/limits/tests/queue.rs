//! Who is next where several wait.

use super::*;

#[test]
fn what_becomes_free_goes_to_whoever_was_given_least_then_to_whoever_came_first() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let ten = Limits { rpm: Some(10), ..Limits::default() };
    let none = Limits::default();
    assert_eq!(stage.reserve("greedy", 40, 0, ten, none).count, 10);
    // Three wait and come again when they said, each time in another order.
    let mut given = [0, 0, 0];
    for turn in 0..260 {
        stage.now += Duration::from_millis(250);
        for step in 0..3 {
            let place = (turn + step) % 3;
            given[place] += stage.reserve(["greedy", "first", "second"][place], 40, 0, ten, none).count;
        }
    }
    assert_eq!(given.iter().sum::<u64>(), 10, "{given:?}");
    assert!(given.iter().all(|each| (3..=4).contains(each)), "{given:?}");
}

#[test]
fn whoever_does_not_come_when_it_said_holds_nobody_up() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (one, none) = (Limits { rpm: Some(1), ..Limits::default() }, Limits::default());
    assert_eq!(stage.reserve("holder", 1, 0, one, none).count, 1);
    assert_eq!(stage.reserve("dead", 1, 0, one, none).count, 0);
    stage.now += Duration::from_millis(5);
    let wait = stage.reserve("alive", 1, 0, one, none).wait;
    assert!(wait > Duration::from_secs(59), "{wait:?}");
    // It has not been heard of for longer than it may be late.
    stage.now += MINUTE + Duration::from_secs(1);
    assert_eq!(stage.reserve("alive", 1, 0, one, none).count, 1);
}

#[test]
fn nobody_starves_however_many_wait() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (limits, none) = (Limits { rpm: Some(300), ..Limits::default() }, Limits::default());
    assert_eq!(stage.reserve("before", 300, 0, limits, none).count, 300);
    stage.now += Duration::from_secs(55);
    // More than a script looks at, each with use for more than its share, each coming again when it was told to.
    let mut waiting: Vec<(Duration, u64)> = vec![(stage.now, 0); 300];
    let end = stage.now + Duration::from_secs(15);
    while stage.now < end {
        let (who, due) = waiting.iter().enumerate().map(|(who, (due, _))| (who, *due)).min_by_key(|it| it.1).unwrap();
        stage.now = stage.now.max(due);
        let answer = stage.reserve(&format!("ledger {}", who * 7919 % 300), 20, 0, limits, none);
        let again =
            if answer.count > 0 { Duration::from_millis(1) } else { answer.pause.max(Duration::from_millis(1)) };
        waiting[who] = (stage.now + again, waiting[who].1 + answer.count);
    }
    let given: Vec<u64> = waiting.iter().map(|it| it.1).collect();
    assert_eq!(given.iter().sum::<u64>(), 300);
    assert!(given.iter().all(|given| *given == 1), "{given:?}");
}

#[test]
fn a_deployment_of_an_account_that_is_full_waits_its_turn_among_the_others() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "one");
    let (none, ten) = (Limits::default(), Limits { rpm: Some(10), ..Limits::default() });
    assert_eq!(stage.reserve("greedy", 40, 0, none, ten).count, 10);
    let other = Keys::new("test", "account", "other");
    let mut given = [0, 0];
    // The one asks four times as often as the other.
    for _ in 0..260 {
        stage.now += Duration::from_millis(250);
        for _ in 0..4 {
            given[0] += stage.reserve("greedy", 40, 0, none, ten).count;
        }
        let own = std::mem::replace(&mut stage.keys, other.clone());
        given[1] += stage.reserve("modest", 40, 0, none, ten).count;
        stage.keys = own;
    }
    assert_eq!(given, [5, 5]);
}

#[test]
fn what_waits_for_a_deployment_holds_up_nobody_else_of_its_account() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "full");
    let (one, ten) = (Limits { rpm: Some(1), ..Limits::default() }, Limits { rpm: Some(10), ..Limits::default() });
    assert_eq!(stage.reserve("first", 1, 0, one, ten).count, 1);
    assert_eq!(stage.reserve("waits", 9, 0, one, ten).count, 0);
    stage.keys = Keys::new("test", "account", "free");
    assert_eq!(stage.reserve("other", 9, 0, Limits::default(), ten).count, 9);
}

#[test]
fn a_slot_that_becomes_free_goes_to_whoever_has_waited_longest() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (one, none) = (Limits { max_concurrent: Some(1), ..Limits::default() }, Limits::default());
    let holding = |stage: &Stage, ledger: &str, holds: u64, want: u64| {
        let ask = (want > 0).then_some(Ask { want, most: want, tokens: 0 });
        stage.count(ledger, &Words { ask, holds, ..silence(one, none) }).count
    };
    assert_eq!(holding(&stage, "holder", 0, 1), 1);
    stage.now += Duration::from_millis(10);
    assert_eq!(holding(&stage, "second", 0, 1), 0);
    // The holder is done, and has use for another.
    stage.now += Duration::from_millis(10);
    assert_eq!(holding(&stage, "holder", 0, 1), 0);
    assert_eq!(holding(&stage, "second", 0, 1), 1);
    assert_eq!(holding(&stage, "holder", 0, 1), 0);
}
