//! Fears about a file that is encrypted: that it tells what is in it, that it is read with another key, that the key shows.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, Codec, EncryptionKey, Entry, Key, Namespace, Record};
use thryd::fields::Fields;

const KEY: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";
const QUESTION: &str = r#"{"messages":[{"content":"Who shot the sheriff of Nottingham?"}]}"#;
const ANSWER: &str = r#"{"choices":[{"message":{"content":"It was Robin, with an arrow of yew."}}]}"#;
const DEPLOYMENT: &str = "openai::gpt-4o-very-secret";
const TENANT: &str = "tenant-of-the-crown";

fn key(number: u64) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn encrypted(path: &Path, key: [u8; 32]) -> CacheOptions {
    CacheOptions { memory_bytes: 0, encryption_key: Some(EncryptionKey::new(key)), ..CacheOptions::at(path) }
}

fn entry() -> Entry<'static> {
    Entry {
        deployment: DEPLOYMENT,
        payload: Bytes::from_static(ANSWER.as_bytes()),
        question: Bytes::from_static(QUESTION.as_bytes()),
        ttl: Some(Duration::from_secs(3_600)),
        namespace: TENANT,
        since: None,
    }
}

fn record(number: u64) -> Record {
    Record {
        deployment: DEPLOYMENT.to_owned(),
        created_ms: 1_767_225_600_000 + number,
        expires_ms: u64::MAX,
        namespace: Namespace::new(TENANT),
        question: Bytes::from_static(QUESTION.as_bytes()),
        payload: Bytes::from_static(ANSWER.as_bytes()),
    }
}

/// What of these stands somewhere in the bytes, be it only eight bytes of it.
fn shown_in<'a>(bytes: &[u8], secrets: &[(&'a str, Vec<u8>)]) -> Vec<&'a str> {
    let parts: std::collections::HashSet<&[u8]> = bytes.windows(8).collect();
    let is_shown = |secret: &[u8]| secret.windows(8).any(|part| parts.contains(part));
    secrets.iter().filter(|(_, secret)| is_shown(secret)).map(|(name, _)| *name).collect()
}

#[tokio::test]
async fn nothing_of_what_is_kept_stands_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    // What cannot be compressed would be found as it is.
    let mut rng = fastrand::Rng::with_seed(1);
    let noise: Bytes = (0..200).map(|_| rng.u8(..)).collect();
    let secrets = [
        ("noise", noise.to_vec()),
        ("question", QUESTION.into()),
        ("answer", ANSWER.into()),
        ("deployment", DEPLOYMENT.into()),
        ("namespace", TENANT.into()),
        ("tag of the namespace", blake3::hash(TENANT.as_bytes()).as_bytes()[..8].into()),
        ("tag of the default namespace", blake3::hash(b"").as_bytes()[..8].into()),
        ("cache key", key(1).0.into()),
        ("encryption key", KEY.into()),
    ];
    for (name, options) in [
        ("plain", CacheOptions { memory_bytes: 0, ..CacheOptions::at(dir.path().join("plain")) }),
        ("encrypted", encrypted(&dir.path().join("encrypted"), KEY)),
    ] {
        let cache = Cache::open(options).unwrap();
        cache.put(key(1), entry());
        cache.put(key(2), Entry { payload: noise.clone(), namespace: "", ..entry() });
        cache.close().await.unwrap();
        drop(cache);
        let shown = shown_in(&std::fs::read(dir.path().join(name)).unwrap(), &secrets);
        if name == "encrypted" {
            assert_eq!(shown, Vec::<&str>::new());
        } else {
            // The search finds what is there to be found.
            assert!(
                ["noise", "tag of the namespace", "cache key"].iter().all(|part| shown.contains(part)),
                "{shown:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_kept_is_found_with_the_same_key_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    let cache = Cache::open(encrypted(&path, KEY)).unwrap();
    cache.put(key(1), entry());
    cache.put(key(2), Entry { namespace: "", ..entry() });
    cache.close().await.unwrap();
    drop(cache);
    let next = Cache::open(encrypted(&path, KEY)).unwrap();
    let found = next.disk_get(&key(1)).await.unwrap();
    assert_eq!((found.deployment.as_str(), &found.payload[..]), (DEPLOYMENT, ANSWER.as_bytes()));
    assert_eq!(&found.question[..], QUESTION.as_bytes());
    assert!(next.disk_get(&key(3)).await.is_none());
    assert_eq!(next.stats().read_errors, 0);
    // One tenant's are found by their tag.
    next.clear(Some(TENANT)).await.unwrap();
    assert!(next.disk_get(&key(1)).await.is_none());
    assert!(next.disk_get(&key(2)).await.is_some());
    next.clear(Some("")).await.unwrap();
    assert!(next.disk_get(&key(2)).await.is_none());
}

#[test]
fn a_record_is_read_with_its_own_key_alone() {
    let own = Codec::new(Some(&EncryptionKey::new(KEY)));
    let bytes = own.encode(&key(1), &record(1)).unwrap();
    let place = own.place(&key(1));
    assert_eq!(own.decode(&place, &bytes), Some((key(1), record(1))));
    for bit in 0..256 {
        let mut other = KEY;
        other[bit / 8] ^= 1 << (bit % 8);
        let other = Codec::new(Some(&EncryptionKey::new(other)));
        assert_eq!(other.decode(&place, &bytes), None);
        assert!(other.seal() != own.seal() && other.place(&key(1)) != place);
    }
    assert_eq!(Codec::default().decode(&place, &bytes), None);
    assert_eq!(Codec::default().decode(&key(1), &bytes), None);
}

#[test]
fn a_plain_record_that_somebody_puts_into_an_encrypted_file_is_a_miss() {
    let codec = Codec::new(Some(&EncryptionKey::new(KEY)));
    let place = codec.place(&key(1));
    let forged = record(1).encode(&place).unwrap();
    assert_eq!(Codec::default().decode(&place, &forged), Some((place, record(1))));
    assert_eq!(codec.decode(&place, &forged), None);
}

#[test]
fn the_same_answer_looks_different_each_time() {
    let codec = Codec::new(Some(&EncryptionKey::new(KEY)));
    let encode = || codec.encode(&key(1), &record(1)).unwrap();
    let (one, other) = (encode(), encode());
    let secret = [("one", one[one.len() - 100..].to_vec())];
    assert_eq!(shown_in(&other, &secret), Vec::<&str>::new());
    // What the header costs a sealed record: nonce, key, proof, but no checksum.
    let plain = record(1).encode(&key(1)).unwrap();
    assert_eq!(one.len() - plain.len(), 24 + 32 + 16 - 8);
}

#[test]
fn a_file_that_anyone_can_read_has_no_seal_and_two_keys_have_two() {
    let seal = |key| Codec::new(Some(&EncryptionKey::new(key))).seal();
    assert_eq!(Codec::default().seal(), 0);
    assert!(seal(KEY) != 0 && seal(KEY) == seal(KEY) && seal(KEY) != seal([0; 32]));
    assert_eq!(Codec::default().place(&key(1)), key(1));
    assert_eq!(Codec::default().namespace("a"), Namespace::new("a"));
}

// ---------------------------------------------------------------------------------------------------------- options

#[test]
fn a_key_is_read_from_hexadecimal_digits_and_from_base64() {
    let read = |key: &str| {
        let text = format!(r#"{{"path":"p","encryptionKey":"{key}"}}"#);
        CacheOptions::read(Fields::parse("cache options", &text).unwrap()).unwrap()
    };
    let options = CacheOptions { encryption_key: Some(EncryptionKey::new(KEY)), ..CacheOptions::at("p") };
    assert_eq!(read("303132333435363738396162636465666768696a6b6c6d6e6f70717273747576"), options);
    assert_eq!(read("MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="), options);
    assert_eq!(read("MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY"), options);
    assert_ne!(options, CacheOptions::at("p"));
}

#[test]
fn a_bad_key_is_refused_without_being_shown() {
    let read = |key: &str| {
        let text = format!(r#"{{"path":"p","encryptionKey":{key}}}"#);
        CacheOptions::read(Fields::parse("cache options", &text).unwrap()).unwrap_err()
    };
    for (key, got) in [
        (r#""mysecret1234""#, "a string of 12 characters"),
        (r#""""#, "a string of 0 characters"),
        // Of the right length, and no base64; base64, and of another length.
        (r#""mysecret1234mysecret1234mysecret1234mysecre!""#, "a string of 44 characters"),
        (r#""mysecret1234mysecret1234mysecret1234mysecret1234""#, "a string of 48 characters"),
        ("1234567890", "a value of another type"),
        ("true", "a value of another type"),
        (r#"{"0":12}"#, "an object"),
        ("[1,2,3]", "an array of 3"),
    ] {
        let error = read(key);
        let expected =
            format!("cache options.encryptionKey: expected 32 bytes as 64 hexadecimal digits or as base64, got {got}");
        assert_eq!(error.to_string(), expected, "{key}");
        assert!(!error.is_range);
    }
}

#[test]
fn a_key_with_nothing_to_encrypt_is_refused() {
    let text = r#"{"encryptionKey":"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="}"#;
    let error = CacheOptions::read(Fields::parse("cache options", text).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("cache options.encryptionKey: expected a path beside it"), "{error}");
    let options = CacheOptions { encryption_key: Some(EncryptionKey::new(KEY)), ..CacheOptions::default() };
    assert_eq!(Cache::open(options).unwrap_err().to_string(), error);
}

#[test]
fn a_key_is_in_nothing_that_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let options = encrypted(&dir.path().join("cache"), KEY);
    let cache = Cache::open(options.clone()).unwrap();
    let failure = Cache::open(encrypted(dir.path(), KEY)).unwrap_err();
    let codec = Codec::new(options.encryption_key.as_ref());
    let printed = format!(
        "{options:?} {:?} {cache:?} {codec:?} {:?} {failure:?} {failure}",
        options.encryption_key,
        cache.stats()
    );
    for spelling in ["0123456789abcdef", "30313233", "3031", "[48, 49", "48, 49, 50", "MDEyMzQ1"] {
        assert!(!printed.contains(spelling), "{printed}");
    }
}
