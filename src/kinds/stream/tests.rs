//! Events that are told by their text, against the same ones read.

use proptest::prelude::*;

use super::*;

/// Events of a few forms, so that many follow one like them.
fn event() -> impl Strategy<Value = String> {
    let content = prop_oneof![
        8 => r#""([a-z ]|\\n|\\u00e9|\\ud83d|\\ude00|\\"|\u{1f600}){0,4}""#.prop_map(String::from),
        1 => Just("null".to_owned()),
        1 => Just(r#"[{"type":"text","text":"t"}]"#.to_owned()),
        1 => Just(r#"[{"type":"image","url":"u"}]"#.to_owned()),
    ];
    let rest = prop_oneof![
        6 => Just(""), 2 => Just(r#","logprobs":null"#), 1 => Just(r#","x":"y""#), 1 => Just(r#","x":1"#),
        1 => Just(r#","logprobs":{"content":[1]}"#), 1 => Just(r#","x":"""#),
    ];
    let delta_rest = prop_oneof![
        8 => Just(""), 1 => Just(r#","role":"assistant""#), 1 => Just(r#","reasoning_content":"r""#),
        1 => Just(r#","refusal":"no""#), 1 => Just(r#","content":"twice""#),
        1 => Just(r#","tool_calls":[{"index":0,"id":"i","function":{"name":"n","arguments":"{}"}}]"#),
    ];
    let finish = prop_oneof![8 => Just("null"), 1 => Just(r#""stop""#), 1 => Just(r#""""#)];
    let top = prop_oneof![
        6 => Just(""), 2 => Just(r#","obfuscation":"ab""#), 2 => Just(r#","obfuscation":"c""#), 1 => Just(r#","id":2"#),
        1 => Just(r#","usage":{"prompt_tokens":1}"#), 1 => Just(r#","usage":null"#),
    ];
    let index = prop_oneof![8 => Just(0), 1 => Just(1)];
    (content, rest, delta_rest, finish, top, index).prop_map(|(content, rest, delta_rest, finish, top, index)| {
        format!(
            r#"{{"id":1,"choices":[{{"index":{index},"delta":{{"content":{content}{delta_rest}}}{rest},"finish_reason":{finish}}}]{top}}}"#
        )
    })
}

/// Chunks, and all that is known at the end.
fn assembled(events: &[String], is_remembered: bool) -> (Vec<Chunk>, String) {
    let (mut assembly, mut chunks) = (StreamAssembly::default(), Vec::new());
    for event in events {
        if !is_remembered {
            assembly.repeated = None;
        }
        assembly.push(event, &mut chunks).unwrap();
    }
    assembly.repeated = None;
    let shown = format!("{assembly:?}");
    (chunks, format!("{shown} {:?}", assembly.finish()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_event_that_is_told_by_its_text_says_what_it_would_have_said(
        distinct in prop::collection::vec(event(), 1..4),
        order in prop::collection::vec((0_usize..4, "[a-z ]{0,3}"), 1..24),
    ) {
        let events: Vec<_> = order
            .iter()
            .map(|(place, piece)| distinct[place % distinct.len()].replacen(r#""content":""#, &format!(r#""content":"{piece}"#), 1))
            .collect();
        prop_assert_eq!(assembled(&events, true), assembled(&events, false));
    }
}

#[test]
fn the_pieces_of_a_usual_stream_are_told_by_their_text() {
    let event = |delta: &str| format!(r#"{{"id":"a","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#);
    let (mut assembly, mut chunks) = (StreamAssembly::default(), Vec::new());
    assembly.push(&event(r#"{"role":"assistant","content":""}"#), &mut chunks).unwrap();
    assembly.push(&event(r#"{"content":"one"}"#), &mut chunks).unwrap();
    let repeated = assembly.repeated.as_ref().unwrap();
    assert_eq!(repeated.content(&event(r#"{"content":" two"}"#)), Some(r#"" two""#));
    assembly.push(&event(r#"{},"x":1"#), &mut chunks).unwrap();
    assert!(assembly.repeated.is_none(), "nothing is to be repeated");
}
