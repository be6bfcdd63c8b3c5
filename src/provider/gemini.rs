//! Gemini's OpenAI-compatible endpoint, <https://ai.google.dev/gemini-api/docs/openai>, where it is not.
//!
//! It refuses every field that it does not know, it gives the tool calls of a stream no index, and it ends an answer that
//! calls tools with `stop`.

use bytes::Bytes;
use memchr::memmem;

use super::EventReader;
use crate::error::Failure;
use crate::kinds::Body;

/// Fields that no answer depends on: book-keeping of OpenAI's, and where it keeps its cache.
pub(super) const LEFT_OUT: [&str; 7] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "user",
];

/// A whole answer as OpenAI would end it.
pub(super) fn read(answer: Bytes) -> Bytes {
    let mend = |mut choice: Body| {
        let message = choice.get("message").and_then(|raw| Body::parse(raw).ok()).unwrap_or_default();
        end(&mut choice, message.get("tool_calls").is_some_and(|calls| calls != "[]"));
        choice
    };
    if memmem::find(&answer, b"\"tool_calls\"").is_none() {
        return answer;
    }
    std::str::from_utf8(&answer).ok().and_then(|text| with_choices(text, mend)).unwrap_or(answer)
}

/// The same with each choice changed; `None` if it is no such answer.
fn with_choices(text: &str, mend: impl FnMut(Body) -> Body) -> Option<Bytes> {
    let mut answer = Body::parse(text).ok()?;
    let choices: Vec<Body> = serde_json::from_str(answer.get("choices")?).ok()?;
    answer.set("choices", &choices.into_iter().map(mend).collect::<Vec<_>>());
    Some(answer.write(&[]))
}

fn end(choice: &mut Body, has_calls: bool) {
    if has_calls && choice.get("finish_reason").is_some_and(|reason| reason.eq_ignore_ascii_case("\"stop\"")) {
        choice.set("finish_reason", &"tool_calls");
    }
}

/// How many tool calls each choice of a stream has begun.
#[derive(Default)]
pub(super) struct Reader {
    calls: Vec<(u64, u64)>,
}

impl EventReader for Reader {
    fn read(&mut self, data: String) -> Result<Option<String>, Failure> {
        // Nothing is to be done before the first call.
        if self.calls.is_empty() && memmem::find(data.as_bytes(), b"\"tool_calls\"").is_none() {
            return Ok(Some(data));
        }
        let mended = with_choices(&data, |choice| self.mend(choice));
        Ok(Some(mended.map_or(data, |event| String::from_utf8_lossy(&event).into_owned())))
    }
}

impl Reader {
    fn mend(&mut self, mut choice: Body) -> Body {
        let index = choice.get("index").and_then(|raw| raw.parse().ok()).unwrap_or(0);
        let place = self.calls.iter().position(|(known, _)| *known == index);
        let mut delta = choice.get("delta").and_then(|raw| Body::parse(raw).ok()).unwrap_or_default();
        let calls: Vec<Body> =
            delta.get("tool_calls").and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
        if calls.is_empty() {
            end(&mut choice, place.is_some());
            return choice;
        }
        let place = place.unwrap_or_else(|| {
            self.calls.push((index, 0));
            self.calls.len() - 1
        });
        let mut begun = self.calls.get(place).map_or(0, |(_, begun)| *begun);
        let number = |mut call: Body| {
            // A piece with an id begins a call, one without goes on with it.
            let is_new = call.get("id").is_some_and(|id| id != "\"\"") || begun == 0;
            begun += u64::from(is_new);
            if call.get("index").is_none() {
                call.set("index", &begun.saturating_sub(1));
            }
            call
        };
        let calls: Vec<Body> = calls.into_iter().map(number).collect();
        delta.set("tool_calls", &calls);
        choice.set("delta", &delta);
        if let Some((_, known)) = self.calls.get_mut(place) {
            *known = begun;
        }
        end(&mut choice, true);
        choice
    }
}
