use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn shown(url: &str) -> String {
    Address::parse("limits options.redis", url).unwrap().to_string()
}

#[test]
fn the_urls_of_other_clients_mean_what_they_mean_there() {
    let same = [
        ("redis://localhost", "redis://localhost:6379"),
        ("REDISS://host:1/2", "rediss://host:1/2"),
        ("redis://host?db=3", "redis://host:6379/3"),
        ("redis://[::1]:7000", "redis://[::1]:7000"),
        ("valkey://host", "redis://host:6379"),
        ("valkeys+sentinel://a/main", "rediss+sentinel://a:26379/main"),
        ("redis://a,b:7001", "redis+cluster://a:6379,b:7001"),
        ("rediss+cluster://a", "rediss+cluster://a:6379"),
        ("redis-cluster://a,b", "redis+cluster://a:6379,b:6379"),
        ("redis+sentinel://a,b:1/main", "redis+sentinel://a:26379,b:1/main"),
        ("redis+sentinel://a/main/4", "redis+sentinel://a:26379/main/4"),
        ("redis-sentinel://a,b/5#main", "redis+sentinel://a:26379,b:26379/main/5"),
        ("redis-sentinel://a?sentinelMasterId=main", "redis+sentinel://a:26379/main"),
    ];
    for (url, expected) in same {
        assert_eq!(shown(url), expected, "{url}");
    }
}

#[test]
fn credentials_are_read_and_never_shown() {
    for (url, username, password) in [
        ("redis://:p%40ss@h", None, Some("p@ss")),
        ("redis://me:secret/with@slash@h", Some("me"), Some("secret/with@slash")),
        ("redis://me@h", Some("me"), None),
    ] {
        let address = Address::parse("url", url).unwrap();
        assert_eq!(address.credentials.parts(), (username, password), "{url}");
        let text = format!("{address} {address:?} {:?}", address.credentials);
        assert!(!text.contains("p@ss") && !text.contains("secret/with"), "{text}");
    }
    let url = "redis+sentinel://:outer@a/m?sentinel_username=who&sentinel_password=inner";
    let address = Address::parse("url", url).unwrap();
    let Layout::Sentinels { credentials, .. } = &address.layout else { panic!("{address}") };
    assert_eq!(credentials.parts(), (Some("who"), Some("inner")));
    let text = format!("{address:?}");
    assert!(!text.contains("inner") && !text.contains("outer"), "{text}");
}

#[test]
fn what_is_no_such_url_is_refused_by_its_field_and_without_its_password() {
    for url in [
        "",
        "localhost:6379",
        "http://me:hunter2@host",
        "redisx://me:hunter2@host",
        "redis://me:hunter2@host:port",
        "redis://me:hunter2@",
        "redis://me:hunter2@host/first",
        "redis://me:hunter2@host/1/2",
        "redis://me:hunter2%4@host",
        "redis://me:hunter2@host?tls=1",
        "redis+sentinel://me:hunter2@host",
        "redis+cluster://me:hunter2@host/3",
        "redis+sentinel://h/m?sentinel_password=hunter2&more=1",
        "redis+sentinel://h/m?sentinel_password=more&hunter2=1",
        "redis://user:hunter2",
        "redis://user:hunter2/1",
        "redis://me:pass@host#hunter2",
        "redis://me:pass%+1hunter2@host",
        "me:hunter2@redis://host",
        "redis+sentinel://a/main?db=1&sentinel_password=#hunter2",
        "redis+sentinel://a?sentinelMasterId=main&sentinel_password=#hunter2",
    ] {
        let message = Address::parse("limits options.redis", url).unwrap_err().to_string();
        assert!(message.starts_with("limits options.redis: expected "), "{url}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_node_that_names_no_host_means_the_one_that_was_asked() {
    let to = |text| Endpoint::redirected(text, "same").unwrap().to_string();
    assert_eq!([to("10.0.0.1:7"), to(":7"), to("?:7"), to("::1:7")], ["10.0.0.1:7", "same:7", "same:7", "[::1]:7"]);
}

#[test]
fn what_is_not_encoded_in_a_password_is_of_it() {
    for (url, password, shown) in [
        ("redis://user:12?3abc@host", "12?3abc", "redis://host:6379"),
        ("redis://user:12#3abc@host", "12#3abc", "redis://host:6379"),
        ("redis://user:a/b?c#d@e@host:1?db=3", "a/b?c#d@e", "redis://host:1/3"),
    ] {
        let address = Address::parse("url", url).unwrap();
        assert_eq!((address.credentials.parts().1, address.to_string().as_str()), (Some(password), shown));
    }
    // Nobody can tell what this one is.
    let error = Address::parse("url", "redis://user:12?db=3@host").unwrap_err().to_string();
    assert_eq!(error, "url: expected parameters without an @, which is %40 there, got \"redis://…\"");
}

proptest! {
    #[test]
    fn a_password_is_never_shown_whatever_it_is_made_of(
        parts in vec(select(vec![
            "hunter", "hunter2", "@", ":", "/", "?", "#", "%", "%40", "%23", "=", "&", "[", "]", ",", " ", "\n", "db=", "1", "é",
            "://", "+", "redis", "sentinel_password=",
        ]), 1..8),
        form in select(vec![
            "redis://me:{}@host", "rediss://:{}@a:1,b?db=0", "redis://{}@host:7000/1", "redis+cluster://me:{}@a,b", "http://me:{}@h",
            "redis+sentinel://me:{}@a,b:2/main/3", "redis+sentinel://a/main?sentinel_password={}", "redis://me:{}@host#more",
            "redis+sentinel://me:word@a/main?db=1&sentinel_username=me&sentinel_password={}", "redis://me:{}@host?more=1",
        ]),
    ) {
        let url = form.replace("{}", &parts.concat());
        let shown = match Address::parse("url", &url) {
            Ok(address) => format!("{address} {address:?} {:?}", address.credentials),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains("hunter"), "{url:?}: {shown}");
    }
}
