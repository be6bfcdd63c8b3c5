//! A whole answer as the pieces and the events of a stream: for those who read them, when it came whole or from the cache.

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Body, Chunk, Completion, Kind};

/// Fields that OpenAI has in every event; any other is in the first one alone.
const IN_EVERY_EVENT: [&str; 6] = ["id", "object", "created", "model", "system_fingerprint", "service_tier"];

impl Completion {
    /// The events that a stream of this answer would have had: every choice with every field that is in it, the text of the
    /// first one in the pieces that it came in or a few words each, and the usage.
    #[must_use]
    pub fn events(&self) -> Vec<Chunk> {
        let events = self.written_events().unwrap_or_else(|| vec![self.plain_event()]);
        events.into_iter().map(|data| Chunk::Event { data }).collect()
    }

    /// What was read of an answer that is written in a way of its own.
    fn plain_event(&self) -> String {
        let calls = self.tool_calls.iter().enumerate().map(|(index, call)| {
            let function = json!({ "name": call.name, "arguments": call.arguments });
            json!({ "index": index, "id": call.id, "type": "function", "function": function })
        });
        let mut delta = json!({ "role": "assistant", "content": self.content });
        if !self.tool_calls.is_empty() {
            delta["tool_calls"] = calls.collect();
        }
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": self.finish_reason });
        json!({ "object": "chat.completion.chunk", "model": self.model(), "choices": [choice] }).to_string()
    }

    fn written_events(&self) -> Option<Vec<String>> {
        let mut first: Body = serde_json::from_slice(self.raw()).ok()?;
        let choices: Vec<Body> = serde_json::from_str(first.remove("choices")?.get()).ok()?;
        let usage = first.remove("usage").filter(|usage| usage.get() != "null");
        first.set("object", &"chat.completion.chunk");
        let mut later = first.clone();
        for (name, _) in first.iter().filter(|(name, _)| !IN_EVERY_EVENT.contains(name)) {
            later.remove(name);
        }
        let mut events: Vec<Body> = Vec::new();
        for (place, choice) in choices.into_iter().enumerate() {
            events.extend(self.events_of(place, choice)?.iter().map(|choice| one("choices", &[choice])));
        }
        let counted = || Kind::usage(self).filter(|usage| usage.estimated).map(|usage| raw(&usage.wire()));
        if let Some(usage) = usage.or_else(counted) {
            let mut event = one("choices", &[(); 0]);
            event.set("usage", &usage);
            events.push(event);
        }
        let write = |(place, event): (usize, Body)| {
            let mut whole = if place == 0 { first.clone() } else { later.clone() };
            event.iter().for_each(|(name, value)| whole.set(name, &verbatim(value)));
            String::from_utf8_lossy(&whole.write(&[])).into_owned()
        };
        Some(events.into_iter().enumerate().map(write).collect())
    }

    /// What each event says of one choice: who speaks, the texts, the rest of the message, the calls, and why it ended with
    /// the rest of the choice.
    fn events_of(&self, place: usize, mut choice: Body) -> Option<Vec<Body>> {
        let index: u64 = choice.remove("index").and_then(|index| index.get().parse().ok()).unwrap_or(place as u64);
        let finish_reason = choice.remove("finish_reason");
        let mut message: Body = serde_json::from_str(choice.remove("message")?.get()).ok()?;
        message.drop_nulls();
        let mut deltas = vec![one("role", &message.remove("role").unwrap_or_else(|| raw(&"assistant")))];
        deltas.extend(self.texts(index, &mut message));
        let calls = message.remove("tool_calls");
        let calls: Vec<Body> = calls.map_or(Some(Vec::new()), |calls| serde_json::from_str(calls.get()).ok())?;
        deltas.extend((!message.is_empty()).then_some(message));
        deltas.extend(calls.into_iter().enumerate().map(|(place, mut call)| {
            call.set("index", &place);
            one("tool_calls", &[call])
        }));
        let said = |delta: &Body| {
            let mut event = one("index", &index);
            event.set("delta", delta);
            event
        };
        let mut events: Vec<Body> = deltas.iter().map(said).collect();
        let mut end = said(&Body::new());
        choice.iter().for_each(|(name, value)| end.set(name, &verbatim(value)));
        end.set("finish_reason", &finish_reason);
        for event in &mut events {
            event.set("finish_reason", &());
        }
        events.push(end);
        Some(events)
    }

    /// Takes the texts of the first choice out of its message, in their pieces; what is not plain text stays.
    fn texts(&self, index: u64, message: &mut Body) -> Vec<Body> {
        if index != 0 {
            return Vec::new();
        }
        let is_text = |message: &Body, name: &str| message.get(name).is_some_and(|raw| raw.starts_with('"'));
        let reasoning = ["reasoning_content", "reasoning"].into_iter().find(|name| is_text(message, name));
        let content = Some("content").filter(|name| is_text(message, name));
        let mut texts = Vec::new();
        for chunk in self.chunks() {
            match (chunk, content, reasoning) {
                (Chunk::Content { delta }, Some(name), _) | (Chunk::Reasoning { delta }, _, Some(name)) => {
                    texts.push(one(name, &delta));
                }
                _ => {}
            }
        }
        content.into_iter().chain(reasoning).for_each(|name| drop(message.remove(name)));
        texts
    }
}

fn one(name: &str, value: &impl Serialize) -> Body {
    let mut body = Body::new();
    body.set(name, value);
    body
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("plain data serialises")
}

/// The text of a field as it stands.
fn verbatim(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| raw(&()))
}

/// Words in one chunk of a replayed answer: about what providers send.
const WORDS_PER_CHUNK: usize = 3;

impl Completion {
    /// The chunks that a stream of this answer gives: those that it came in; of an answer that came whole the reasoning,
    /// the content in pieces of whole words, the tool calls.
    #[must_use]
    pub fn chunks(&self) -> Vec<Chunk> {
        let reasoning = self.reasoning().unwrap_or_default();
        let as_it_came = self.pieces().and_then(|pieces| pieces.chunks(&self.content, &reasoning, &self.tool_calls));
        if let Some(chunks) = as_it_came {
            return chunks;
        }
        let reasoning = pieces(&reasoning, WORDS_PER_CHUNK).map(|delta| Chunk::Reasoning { delta: delta.to_owned() });
        let content = pieces(&self.content, WORDS_PER_CHUNK).map(|delta| Chunk::Content { delta: delta.to_owned() });
        let calls = self.tool_calls.iter().zip(0..).map(|(call, index)| Chunk::ToolCall {
            index,
            id: Some(call.id.clone()).filter(|id| !id.is_empty()),
            name: Some(call.name.clone()).filter(|name| !name.is_empty()),
            arguments: call.arguments.clone(),
        });
        reasoning.chain(content).chain(calls).collect()
    }
}

/// A text in pieces of `words` words, each with the space after it; together they are the text.
pub(crate) fn pieces(text: &str, words: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut begun = 0;
        let mut was_space = true;
        let next = rest.char_indices().find(|(_, letter)| {
            let begins = was_space && !letter.is_whitespace();
            was_space = letter.is_whitespace();
            begun += usize::from(begins);
            begun > words
        });
        let (piece, remainder) = rest.split_at(next.map_or(rest.len(), |(end, _)| end));
        rest = remainder;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use super::super::StreamAssembly;
    use super::*;

    const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","x_citations":["a",1.10],
        "choices":[
            {"index":0,"message":{"role":"assistant","content":"one two three four five","refusal":null,
                "annotations":[{"type":"url_citation"}],
                "tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"},"extra":1}]},
             "logprobs":{"content":[{"token":"one","logprob":-0.5}]},"finish_reason":"tool_calls"},
            {"index":1,"message":{"role":"assistant","content":"other"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;

    fn events(answer: &str) -> Vec<String> {
        let completion = Completion::parse(Bytes::copy_from_slice(answer.as_bytes())).unwrap();
        let data = |chunk| match chunk {
            Chunk::Event { data } => data,
            other => panic!("{other:?}"),
        };
        completion.events().into_iter().map(data).collect()
    }

    #[test]
    fn a_stream_of_an_answer_says_what_the_answer_says() {
        let mut assembly = StreamAssembly::default();
        for event in events(ANSWER) {
            assembly.push(&event, &mut Vec::new()).unwrap();
        }
        let whole: Value = serde_json::from_slice(assembly.finish().unwrap().raw()).unwrap();
        let mut expected: Value = serde_json::from_str(ANSWER).unwrap();
        expected["choices"][0]["message"].as_object_mut().unwrap().remove("refusal");
        assert_eq!(whole, expected);
    }

    #[test]
    fn unknown_fields_are_sent_once_to_the_letter() {
        let events = events(ANSWER);
        assert!(events[0].contains(r#""x_citations":["a",1.10]"#), "{}", events[0]);
        assert!(events[1..].iter().all(|event| !event.contains("x_citations")));
        assert!(events.iter().all(|event| event.contains(r#""id":"c1""#)));
        assert!(events.last().unwrap().contains(r#""choices":[],"usage":{"prompt_tokens":1,"#));
    }

    #[test]
    fn an_answer_in_a_form_of_its_own_is_none_and_not_streamed_as_an_empty_one() {
        let call = r#"[0,"t",{"name":"f","arguments":"{}"}]"#;
        let answer =
            format!(r#"{{"choices":[{{"message":{{"content":"hi","tool_calls":[{call}]}},"finish_reason":"stop"}}]}}"#);
        assert!(Completion::parse(answer.into()).is_err());
    }

    #[test]
    fn an_answer_without_fields_that_others_have_can_be_streamed() {
        let events = events(r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#);
        assert_eq!(
            events,
            [
                r#"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}"#,
                r#"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}"#,
                r#"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            ]
        );
    }
}
