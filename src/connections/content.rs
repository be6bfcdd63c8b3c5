//! Whether a body is a stream of events, by what its head says and by how it begins. Pure.

/// The fields of an event, with the colon after them, and a comment.
const FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];

/// Whether a successful answer is a stream of events, or else has to be read whole.
///
/// How it begins is believed before its `content-type`, because servers and proxies send errors and whole answers under
/// `text/event-stream`, and streams under `application/json` or `text/plain`: no event begins like JSON or like a page, and
/// no JSON begins like an event. `is_wanted` decides where neither says anything.
#[must_use]
pub fn is_event_stream(content_type: Option<&str>, first: &[u8], is_wanted: bool) -> bool {
    let start = first.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(first).trim_ascii_start();
    if start.starts_with(b"{") || start.starts_with(b"[") || start.starts_with(b"<") {
        return false;
    }
    if FIELDS.iter().any(|field| start.starts_with(field)) {
        return true;
    }
    match media_type(content_type.unwrap_or_default()).as_str() {
        "text/event-stream" => true,
        "" | "text/plain" | "application/octet-stream" => is_wanted,
        _ => false,
    }
}

/// Whether a body has begun with nothing that tells what it is: white space, or a part of the name of an event's field.
#[must_use]
pub fn is_undecided(first: &[u8]) -> bool {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    let start = first.strip_prefix(MARK).unwrap_or(first).trim_ascii_start();
    let is_begun = |whole: &&[u8]| whole.len() > start.len() && whole.starts_with(start);
    FIELDS.iter().any(is_begun) || MARK.starts_with(first)
}

/// The media type without its parameters, in lower case.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_only_begun_to_say_what_it_is_is_waited_for() {
        for undecided in [&b""[..], b"\n\n", b"d", b" data", b"\xEF\xBB", b"\xEF\xBB\xBF", b"\xEF\xBB\xBFid"] {
            assert!(is_undecided(undecided), "{undecided:?}");
        }
        for decided in [&b"data:"[..], b":", b"{", b"\n<", b"something", b"\xEF\xBB\xBF{", b"idle"] {
            assert!(!is_undecided(decided), "{decided:?}");
        }
    }

    #[test]
    fn how_a_body_begins_is_believed_before_what_its_head_says() {
        let sse = Some("text/event-stream; charset=utf-8");
        let table: &[(Option<&str>, &[u8], Option<bool>)] = &[
            (sse, b"data: {\"id\":1}\n\n", Some(true)),
            (sse, b"da", Some(true)),
            (sse, b"", Some(true)),
            (sse, b"\n\n", Some(true)),
            (sse, b": OPENROUTER PROCESSING\n\n", Some(true)),
            (sse, b"something else", Some(true)),
            (sse, b"{\"error\":{}}", Some(false)),
            (sse, b"\xEF\xBB\xBF [{\"error\":{}}]", Some(false)),
            (sse, b"<!DOCTYPE html>", Some(false)),
            (Some("Text/Event-Stream"), b"", Some(true)),
            (Some("application/json"), b"{}", Some(false)),
            (Some("application/json"), b"", Some(false)),
            (Some("application/json"), b"data: {}\n\n", Some(true)),
            (Some("application/json"), b"\xEF\xBB\xBFevent: error\n", Some(true)),
            (Some("text/html"), b"<html>", Some(false)),
            (Some("text/html"), b"Sign in, please", Some(false)),
            (Some("text/plain"), b"data: {}\n\n", Some(true)),
            (Some("text/plain"), b"{}", Some(false)),
            (Some("text/plain"), b"something else", None),
            (Some("application/octet-stream"), b"", None),
            (None, b"data:{}\n\n", Some(true)),
            (None, b"{\"data\": []}", Some(false)),
            (None, b"da", None),
            (None, b"", None),
        ];
        for (content_type, first, expected) in table {
            let text = String::from_utf8_lossy(first);
            for is_wanted in [true, false] {
                let found = is_event_stream(*content_type, first, is_wanted);
                assert_eq!(found, expected.unwrap_or(is_wanted), "{content_type:?} {text:?} {is_wanted}");
            }
        }
    }
}
