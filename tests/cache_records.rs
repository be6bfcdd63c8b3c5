//! Fears about a stored answer's bytes: that they are read wrongly, that they change unnoticed, that they harm.

use bytes::Bytes;
use proptest::prelude::*;
use thryd::cache::{Codec, EncryptionKey, Key, MAX_PAYLOAD_BYTES, Namespace, Record};

fn key(number: u64) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::default()), any::<[u8; 32]>().prop_map(|key| Codec::new(Some(&EncryptionKey::new(key))))]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from),
        (0..3_000_usize).prop_map(|length| b"all the same ".iter().copied().cycle().take(length).collect()),
        r#"\{"id":"chatcmpl-[a-zA-Z0-9]{29}","object":"chat.completion","content":".{0,200}"\}"#.prop_map(Bytes::from),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let namespace = prop_oneof![Just(String::new()), any::<String>()];
    (any::<String>(), any::<u64>(), any::<u64>(), namespace, bytes(), bytes()).prop_map(
        |(deployment, created_ms, expires_ms, namespace, question, payload)| Record {
            deployment,
            created_ms,
            expires_ms,
            namespace: Namespace::new(&namespace),
            question,
            payload,
        },
    )
}

/// As thryd 0.1.0 wrote it.
fn version_1(key: &Key, record: &Record, length: u32) -> Vec<u8> {
    let compressed = lz4_flex::block::compress(&record.payload);
    let is_compressed = compressed.len() < record.payload.len();
    let namespace = if record.namespace == Namespace::new("") { "" } else { "tenant" };
    let bytes = [
        b"thR\x01".as_slice(),
        &[u8::from(is_compressed)],
        &record.created_ms.to_le_bytes(),
        &record.expires_ms.to_le_bytes(),
        &blake3::hash(namespace.as_bytes()).as_bytes()[..8],
        &u32::try_from(record.deployment.len()).unwrap().to_le_bytes(),
        &length.to_le_bytes(),
        record.deployment.as_bytes(),
        if is_compressed { &compressed } else { &record.payload },
    ]
    .concat();
    checked(key, bytes)
}

/// With the checksum that a plain record ends with.
fn checked(key: &Key, mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = blake3::Hasher::new().update(&key.0).update(&bytes).finalize();
    bytes.extend_from_slice(&checksum.as_bytes()[..8]);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_record_comes_back_as_it_was_with_the_key_it_was_written_under(record in record(), codec in codec()) {
        let bytes = codec.encode(&key(1), &record).unwrap();
        prop_assert_eq!(codec.decode(&codec.place(&key(1)), &bytes), Some((key(1), record)));
    }

    #[test]
    fn a_record_with_any_byte_changed_or_cut_off_is_a_miss(
        record in record(), codec in codec(), place in any::<prop::sample::Index>(), bit in 0..8,
    ) {
        let bytes = codec.encode(&key(1), &record).unwrap();
        let home = codec.place(&key(1));
        let place = place.index(bytes.len());
        let mut flipped = bytes.clone();
        flipped[place] ^= 1_u8 << bit;
        prop_assert_eq!(codec.decode(&home, &flipped), None);
        prop_assert_eq!(codec.decode(&home, &bytes[..place]), None);
        prop_assert_eq!(codec.decode(&home, &[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn a_record_in_the_place_of_another_is_a_miss(record in record(), codec in codec()) {
        let bytes = codec.encode(&key(1), &record).unwrap();
        prop_assert_eq!(codec.decode(&codec.place(&key(2)), &bytes), None);
    }

    #[test]
    fn no_bytes_make_reading_a_record_panic(noise in prop::collection::vec(any::<u8>(), 0..200), codec in codec()) {
        prop_assert_eq!(codec.decode(&key(1), &noise), None);
        for start in [b"thR\x01", b"thR\x02"] {
            prop_assert_eq!(codec.decode(&key(1), &[start, &noise[..]].concat()), None);
        }
    }

    /// Behind a right checksum anything may stand: whatever is read, nobody panics and nobody allocates the moon.
    #[test]
    fn a_writer_that_lies_behind_a_right_checksum_is_survived(
        flags in any::<u8>(), noise in prop::collection::vec(any::<u8>(), 0..60), version in 1..3_u8,
    ) {
        let bytes = checked(&key(1), [b"thR".as_slice(), &[version, flags], &noise].concat());
        if let Some(read) = Record::decode(&key(1), &bytes) {
            prop_assert!(read.payload.len() + read.question.len() <= MAX_PAYLOAD_BYTES);
        }
    }

    #[test]
    fn a_record_of_version_1_is_read_by_this_version(record in record(), is_tenant in any::<bool>()) {
        let namespace = Namespace::new(if is_tenant { "tenant" } else { "" });
        let record = Record { question: Bytes::new(), namespace, ..record };
        let bytes = version_1(&key(1), &record, u32::try_from(record.payload.len()).unwrap());
        prop_assert_eq!(Record::decode(&key(1), &bytes), Some(record));
        prop_assert_eq!(Record::decode(&key(2), &bytes), None);
    }
}

#[test]
fn a_record_that_claims_to_be_huge_allocates_nothing_for_it() {
    let payload = Bytes::from(vec![0; 1000]);
    let (deployment, question) = (String::new(), Bytes::new());
    let record = Record { deployment, created_ms: 0, expires_ms: 0, namespace: Namespace::new(""), question, payload };
    // Of version 1, well-formed and with a right checksum, by a writer that lies about its length.
    assert!(Record::decode(&key(1), &version_1(&key(1), &record, 1000)).is_some());
    for length in [999, 1001, 100_000_000, u32::MAX] {
        assert_eq!(Record::decode(&key(1), &version_1(&key(1), &record, length)), None, "{length}");
    }
    // Of version 2: after magic, flags and two times of one byte each stands the length of the body, here 1,002.
    let bytes = record.encode(&key(1)).unwrap();
    let (before, after) = (&bytes[..7], &bytes[9..bytes.len() - 8]);
    let with_length = |length: &[u8]| checked(&key(1), [before, length, after].concat());
    assert_eq!(with_length(&[0xea, 0x07]), bytes);
    for length in [&[0xe9, 0x07][..], &[0xeb, 0x07], &[0xff, 0xff, 0xff, 0x1f], &[0xff; 9], &[0xff; 10], &[]] {
        assert_eq!(Record::decode(&key(1), &with_length(length)), None, "{length:?}");
    }
}

#[test]
fn what_is_longer_than_the_largest_answer_is_not_written() {
    let namespace = Namespace::new("");
    let deployment = String::new();
    let question = Bytes::new();
    let payload = Bytes::from(vec![0; MAX_PAYLOAD_BYTES]);
    let record = Record { deployment, created_ms: 0, expires_ms: 1, namespace, question, payload };
    let bytes = record.encode(&key(1)).unwrap();
    assert_eq!(Record::decode(&key(1), &bytes).as_ref(), Some(&record));
    let longer = Record { payload: Bytes::from(vec![0; MAX_PAYLOAD_BYTES + 1]), ..record.clone() };
    assert_eq!(longer.encode(&key(1)), None);
    let with_question = Record { question: Bytes::from(vec![0; 2 << 20]), ..record };
    assert_eq!(with_question.encode(&key(1)), None);
}

// --------------------------------------------------------------------------------------------------- golden records

fn golden() -> (Key, Record) {
    let payload = r#"{"answer":"the quick brown fox, the quick brown fox, the quick brown fox"}"#;
    let record = Record {
        deployment: "openai::gpt-4o".to_owned(),
        created_ms: 1_767_225_600_000,
        expires_ms: 1_767_830_400_000,
        namespace: Namespace::new("tenant"),
        question: Bytes::from_static(br#"{"messages":[{"content":"Hi","role":"user"}]}"#),
        payload: Bytes::from_static(payload.as_bytes()),
    };
    (Key(*blake3::hash(b"question").as_bytes()), record)
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_bytes_that_version_0_1_0_wrote_are_read_for_ever() {
    let (key, record) = golden();
    let record = Record { question: Bytes::new(), ..record };
    let compressed = "746852010100a8da769b010000002ce79a9b010000a2115ff2e5a725380e0000004a0000006f70656e61693a3a6770742d34\
                      6fff117b22616e73776572223a2274686520717569636b2062726f776e20666f782c201500116020666f78227da33cce16\
                      5e6ec9aa";
    assert_eq!(Record::decode(&key, &from_hex(compressed)).as_ref(), Some(&record));
    let plain = "746852010000a8da769b010000002ce79a9b010000a2115ff2e5a725380e000000050000006f70656e61693a3a6770742d346f73\
                 686f727419430e3df5b01bf9";
    let short = Record { payload: Bytes::from_static(b"short"), ..record };
    assert_eq!(Record::decode(&key, &from_hex(plain)), Some(short));
}

/// A record whose body cannot be shortened, so that its bytes are the layout and nothing else.
fn incompressible() -> (Key, Record) {
    let (key, record) = golden();
    let payload = blake3::hash(b"noise").as_bytes().to_vec().into();
    (key, Record { deployment: "a::b".to_owned(), question: Bytes::from_static(b"?"), payload, ..record })
}

const GOLDEN_KEY: [u8; 32] = [7; 32];

/// Compressed with the dictionary: how is the library's business, that it is read is ours.
#[test]
fn the_bytes_that_this_version_writes_are_read_for_ever() {
    let compressed = "746852020180d0eab6b7338088b2a002a2115ff2e5a7253887010000750100700e48697d69636b6e20666f78227d0af05104306c\
                      7117e69b1d50c6060196c705452340ec312f9365b67734200248e7652dd8c7369f";
    let (key, record) = golden();
    assert_eq!(Record::decode(&key, &from_hex(compressed)), Some(record));
    // Without it nothing that was ever compressed can be read.
    let dictionary = blake3::hash(include_bytes!("../src/compression/1.zdict"));
    assert_eq!(dictionary.to_string(), "938d2db4b666f0178c3604e37c1b129a4a2fa19ed35ad8db3cacb87c9f42b518");
}

#[test]
fn the_layout_of_a_record_does_not_move() {
    let plain = "746852020080d0eab6b7338088b2a002a2115ff2e5a725382704613a3a62013f7c8b079043b6565908f11ea309215e046e7adf6bfcca\
                 633d2a55fcb5b9d8c4a308cd9f0631a40ff3";
    let (key, record) = incompressible();
    assert_eq!(record.encode(&key).unwrap(), from_hex(plain));
    assert_eq!(Record::decode(&key, &from_hex(plain)), Some(record));
}

#[test]
fn what_is_derived_from_an_encryption_key_does_not_move() {
    let codec = Codec::new(Some(&EncryptionKey::new(GOLDEN_KEY)));
    let place = "a65276475ad583cbc6147cc2849632fd7f0f39082f75a56e7320494a18fdca2d";
    let sealed = "746852022080d0eab6b7338088b2a002a2115ff2e5a72538341242071639981a36970654fc193c64dc832b42f8f3f82e93b7a744ef73\
                  7cdd0223ebef3f2ea87841ebaad0f7553813fc24caa195c8c53df7523f8a84242b6e97f1cefb2a0e8bcfa852fb79eee3f140076ad9\
                  ae299b40fbf90c936b7a4fe25616eb88bef3076d6455469447020b4c13";
    let (key, record) = incompressible();
    assert_eq!(codec.place(&key).0.to_vec(), from_hex(place));
    assert_eq!(codec.decode(&codec.place(&key), &from_hex(sealed)), Some((key, record)));
    assert_eq!(codec.seal(), 0xfcc9_b7a2_a6b6_3ea1);
    assert_eq!(format!("{:?}", codec.namespace("tenant")), "Namespace(12550832539899634164)");
}

/// Prints the bytes that the tests above hold on to: for a new version or a new dictionary.
#[test]
#[ignore = "prints"]
fn print_the_golden_bytes() {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (key, record) in [incompressible(), golden()] {
        for codec in [Codec::default(), Codec::new(Some(&EncryptionKey::new(GOLDEN_KEY)))] {
            println!("{}", hex(codec.encode(&key, &record).unwrap()));
        }
    }
    let codec = Codec::new(Some(&EncryptionKey::new(GOLDEN_KEY)));
    println!("{:#018x} {} {:?}", codec.seal(), hex(codec.place(&golden().0).0.to_vec()), codec.namespace("tenant"));
    println!("{}", blake3::hash(include_bytes!("../src/compression/1.zdict")));
}
