use super::*;

/// What becomes of a reply.
fn fault(reply: &str) -> Fault {
    let endpoint = Endpoint { host: "host".to_owned(), port: 1 };
    let password = Some("p@ssword".to_owned().into());
    let credentials = Credentials { username: Some("me".to_owned()), password };
    let value = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
    Fault::of(&value.extract_error().unwrap_err(), &endpoint, &credentials)
}

#[test]
fn what_servers_refuse_with_is_known_for_what_it_means() {
    let (stays, ends, table) = ((false, false), (true, true), (false, true));
    for (reply, expected) in [
        ("LOADING Redis is loading the dataset in memory", stays),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", stays),
        ("OOM command not allowed when used memory > 'maxmemory'.", stays),
        ("NOREPLICAS Not enough good replicas to write.", stays),
        ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.", stays),
        ("TRYAGAIN Multiple keys request during rehashing of slot", stays),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", stays),
        ("ERR Error running script (call to f_1): @user_script:3: -OOM command not allowed", stays),
        ("CLUSTERDOWN The cluster is down", table),
        ("CLUSTERDOWN Hash slot not served", table),
        ("READONLY You can't write against a read only replica.", ends),
        (
            "ERR Error running script (call to f_1): @user_script:3: -READONLY You can't write against a read only replica.",
            ends,
        ),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", ends),
        ("NOAUTH Authentication required.", ends),
    ] {
        let fault = fault(reply);
        assert_eq!((fault.ends_connection(), fault.is_of_old_table()), expected, "{reply}");
        assert_eq!((fault.kind, fault.message), (FaultKind::Refused, format!("host:1: {reply}")));
    }
    assert_eq!(fault("NOSCRIPT No matching script. Please use EVAL.").kind, FaultKind::NoScript);
    let moved = |ask| FaultKind::Moved { to: "10.0.0.1:7".to_owned(), ask };
    assert_eq!(fault("MOVED 3999 10.0.0.1:7").kind, moved(false));
    assert_eq!(fault("ASK 3999 10.0.0.1:7").kind, moved(true));
}

#[test]
fn who_is_not_accepted_is_told_without_what_was_said() {
    for (reply, expected) in [
        ("WRONGPASS invalid username-password pair or user is disabled.", "user and password are not accepted"),
        ("ERR unknown command 'AUTH', with args beginning with: 'me' 'p@ssword' ", "ERR unknown command 'AUTH'"),
        ("ERR unknown command `AUTH`, with args beginning with: `me`, `p@ssword`, ", "ERR unknown command `AUTH`"),
        ("ERR p@ssword is wrong", "ERR *** is wrong"),
        (
            "NOPERM User me has no permissions to run the 'evalsha' command",
            "NOPERM this user has no permissions to run the 'evalsha' command",
        ),
        ("ERR max number of clients reached", "ERR max number of clients reached"),
    ] {
        assert_eq!(fault(reply).message, format!("host:1: {expected}"));
    }
}
