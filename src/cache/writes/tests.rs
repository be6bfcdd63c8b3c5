//! Fears about the queue: that it loses, that it waits, that one of its two kinds of work starves the other.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::*;
use crate::cache::Namespace;

fn key(number: u64) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn record(size: usize) -> Arc<Record> {
    let payload = Bytes::from(vec![0; size]);
    let namespace = Namespace::new("");
    Arc::new(Record {
        deployment: String::new(),
        created_ms: 0,
        expires_ms: 1,
        namespace,
        question: Bytes::new(),
        payload,
    })
}

/// Writes whose commits report the groups' sizes, after `act`.
fn writes(act: impl Fn(usize) -> Result<(), String> + Send + Sync + 'static) -> (Writes, Arc<Mutex<Vec<usize>>>) {
    let groups = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&groups);
    let commit = move |group: &Group| {
        seen.lock().unwrap().push(group.len());
        act(group.len()).map_err(|message| Lost { entries: group.len() as u64, message })
    };
    (Writes::new(Box::new(commit), Box::new(|_| None)), groups)
}

#[test]
fn all_that_was_put_is_committed_when_flush_returns() {
    let (writes, groups) = writes(|_| Ok(()));
    for number in 0..1_000 {
        writes.put(key(number), record(10));
    }
    writes.flush().unwrap();
    assert_eq!(groups.lock().unwrap().iter().sum::<usize>(), 1_000);
    assert!(writes.get(&key(1)).is_none());
}

#[test]
fn dropping_the_queue_commits_what_is_left() {
    let (writes, groups) = writes(|_| Ok(()));
    writes.put(key(1), record(10));
    drop(writes);
    assert_eq!(*groups.lock().unwrap(), [1]);
}

#[test]
fn the_end_of_the_process_waits_for_a_queue_that_is_just_being_dropped() {
    let is_committed = Arc::new(AtomicBool::new(false));
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (begun, done) = (Mutex::new(begun), Arc::clone(&is_committed));
    let (writes, _) = writes(move |_| {
        begun.lock().unwrap().send(()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        done.store(true, Ordering::SeqCst);
        Ok(())
    });
    let ending = writes.ending();
    writes.put(key(1), record(10));
    let dropping = std::thread::spawn(move || drop(writes));
    has_begun.recv().unwrap();
    assert!(!ending.is_gone());
    ending.settle();
    assert!(is_committed.load(Ordering::SeqCst));
    dropping.join().unwrap();
    ending.settle();
    assert!(ending.is_gone());
}

#[test]
fn a_panic_in_a_commit_hangs_no_flush_and_ends_no_later_commit() {
    let first = Mutex::new(true);
    let (writes, groups) = writes(move |_| {
        assert!(!std::mem::take(&mut *first.lock().unwrap()), "first commit");
        Ok(())
    });
    writes.put(key(1), record(10));
    let message = writes.flush().unwrap_err();
    assert!(message.contains("first commit"), "{message}");
    writes.put(key(2), record(10));
    writes.flush().unwrap();
    assert_eq!(writes.errors().0, 1);
    assert_eq!(groups.lock().unwrap().len(), 2);
}

#[test]
fn a_lost_group_is_counted_and_told_once() {
    let (writes, _) = writes(|_| Err("disk full".to_owned()));
    writes.put(key(1), record(10));
    writes.put(key(2), record(10));
    assert_eq!(writes.flush().unwrap_err(), "disk full");
    assert_eq!(writes.flush(), Ok(()));
    assert_eq!(writes.errors(), (2, Some("disk full".to_owned())));
}

/// Writes that are not committed while the gate is held.
fn writes_behind(gate: &Arc<Mutex<()>>) -> Writes {
    let gate = Arc::clone(gate);
    let (writes, _) = writes(move |_| {
        drop(gate.lock().unwrap());
        Ok(())
    });
    writes
}

#[test]
fn a_slow_disk_costs_entries_never_memory_and_never_a_wait() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let writes = writes_behind(&gate);
    for number in 0..100 {
        writes.put(key(number), record(1 << 20));
    }
    let (errors, message) = writes.errors();
    assert!((36..=37).contains(&errors), "{errors}");
    assert!(message.unwrap().contains("too slow"));
    drop(held);
    assert!(writes.flush().is_err());
}

#[test]
fn what_waits_to_be_written_can_be_read() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let writes = writes_behind(&gate);
    for number in 0..600 {
        writes.put(key(number), record(1));
    }
    assert!((0..600).all(|number| writes.get(&key(number)).is_some()));
    drop(held);
}

#[test]
fn groups_and_steps_of_the_upkeep_take_turns() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let (groups, steps) = (Arc::clone(&log), Arc::clone(&log));
    let commit = move |_: &Group| {
        groups.lock().unwrap().push("group");
        Ok(())
    };
    // There is always more to do.
    let tend = move |now| {
        steps.lock().unwrap().push("step");
        Some(now)
    };
    let writes = Writes::new(Box::new(commit), Box::new(tend));
    for number in 0..50 {
        writes.put(key(number), record(1));
        writes.flush().unwrap();
    }
    let log = log.lock().unwrap();
    assert_eq!(log.iter().filter(|what| **what == "group").count(), 50);
    assert!(log.windows(2).all(|two| two != ["group", "group"]), "no step between");
}

#[test]
fn upkeep_that_is_asked_for_is_done_without_a_put_and_again_when_it_says() {
    let times = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&times);
    let tend = move |now| {
        let mut times = counted.lock().unwrap();
        *times += 1;
        (*times < 5).then_some(now + Duration::from_millis(1))
    };
    let writes = Writes::new(Box::new(|_: &Group| Ok(())), Box::new(tend));
    writes.tend();
    let started = Instant::now();
    while *times.lock().unwrap() < 5 {
        assert!(started.elapsed() < Duration::from_secs(30), "it was not done");
        std::thread::yield_now();
    }
}

#[test]
fn nobody_who_leaves_waits_for_the_upkeep() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let behind = Arc::clone(&gate);
    let (started, has_started) = std::sync::mpsc::sync_channel(1);
    let tend = move |_| {
        started.send(()).unwrap();
        drop(behind.lock().unwrap());
        None
    };
    let writes = Writes::new(Box::new(|_: &Group| Ok(())), Box::new(tend));
    writes.tend();
    has_started.recv_timeout(Duration::from_secs(60)).expect("the upkeep begins");
    // With the gate still closed this would never return.
    drop(writes);
    drop(held);
}

#[test]
fn the_file_is_not_let_go_by_who_closes_before_a_step_of_the_upkeep_has_ended() {
    let (started, has_started) = std::sync::mpsc::sync_channel(1);
    let is_done = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&is_done);
    let tend = move |_| {
        started.send(()).unwrap();
        // Long enough to be overtaken by who does not wait; no bound that anything is held to.
        std::thread::sleep(Duration::from_millis(50));
        done.store(true, Ordering::Release);
        None
    };
    let mut writes = Writes::new(Box::new(|_: &Group| Ok(())), Box::new(tend));
    writes.tend();
    has_started.recv_timeout(Duration::from_secs(60)).expect("the upkeep begins");
    writes.close();
    assert!(is_done.load(Ordering::Acquire));
}

#[test]
fn a_panic_in_the_upkeep_ends_no_later_commit() {
    let writes = Writes::new(Box::new(|_: &Group| Ok(())), Box::new(|_| panic!("upkeep")));
    for number in 0..3 {
        writes.put(key(number), record(1));
        assert_eq!(writes.flush(), Ok(()));
    }
}

/// A question that says where it was made, and keeps so many bytes until then.
fn sketch(made: &Arc<Mutex<Vec<std::thread::ThreadId>>>, bytes: u64) -> Sketch {
    let made = Arc::clone(made);
    let asked = move || {
        made.lock().unwrap().push(std::thread::current().id());
        Bytes::from("asked")
    };
    Sketch { make: Box::new(asked), bytes }
}

#[test]
fn what_was_asked_is_sketched_once_when_it_is_written_and_not_by_who_stores_it() {
    let (made, written) = (Arc::default(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&written);
    let commit = move |group: &Group| {
        seen.lock().unwrap().extend(group.iter().map(|(key, record)| (*key, record.question.clone())));
        Ok(())
    };
    let writes = Writes::new(Box::new(commit), Box::new(|_| None));
    writes.put_with(key(1), record(10), Some(sketch(&made, 10)));
    assert_eq!(writes.get(&key(1)), Some(record(10)), "found meanwhile");
    writes.flush().unwrap();
    assert_eq!(*written.lock().unwrap(), [(key(1), Bytes::from("asked"))]);
    let made = made.lock().unwrap();
    assert!(made.len() == 1 && made[0] != std::thread::current().id());
}

#[test]
fn what_is_kept_for_a_sketch_counts_as_bytes_that_wait_and_where_it_does_not_fit_the_sketch_is_made_at_once() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let writes = writes_behind(&gate);
    let made = Arc::default();
    for number in 0..100 {
        writes.put_with(key(number), record(10), Some(sketch(&made, 1 << 20)));
    }
    let at_once = made.lock().unwrap().iter().filter(|by| **by == std::thread::current().id()).count();
    let waits = writes.shared.lock().bytes;
    // The lock is let go before anything is asserted: a queue that is dropped waits for what it commits.
    drop(held);
    assert_eq!(writes.flush(), Ok(()), "an entry that is small was lost for what its question is made of");
    assert!((36..=37).contains(&at_once), "{at_once}");
    assert!(waits <= QUEUE_BYTES, "{waits}");
    assert_eq!(made.lock().unwrap().len(), 100);
}

#[test]
fn a_sketch_that_panics_loses_its_group_and_no_more() {
    let (writes, groups) = writes(|_| Ok(()));
    let panics = Sketch { make: Box::new(|| panic!("a defect")), bytes: 0 };
    writes.put_with(key(1), record(10), Some(panics));
    assert!(writes.flush().unwrap_err().contains("a defect"));
    writes.put(key(2), record(10));
    writes.flush().unwrap();
    assert_eq!(*groups.lock().unwrap(), [1]);
}
