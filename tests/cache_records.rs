//! Fears about a stored answer's bytes.

mod answers;

use answers::key;
use bytes::Bytes;
use proptest::prelude::*;
use thryd::cache::{Namespace, Record};

fn record() -> impl Strategy<Value = Record> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (0..3_000_usize).prop_map(|length| b"all the same ".iter().copied().cycle().take(length).collect()),
    ];
    (any::<String>(), any::<u64>(), any::<u64>(), any::<String>(), payload).prop_map(
        |(deployment, created_ms, expires_ms, namespace, payload)| Record {
            deployment,
            created_ms,
            expires_ms,
            namespace: Namespace::new(&namespace),
            question: Bytes::new(),
            payload: payload.into(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_record_comes_back_as_it_was(record in record()) {
        let bytes = record.encode(&key(1)).unwrap();
        prop_assert_eq!(Record::decode(&key(1), &bytes), Some(record));
    }

    #[test]
    fn a_record_with_any_byte_changed_or_cut_off_is_a_miss(record in record(), place in any::<prop::sample::Index>(), bit in 0..8) {
        let bytes = record.encode(&key(1)).unwrap();
        let place = place.index(bytes.len());
        let mut flipped = bytes.clone();
        flipped[place] ^= 1_u8 << bit;
        prop_assert_eq!(Record::decode(&key(1), &flipped), None);
        prop_assert_eq!(Record::decode(&key(1), &bytes[..place]), None);
        prop_assert_eq!(Record::decode(&key(2), &bytes), None);
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_eq!(Record::decode(&key(1), &longer), None);
    }

    #[test]
    fn no_bytes_make_reading_a_record_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Record::decode(&key(1), &bytes), None);
    }
}

#[test]
fn a_record_that_claims_to_be_huge_allocates_nothing_for_it() {
    // Well-formed and with a right checksum, by a writer that lies about its length.
    let record = Record {
        deployment: String::new(),
        created_ms: 0,
        expires_ms: 0,
        namespace: Namespace::new(""),
        question: Bytes::new(),
        payload: Bytes::from(vec![0; 1000]),
    };
    let mut bytes = record.encode(&key(1)).unwrap();
    let length_at = 4 + 1 + 8 + 8 + 8 + 4;
    bytes[length_at..length_at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let covered = bytes.len() - 8;
    let hash = blake3::Hasher::new().update(&key(1).0).update(&bytes[..covered]).finalize();
    bytes[covered..].copy_from_slice(&hash.as_bytes()[..8]);
    assert_eq!(Record::decode(&key(1), &bytes), None);
}
