//! Completions of any size and shape: what is deep costs no stack, what has no end is refused, and neither is repeated in words.

use bytes::Bytes;
use thryd::Kind;
use thryd::error::FailureClass;
use thryd::kinds::{Completion, CompletionRequest, StreamAssembly};

#[test]
fn what_is_nested_a_hundred_thousand_times_costs_no_stack() {
    for (open, close) in [("{\"a\":", "}"), ("[", "]")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let events = [
            format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"hi","x":{deep}}}}}],"y":{deep}}}"#),
            format!(r#"{{"choices":[{{"index":0,"delta":{{"x":{deep}}},"z":{deep},"finish_reason":"stop"}}]}}"#),
        ];
        let (mut assembly, mut chunks) = (StreamAssembly::default(), Vec::new());
        for event in &events {
            assembly.push(event, &mut chunks).unwrap();
        }
        let answer = assembly.finish().unwrap();
        assert_eq!(answer.content, "hi");
        assert!(std::str::from_utf8(answer.raw()).unwrap().contains(&deep), "kept as it came");
    }
}

#[test]
fn an_answer_of_more_parts_than_anyone_asks_for_is_none() {
    let many = |part: &dyn Fn(usize) -> String| (0..100_000).map(part).collect::<Vec<_>>().join(",");
    let choices = many(&|index| format!(r#"{{"index":{index},"delta":{{}}}}"#));
    let calls = many(&|index| format!(r#"{{"index":{index}}}"#));
    let fields = many(&|index| format!(r#""{index}":1"#));
    let events = [
        format!(r#"{{"choices":[{choices}]}}"#),
        format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{calls}]}}}}]}}"#),
        format!(r#"{{"choices":[],{fields}}}"#),
        format!(r#"{{"choices":[{{"delta":{{{fields}}}}}]}}"#),
    ];
    for event in &events {
        let failure = StreamAssembly::default().push(event, &mut Vec::new()).unwrap_err();
        assert_eq!(failure.class, FailureClass::Truncated);
        assert!(failure.message.len() <= 500);
    }
    // The same, one by one.
    let one_by_one: [&dyn Fn(usize) -> String; 3] = [
        &|index| format!(r#"{{"choices":[{{"index":{index},"delta":{{}}}}]}}"#),
        &|index| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{index}}}]}}}}]}}"#),
        &|index| format!(r#"{{"choices":[],"{index}":1}}"#),
    ];
    for event in one_by_one {
        let mut assembly = StreamAssembly::default();
        let refused = (0..1_000).find(|index| assembly.push(&event(*index), &mut Vec::new()).is_err());
        assert!(refused.is_some_and(|count| count > 128), "{refused:?}: OpenAI has up to 128");
    }
    // Fields of a choice that nobody knows, one by one: there is no room for more of them, and the answer is not sure.
    let mut assembly = StreamAssembly::default();
    for index in 0..1_000 {
        let event = format!(r#"{{"choices":[{{"delta":{{"content":"a","{index}":1}},"finish_reason":"stop"}}]}}"#);
        assembly.push(&event, &mut Vec::new()).unwrap();
    }
    let answer = assembly.finish().unwrap();
    assert_eq!((answer.content.len(), answer.is_storable()), (1_000, false));
}

#[test]
fn a_message_is_short_even_if_what_came_is_not() {
    let whole = format!(r#"{{"choices":"{}"}}"#, "x".repeat(1 << 20));
    let failure = Completion::read(&Bytes::from(whole), &CompletionRequest::message("hi")).unwrap_err();
    assert!(failure.message.len() <= 500 && failure.body.unwrap().len() <= 64 << 10);
}
