//! Fear: something in a request that costs tokens and is not counted, or is counted twice.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use thryd::Kind;
use thryd::kinds::{Body, Completion, CompletionRequest, Detail, Image, Prompt};

#[test]
fn everything_that_costs_tokens_is_counted_once() {
    let image = |detail: &str| json!({ "type": "image_url", "image_url": { "url": "http://x", "detail": detail } });
    let function = json!({ "name": "f", "arguments": "{}" });
    let body = json!({
        "messages": [
            { "role": "user", "name": "ann", "content": [{ "type": "text", "text": "look" }, image("low"), image("auto")] },
            { "role": "assistant", "tool_calls": [{ "id": "1", "type": "function", "function": function }] },
        ],
        "tools": [{ "type": "function" }], "functions": [{ "name": "g" }], "response_format": { "type": "text" },
        "max_completion_tokens": 7, "n": 2,
    });
    let request = Completion::request(Body::parse(&body.to_string()).unwrap());
    let request = request.unwrap();
    let prompt = Completion::prompt(&request);
    assert_eq!(prompt.texts, ["user", "ann", "look", "assistant", "f", "{}", r#"{"type":"text"}"#]);
    assert_eq!(prompt.tools, [r#"[{"type":"function"}]"#, r#"[{"name":"g"}]"#]);
    let unknown = |detail| Image { detail, size: None };
    assert_eq!(prompt.images, [unknown(Detail::Low), unknown(Detail::Auto)]);
    assert_eq!(prompt.overhead, 2 * 3 + 3 + 1);
    assert_eq!(prompt.completion, Some(14));
}

#[test]
fn the_size_of_a_picture_is_read_from_its_first_bytes() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\0\0\0\x02\0 and the rest";
    let gif = b"GIF89a\0\x04\0\x02 and the rest";
    let webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x03\0\xff\x01\0 and the rest";
    let sized = b"\xff\xc0\0\x11\x08\x02\0\x04\0\x03";
    let jpeg = [b"\xff\xd8\xff\xe0\0\x04\0\0", &sized[..]].concat();
    let profile = [b"\xff\xe2\xff\xff", &[0; 65_533][..]].concat();
    let late_jpeg = [b"\xff\xd8", &profile[..], &profile, sized].concat();
    let too_late_jpeg = [b"\xff\xd8", &profile.repeat(17)[..], sized].concat();
    for (bytes, size) in [
        (&png[..], Some((1024, 512))),
        (gif, Some((1024, 512))),
        (webp, Some((1024, 512))),
        (&jpeg, Some((1024, 512))),
        (&late_jpeg, Some((1024, 512))),
        (&too_late_jpeg, None),
        (&png[..20], None),
        (b"no picture at all, but long enough for one", None),
    ] {
        let url = format!("data:image/any;base64,{}", STANDARD.encode(bytes));
        let parts = json!([{ "type": "image_url", "image_url": { "url": url, "detail": "high" } }]);
        let request = CompletionRequest::messages(&json!([{ "role": "user", "content": parts }]));
        assert_eq!(Completion::prompt(&request).images, [Image { detail: Detail::High, size }], "{}", bytes.len());
    }
}

#[test]
fn what_is_neither_text_nor_a_picture_counts_as_a_picture_of_unknown_size() {
    let parts = json!([{ "type": "file", "file": { "file_id": "f" } }, { "type": "input_audio", "input_audio": {} }]);
    let request = CompletionRequest::messages(&json!([{ "role": "user", "content": parts }]));
    let prompt = Completion::prompt(&request);
    assert_eq!((prompt.images, prompt.overhead), (vec![Image::default(); 2], 6));
}

#[test]
fn a_message_of_another_form_counts_as_the_text_it_is_and_the_others_as_messages() {
    let odd = json!({ "content": [{ "text": "a" }, { "image_url": "" }, { "text": 1 }], "role": "user" });
    let request = CompletionRequest::messages(&json!([{ "role": "user", "content": "a" }, odd]));
    let prompt = Completion::prompt(&request);
    assert_eq!(
        prompt,
        Prompt { texts: vec!["user".into(), "a".into(), odd.to_string().into()], overhead: 9, ..prompt.clone() }
    );
    assert!(prompt.images.is_empty());
}
