//! Fears about looks that wait for nobody: that they tell something else than the file does, that they never tell anything,
//! that what is kept for them is in the way of others.

use proptest::prelude::*;

use super::*;

type Found = Option<Record>;

/// What a look says, if it says anything.
fn looked(store: &Store, number: u64) -> Option<Found> {
    match store.look(&key(number)) {
        Look::Found(record, _) => Some(Some(record)),
        Look::Absent(_) => Some(None),
        Look::Unsure => None,
    }
}

/// Reads until looks are possible: twice in a row, and again if a busy machine put too much time between the two.
fn warm(store: &Store) {
    for _ in 0..50 {
        let begun = Instant::now();
        for _ in 0..2 {
            store.read(&key(u64::MAX));
        }
        if begun.elapsed() < KEPT / 2 {
            return;
        }
    }
    panic!("the file is never read fast enough");
}

/// Something that is done to a file, by one of two that have it open.
#[derive(Clone, Debug)]
enum Deed {
    Write(u64),
    /// The answer of a tenant.
    WriteTheirs(u64),
    Clear,
    ClearTheirs,
    Prune(u64),
    Compact,
    Read(u64),
    Rest,
    Reopen,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..24_u64).prop_map(Deed::Write),
        2 => (0..24_u64).prop_map(Deed::WriteTheirs),
        1 => Just(Deed::Clear),
        1 => Just(Deed::ClearTheirs),
        1 => (0..24_u64).prop_map(Deed::Prune),
        1 => Just(Deed::Compact),
        4 => (0..24_u64).prop_map(Deed::Read),
        1 => Just(Deed::Rest),
        1 => Just(Deed::Reopen),
    ]
}

fn act(store: &Store, deed: &Deed) {
    // Expires when the clock shows its number.
    let written = |number: u64, namespace| {
        let namespace = Namespace::new(namespace);
        let expires_ms = number + 1;
        Group::from([(
            key(number),
            Arc::new(Record { expires_ms, namespace, ..(*long(number..number + 1)[&key(number)]).clone() }),
        )])
    };
    match deed {
        Deed::Write(number) => store.write(&written(*number, "")).unwrap(),
        Deed::WriteTheirs(number) => store.write(&written(*number, "theirs")).unwrap(),
        Deed::Clear => store.clear(None).unwrap(),
        Deed::ClearTheirs => store.clear(Some(Namespace::new("theirs"))).unwrap(),
        Deed::Prune(now_ms) => _ = store.prune(*now_ms).unwrap(),
        Deed::Compact => _ = store.compact().unwrap(),
        Deed::Read(number) => _ = store.read(&key(*number)),
        Deed::Rest => _ = store.let_rest(Instant::now() + KEPT),
        Deed::Reopen => store.let_go(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Two that open a file each with its own handle are to each other what two processes are.
    #[test]
    fn a_look_never_says_anything_else_than_the_file_does(
        deeds in prop::collection::vec((any::<bool>(), deed()), 1..40), is_bounded in any::<bool>()
    ) {
        let (_dir, path) = empty_file();
        let bound = if is_bounded { 40_000 } else { u64::MAX };
        let open = || Store::open(&path, bound, Codec::default()).unwrap();
        let (ours, theirs, judge) = (open(), open(), open());
        warm(&ours);
        for (is_ours, deed) in &deeds {
            act(if *is_ours { &ours } else { &theirs }, deed);
            for number in 0..24 {
                if let Some(found) = looked(&ours, number) {
                    judge.keep_none();
                    prop_assert_eq!(found, judge.read(&key(number)), "{} after {:?}", number, deed);
                }
            }
        }
        prop_assert_eq!(ours.read_errors(), 0);
        // Nor does it stop telling.
        warm(&ours);
        prop_assert!((0..24).all(|number| looked(&ours, number) == Some(judge.read(&key(number)))));
    }
}

#[test]
fn one_read_now_and_then_keeps_nothing_and_two_in_a_row_do() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    store.write(&group(0..10)).unwrap();
    assert!(store.read(&key(1)).is_some());
    assert_eq!((looked(&store, 1), store.rest_due()), (None, None));
    store.read(&key(1));
    assert!(store.rest_due().is_some());
    assert_eq!(looked(&store, 1), Some(store.read(&key(1))));
    assert_eq!(looked(&store, 99), Some(None));
    assert_eq!(store.rest_due(), None, "told once");
}

#[test]
fn what_this_process_writes_is_seen_by_the_next_look_and_what_another_wrote_after_one_read() {
    let (_dir, path) = empty_file();
    let open = || Store::open(&path, u64::MAX, Codec::default()).unwrap();
    let (ours, theirs) = (open(), open());
    warm(&ours);
    ours.write(&group(1..2)).unwrap();
    assert!(looked(&ours, 1).flatten().is_some());
    theirs.write(&group(2..3)).unwrap();
    assert_eq!(looked(&ours, 2), None);
    assert!(ours.read(&key(2)).is_some());
    assert!(looked(&ours, 1).flatten().is_some() && looked(&ours, 2).flatten().is_some());
}

#[test]
fn looks_count_as_use_of_what_they_find() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    store.write(&long(0..700)).unwrap();
    warm(&store);
    let used = |number: &u64| number.is_multiple_of(2);
    (0..700).filter(used).for_each(|number| assert!(looked(&store, number).flatten().is_some()));
    store.lower_bound(store.size().1 / 10 * 7);
    while !store.go_on_evicting().unwrap() {}
    assert!((0..700).filter(used).all(|number| store.read(&key(number)).is_some()));
    assert!(store.evictions() > 150);
}

#[test]
fn what_nobody_asks_for_is_let_go_and_not_in_the_way_of_who_makes_the_file_shorter() {
    let (_dir, path) = empty_file();
    let open = || Store::open(&path, u64::MAX, Codec::default()).unwrap();
    let (ours, theirs) = (open(), open());
    theirs.write(&long(0..100)).unwrap();
    warm(&ours);
    let due = ours.rest_due().unwrap();
    assert!(!theirs.compact().unwrap(), "somebody reads");
    let due = ours.tend(due.checked_sub(Duration::from_millis(1)).unwrap()).unwrap();
    assert!(looked(&ours, 1).is_some(), "asked for again");
    assert!(ours.tend(due).is_some_and(|later| later > due));
    assert_eq!(ours.tend(Instant::now() + KEPT), None);
    assert_eq!(looked(&ours, 1), None);
    assert!(theirs.compact().unwrap());
}

#[test]
fn a_file_that_others_write_does_not_grow_for_one_that_was_read() {
    let (_dir, path) = empty_file();
    let open = || Store::open(&path, u64::MAX, Codec::default()).unwrap();
    let (ours, theirs) = (open(), open());
    let write = |rounds: std::ops::Range<u64>| rounds.for_each(|_| theirs.write(&group(0..20)).unwrap());
    write(0..20);
    warm(&ours);
    assert!(ours.let_rest(Instant::now() + KEPT).is_none());
    let before = theirs.disk_bytes();
    write(20..60);
    assert!(theirs.disk_bytes() <= before + (256 << 10), "{} after {before}", theirs.disk_bytes());
}
