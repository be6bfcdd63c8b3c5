//! Bytes from a damaged or hostile file are read without a panic and within bounds, and what was written is read back.
//!
//! The first byte says how the rest is read: as the bytes of a record, as they came or with a checksum that is right, so
//! that what it guards is reached; or as the choices that make a record, which is written, openly or encrypted, read and
//! damaged.

#![no_main]

mod memory;

use std::sync::{LazyLock, Once};

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use thryd::cache::{Codec, EncryptionKey, Key, MAX_PAYLOAD_BYTES, Namespace, Record};

static OPEN: LazyLock<Codec> = LazyLock::new(Codec::default);
static SEALED: LazyLock<Codec> = LazyLock::new(|| Codec::new(Some(&EncryptionKey::new([7; 32]))));

const CHECKSUM: usize = 8;

/// What reading may take beside the payload: copies of the input, and the state of a decompressor.
const ROOM: usize = 4 << 20;

fuzz_target!(|data: &[u8]| {
    static LAW: Once = Once::new();
    LAW.call_once(the_checksum_here_is_that_of_the_format);
    let Some((how, data)) = data.split_first() else { return };
    let key = Key([*how; 32]);
    match how % 4 {
        0 => {
            drop(read_within_bounds(&OPEN, &key, data));
            assert_eq!(read_within_bounds(&SEALED, &key, data), None, "read although nobody encrypted it");
        }
        1 => what_is_read_can_be_written(&key, &with_checksum(&key, data)),
        2 => what_is_written_is_read_back(&OPEN, &key, &mut Unstructured::new(data)),
        _ => what_is_written_is_read_back(&SEALED, &key, &mut Unstructured::new(data)),
    }
});

/// Reads a record, and fails if that takes more memory than the largest one has.
fn read_within_bounds(codec: &Codec, place: &Key, bytes: &[u8]) -> Option<(Key, Record)> {
    let (record, peak) = memory::peak(|| codec.decode(place, bytes));
    let bound = MAX_PAYLOAD_BYTES + 2 * bytes.len() + ROOM;
    assert!(peak <= bound, "reading {} bytes took {peak} bytes of memory, more than {bound}", bytes.len());
    record
}

fn what_is_read_can_be_written(place: &Key, bytes: &[u8]) {
    let Some((key, record)) = read_within_bounds(&OPEN, place, bytes) else { return };
    let written = OPEN.encode(&key, &record).expect("what could be read is not too long");
    assert_eq!(OPEN.decode(place, &written), Some((key, record)));
}

fn what_is_written_is_read_back(codec: &Codec, key: &Key, choices: &mut Unstructured<'_>) {
    let record = choose(choices);
    let place = &codec.place(key);
    let mut written = codec.encode(key, &record).expect("it is short");
    let read = read_within_bounds(codec, place, &written).expect("what was just written can be read");
    assert_eq!((&read.0, &read.1), (key, &record));

    let mut elsewhere = *place;
    elsewhere.0[31] ^= 1;
    assert_eq!(codec.decode(&elsewhere, &written), None, "read at another place");

    let at = choices.int_in_range(0..=written.len() - 1).unwrap_or(0);
    assert_eq!(codec.decode(place, &written[..at]), None, "read although cut off at {at}");
    written[at] ^= 1 << choices.int_in_range(0..=7).unwrap_or(0);
    assert_eq!(read_within_bounds(codec, place, &written), None, "read although byte {at} was changed");
    written.push(0);
    assert_eq!(codec.decode(place, &written), None, "read although something follows");
}

fn choose(choices: &mut Unstructured<'_>) -> Record {
    let mut number = || choices.arbitrary::<u64>().unwrap_or(0);
    let (created_ms, expires_ms, namespace) = (number(), number(), number() % 3);
    let deployment = choices.arbitrary::<String>().unwrap_or_default();
    // Repeated, so that compression has something to do.
    let times = choices.int_in_range(0..=99).unwrap_or(0);
    let question = choices.arbitrary::<Vec<u8>>().unwrap_or_default();
    let payload = choices.arbitrary::<Vec<u8>>().unwrap_or_default().repeat(times);
    Record {
        deployment,
        created_ms,
        expires_ms,
        namespace: Namespace::new(["", "a", "b"][namespace as usize]),
        question: question.into(),
        payload: payload.into(),
    }
}

/// The bytes with the checksum at their end that the format wants.
fn with_checksum(place: &Key, bytes: &[u8]) -> Vec<u8> {
    let hash = blake3::Hasher::new().update(&place.0).update(bytes).finalize();
    [bytes, &hash.as_bytes()[..CHECKSUM]].concat()
}

/// If this fails the format has another checksum, and this target does not get behind it any more.
fn the_checksum_here_is_that_of_the_format() {
    let place = Key([7; 32]);
    let record = choose(&mut Unstructured::new(&[1; 200]));
    let written = OPEN.encode(&place, &record).expect("it is short");
    let covered = &written[..written.len() - CHECKSUM];
    assert_eq!(with_checksum(&place, covered), written, "mend `with_checksum`: it is not that of the format");
}
