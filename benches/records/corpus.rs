//! Chat answers as providers send them today, made from texts by a seeded generator.
//!
//! Two corpora share nothing but the providers' envelopes: one that the dictionary is trained on (`train.txt`), and one
//! to measure with (`measured.txt`, and this repository's documents and sources), which has other topics, other
//! programming languages, two natural languages and two providers that training never saw.

use std::path::Path;

use fastrand::Rng;
use thryd::kinds::{Chunk, Pieces};

use super::spelling::{escaped, hexadecimal, indented, random, uuid};

/// One answer, and what was asked for it.
pub struct Answer {
    /// Which provider's envelope it is in.
    pub provider: &'static str,
    /// `provider::model`.
    pub deployment: String,
    /// The question, as JSON.
    pub question: String,
    /// The answer's JSON as it came.
    pub raw: String,
    /// What the cache keeps of it: the usage, of a streamed one the lengths of its pieces, and the JSON; each a line.
    pub payload: String,
}

/// Texts by what they are; all are the insides of JSON strings.
pub struct Corpus {
    sentences: Vec<String>,
    lists: Vec<String>,
    code: Vec<String>,
    json: Vec<String>,
    languages: Vec<String>,
    reasoning: Vec<String>,
    tools: Vec<(String, String)>,
    providers: &'static [(&'static str, &'static [&'static str])],
}

const TRAINED: &[(&str, &[&str])] = &[
    ("openai", &["gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14"]),
    ("openai-streamed", &["gpt-4o-2024-08-06", "gpt-4.1-2025-04-14", "gpt-5-2025-08-07"]),
    ("openai-compact", &["gpt-4o-2024-08-06", "gpt-5-2025-08-07", "gpt-5-mini-2025-08-07", "o3-mini-2025-01-31"]),
    ("azure", &["gpt-4o-2024-11-20", "gpt-4.1-2025-04-14"]),
    ("anthropic", &["claude-sonnet-4-20250514", "claude-3-5-haiku-20241022", "claude-opus-4-20250514"]),
    ("openrouter", &["openai/gpt-4o-mini", "anthropic/claude-sonnet-4", "google/gemini-2.5-flash"]),
    ("groq", &["llama-3.3-70b-versatile", "llama-3.1-8b-instant"]),
    ("deepseek", &["deepseek-chat", "deepseek-reasoner"]),
    ("gemini", &["gemini-2.5-flash", "gemini-2.0-flash"]),
    ("vllm", &["meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-72B-Instruct"]),
];

/// Other models, and at the end two providers that training did not see.
const MEASURED: &[(&str, &[&str])] = &[
    ("openai", &["gpt-4o-2024-11-20", "gpt-4o-mini-2024-07-18", "gpt-4.1-nano-2025-04-14"]),
    ("openai", &["gpt-5-nano-2025-08-07", "gpt-4.1-2025-04-14"]),
    ("openai", &["gpt-5.1-2025-11-13", "o4-mini-2025-04-16"]),
    ("openai-compact", &["gpt-4o-2024-11-20", "gpt-5-mini-2025-08-07", "gpt-5.1-2025-11-13"]),
    ("openai-streamed", &["gpt-4.1-mini-2025-04-14", "gpt-5-mini-2025-08-07"]),
    ("openai-streamed", &["gpt-4o-mini-2024-07-18", "gpt-5.1-2025-11-13"]),
    ("azure", &["gpt-4o-2024-08-06", "gpt-5-chat-2025-08-07"]),
    ("anthropic", &["claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "claude-opus-4-1-20250805"]),
    ("anthropic", &["claude-sonnet-4-5-20250929"]),
    ("openrouter", &["x-ai/grok-4-fast", "moonshotai/kimi-k2", "openai/gpt-5-mini"]),
    ("groq", &["openai/gpt-oss-120b", "qwen/qwen3-32b"]),
    ("deepseek", &["deepseek-chat", "deepseek-reasoner"]),
    ("gemini", &["gemini-3-pro-preview", "gemini-2.5-flash-lite"]),
    ("vllm", &["google/gemma-3-27b-it", "microsoft/phi-4"]),
    ("mistral", &["mistral-large-2411", "ministral-8b-latest"]),
    ("together", &["Qwen/Qwen3-235B-A22B-Instruct-2507-tput", "zai-org/GLM-4.6"]),
];

impl Corpus {
    /// What the dictionary is made from.
    pub fn training() -> Self {
        Self::read(include_str!("train.txt"), TRAINED)
    }

    /// What is measured with: shares no text with the other.
    pub fn measured() -> Self {
        let mut corpus = Self::read(include_str!("measured.txt"), MEASURED);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_else(|why| panic!("{name}: {why}"));
        for name in
            ["LICENSE", "README.md", "docs/limits.md", "docs/failures.md", "docs/extending.md", "docs/design.md"]
        {
            for paragraph in read(name).split("\n\n").filter(|text| text.len() > 60) {
                let is_prose = paragraph.starts_with(|first: char| first.is_alphabetic());
                let texts = if is_prose { &mut corpus.sentences } else { &mut corpus.lists };
                texts.push(escaped(paragraph));
            }
        }
        for (name, language) in [("src/tracker/window.rs", "rust"), ("src/fields.rs", "rust"), ("js/encode.ts", "ts")] {
            let source = read(name);
            for function in source.split("\n\n").filter(|text| (200..1_800).contains(&text.len())) {
                corpus.code.push(escaped(&format!("```{language}\n{function}\n```")));
            }
        }
        corpus
    }

    fn read(text: &str, providers: &'static [(&'static str, &'static [&'static str])]) -> Self {
        let section = |name: &str| {
            let start = text.find(&format!("@{name}\n")).expect("the section is there") + name.len() + 2;
            let end = text[start..].find("\n@").map_or(text.len(), |end| start + end);
            text[start..end].split("\n\n").map(str::trim).filter(|block| !block.is_empty()).map(str::to_owned)
        };
        let sentences = section("prose").flat_map(|block| {
            let sentences: Vec<_> = block.split_inclusive(". ").map(|text| text.trim_end().to_owned()).collect();
            sentences
        });
        let tools = section("tool").map(|block| {
            let (name, arguments) = block.split_once('\n').expect("a name and its arguments");
            (name.to_owned(), arguments.to_owned())
        });
        Self {
            sentences: sentences.collect(),
            lists: section("list").collect(),
            code: section("code").collect(),
            json: section("json").collect(),
            languages: section("language").collect(),
            reasoning: section("reasoning").collect(),
            tools: tools.collect(),
            providers,
        }
    }

    /// The next answer: of a length from 50 to 3,000 bytes of content, half of them below 700.
    pub fn answer(&self, rng: &mut Rng) -> Answer {
        let (provider, models) = *rng.choice(self.providers).expect("providers");
        let model = *rng.choice(models).expect("models");
        let is_tool_call = rng.u8(..100) < 8;
        let content = if is_tool_call { String::new() } else { self.content(rng) };
        let raw = self.envelope(rng, provider, model, &content, is_tool_call);
        let vendor = provider.split('-').next().unwrap_or(provider);
        let deployment = format!("{vendor}::{model}");
        let question = self.question(rng, &deployment);
        let (prompt, completion) = (rng.usize(12..2_000), content.len() / 4 + 1);
        let cost = if rng.bool() { format!(",\"cost\":0.000{}", rng.u32(..999_999)) } else { String::new() };
        let payload = format!(
            "{{\"promptTokens\":{prompt},\"completionTokens\":{completion},\"totalTokens\":{},\"cachedPromptTokens\":0,\
             \"reasoningTokens\":0{cost}}}\n{}{raw}",
            prompt + completion,
            if provider == "openai-streamed" { pieces(&content) } else { String::new() },
        );
        Answer { provider, deployment, question, raw, payload }
    }

    /// The sketch of a question, as the cache keeps it: long texts by their beginning, their length and their hash.
    fn question(&self, rng: &mut Rng, deployment: &str) -> String {
        let mut message = |role: &str| {
            let text = rng.choice(&self.sentences).expect("sentences");
            let text = match text.char_indices().nth(40) {
                // Not in the middle of an escape.
                Some((end, _)) if rng.u8(..4) > 0 && !text[..end].ends_with('\\') => {
                    format!("{}…{}:{}", &text[..end], rng.u32(80..6_000), hexadecimal(rng, 8))
                }
                _ => text.clone(),
            };
            format!("{{\"content\":\"{text}\",\"role\":\"{role}\"}}")
        };
        let (system, user) = (message("system"), message("user"));
        let system = if rng.u8(..3) > 0 { system + "," } else { String::new() };
        let limit = if rng.bool() { "\"max_completion_tokens\":1024," } else { "" };
        format!(
            "{{\"kind\":\"completion\",\"models\":[\"{deployment}\"],\"request\":{{{limit}\"messages\":[{system}{user}],\
             \"temperature\":0.{}}}}}",
            rng.u8(..10)
        )
    }

    fn content(&self, rng: &mut Rng) -> String {
        // About a log-normal: most answers are short, some are long.
        let spread: f64 = (0..6).map(|_| rng.f64() - 0.5).sum::<f64>() / 0.707;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "50 to 3,000")]
        let length = (700.0 * (1.1 * spread).exp()).clamp(50.0, 3_000.0) as usize;
        let kind = rng.u8(..100);
        if kind < 8 {
            return rng.choice(&self.json).expect("json").clone();
        }
        let mut content = String::new();
        while content.len() < length {
            if !content.is_empty() {
                content.push_str("\\n\\n");
            }
            match kind {
                8..16 => content.push_str(rng.choice(&self.languages).expect("languages")),
                16..34 if rng.bool() => content.push_str(rng.choice(&self.code).expect("code")),
                34..54 if rng.bool() => content.push_str(rng.choice(&self.lists).expect("lists")),
                _ => {
                    for index in 0..rng.usize(1..6) {
                        if index > 0 {
                            content.push(' ');
                        }
                        content.push_str(rng.choice(&self.sentences).expect("sentences"));
                        if content.len() > length {
                            break;
                        }
                    }
                }
            }
            if content.len() > 3_000 {
                break;
            }
        }
        content
    }

    fn envelope(&self, rng: &mut Rng, provider: &str, model: &str, content: &str, is_tool_call: bool) -> String {
        let created = 1_735_000_000 + rng.u32(..40_000_000);
        let (prompt, completion) = (rng.u32(12..2_000), rng.u32(10..900));
        let (total, cached) = (prompt + completion, prompt / 128 * 128 * rng.u32(..2));
        let reasoning = self.reasoning[rng.usize(..self.reasoning.len())].as_str();
        let thought = rng.u32(..500);
        let finish = if is_tool_call {
            "tool_calls"
        } else if rng.u8(..50) == 0 {
            "length"
        } else {
            "stop"
        };
        let text = if is_tool_call { "null".to_owned() } else { format!("\"{content}\"") };
        let call = is_tool_call.then(|| {
            let (name, arguments) = rng.choice(&self.tools).expect("tools");
            let id = random(rng, 24);
            format!("[{{\"id\":\"call_{id}\",\"type\":\"function\",\"function\":{{\"name\":\"{name}\",\"arguments\":\"{arguments}\"}}}}]")
        });
        let listed = call.as_deref().unwrap_or(if provider == "mistral" { "null" } else { "[]" });
        let calls = call.as_deref().map_or(String::new(), |call| format!(",\"tool_calls\":{call}"));
        let details = format!(
            "\"prompt_tokens_details\":{{\"cached_tokens\":{cached},\"audio_tokens\":0}},\"completion_tokens_details\":\
             {{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}"
        );
        let counts = format!("\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}");
        match provider {
            "openai" | "openai-compact" => {
                let id = random(rng, 29);
                let fingerprint = format!("\"fp_{}\"", hexadecimal(rng, 10));
                let fingerprint = if model.starts_with("gpt-5") { "null" } else { &fingerprint };
                let compact = format!(
                    "{{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":\"{model}\",\
                     \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{text}{calls},\"refusal\":null,\
                     \"annotations\":[]}},\"logprobs\":null,\"finish_reason\":\"{finish}\"}}],\"usage\":{{{counts},{details}}},\
                     \"service_tier\":\"default\",\"system_fingerprint\":{fingerprint}}}"
                );
                if provider == "openai" { indented(&compact) + "\n" } else { compact }
            }
            // As thryd puts the pieces of a stream together.
            "openai-streamed" => {
                let id = random(rng, 29);
                let (fingerprint, padding) = (hexadecimal(rng, 10), rng.usize(1..16));
                let padding = random(rng, padding);
                format!(
                    "{{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":\"{model}\",\
                     \"service_tier\":\"default\",\"system_fingerprint\":\"fp_{fingerprint}\",\"choices\":[{{\"finish_reason\":\
                     \"{finish}\",\"index\":0,\"message\":{{\"content\":{text},\"role\":\"assistant\"{calls}}}}}],\"usage\":\
                     {{{counts},{details}}},\"obfuscation\":\"{padding}\"}}"
                )
            }
            "azure" => {
                let id = random(rng, 29);
                let fingerprint = hexadecimal(rng, 10);
                let safe = "{\"hate\":{\"filtered\":false,\"severity\":\"safe\"},\"self_harm\":{\"filtered\":false,\
                            \"severity\":\"safe\"},\"sexual\":{\"filtered\":false,\"severity\":\"safe\"},\"violence\":\
                            {\"filtered\":false,\"severity\":\"safe\"}}";
                format!(
                    "{{\"choices\":[{{\"content_filter_results\":{safe},\"finish_reason\":\"{finish}\",\"index\":0,\"logprobs\":null,\
                     \"message\":{{\"annotations\":[],\"content\":{text},\"refusal\":null,\"role\":\"assistant\"{calls}}}}}],\
                     \"created\":{created},\"id\":\"chatcmpl-{id}\",\"model\":\"{model}\",\"object\":\"chat.completion\",\
                     \"prompt_filter_results\":[{{\"prompt_index\":0,\"content_filter_results\":{safe}}}],\
                     \"system_fingerprint\":\"fp_{fingerprint}\",\"usage\":{{{details},{counts}}}}}"
                )
            }
            "anthropic" => {
                let id = random(rng, 24);
                format!(
                    "{{\"id\":\"msg_01{id}\",\"choices\":[{{\"finish_reason\":\"{finish}\",\"index\":0,\"message\":{{\"content\":{text},\
                     \"role\":\"assistant\"{calls}}}}}],\"created\":{created},\"model\":\"{model}\",\"object\":\"chat.completion\",\
                     \"usage\":{{\"completion_tokens\":{completion},\"prompt_tokens\":{prompt},\"total_tokens\":{total}}}}}"
                )
            }
            "openrouter" => {
                let id = random(rng, 20);
                let cost = rng.u32(1..9_999_999);
                let (thoughts, thinking) = if rng.bool() {
                    let thoughts = format!(
                        "[{{\"format\":\"unknown\",\"index\":0,\"type\":\"reasoning.text\",\"text\":\"{reasoning}\"}}]"
                    );
                    (thoughts, format!("\"{reasoning}\""))
                } else {
                    ("[]".to_owned(), "null".to_owned())
                };
                format!(
                    "{{\"id\":\"gen-{created}-{id}\",\"provider\":\"OpenAI\",\"model\":\"{model}\",\"object\":\"chat.completion\",\
                     \"created\":{created},\"choices\":[{{\"logprobs\":null,\"finish_reason\":\"{finish}\",\"native_finish_reason\":\
                     \"{finish}\",\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{text},\"refusal\":null,\"reasoning\":\
                     {thinking},\"reasoning_details\":{thoughts}{calls}}}}}],\"usage\":{{{counts},\"cost\":0.00{cost:07},\"is_byok\":false,\
                     \"prompt_tokens_details\":{{\"cached_tokens\":{cached},\"audio_tokens\":0}},\"cost_details\":\
                     {{\"upstream_inference_cost\":null}},\"completion_tokens_details\":{{\"reasoning_tokens\":{thought},\"image_tokens\":0}}}}}}"
                )
            }
            "groq" => {
                let (id, request) = (uuid(rng), random(rng, 26).to_lowercase());
                let fingerprint = hexadecimal(rng, 10);
                let (queue, times) = (rng.f64() / 4.0, rng.f64() / 10.0);
                format!(
                    "{{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":\"{model}\",\"choices\":\
                     [{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{text}{calls}}},\"logprobs\":null,\"finish_reason\":\
                     \"{finish}\"}}],\"usage\":{{\"queue_time\":{queue:.9},\"prompt_tokens\":{prompt},\"prompt_time\":{times:.9},\
                     \"completion_tokens\":{completion},\"completion_time\":{:.9},\"total_tokens\":{total},\"total_time\":{:.9}}},\
                     \"usage_breakdown\":null,\"system_fingerprint\":\"fp_{fingerprint}\",\"x_groq\":{{\"id\":\"req_{request}\"}},\
                     \"service_tier\":\"on_demand\"}}",
                    times * 9.0,
                    times * 10.0
                )
            }
            "deepseek" => {
                let id = uuid(rng);
                let thinking = if model.ends_with("reasoner") {
                    format!(",\"reasoning_content\":\"{reasoning}\"")
                } else {
                    String::new()
                };
                format!(
                    "{{\"id\":\"{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":\"{model}\",\"choices\":[{{\"index\":0,\
                     \"message\":{{\"role\":\"assistant\",\"content\":{text}{thinking}{calls}}},\"logprobs\":null,\"finish_reason\":\
                     \"{finish}\"}}],\"usage\":{{{counts},\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}},\
                     \"prompt_cache_hit_tokens\":{cached},\"prompt_cache_miss_tokens\":{}}},\"system_fingerprint\":\
                     \"fp_{}_prod0820_fp8_kvcache\"}}",
                    prompt - cached,
                    hexadecimal(rng, 10)
                )
            }
            "gemini" => {
                let id = random(rng, 22);
                format!(
                    "{{\"choices\":[{{\"finish_reason\":\"{finish}\",\"index\":0,\"message\":{{\"content\":{text},\"role\":\"assistant\"\
                     {calls}}}}}],\"created\":{created},\"id\":\"{id}\",\"model\":\"{model}\",\"object\":\"chat.completion\",\"usage\":\
                     {{\"completion_tokens\":{completion},\"prompt_tokens\":{prompt},\"total_tokens\":{total}}}}}"
                )
            }
            "vllm" => {
                let id = hexadecimal(rng, 32);
                format!(
                    "{{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":\"{model}\",\"choices\":\
                     [{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{text},\"refusal\":null,\"annotations\":null,\"audio\":\
                     null,\"function_call\":null,\"tool_calls\":{listed},\"reasoning_content\":null}},\"logprobs\":null,\"finish_reason\":\
                     \"{finish}\",\"stop_reason\":null,\"token_ids\":null}}],\"service_tier\":null,\"system_fingerprint\":null,\"usage\":\
                     {{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{completion},\"prompt_tokens_details\":\
                     null}},\"prompt_logprobs\":null,\"prompt_token_ids\":null,\"kv_transfer_params\":null}}"
                )
            }
            "mistral" => {
                let id = hexadecimal(rng, 32);
                format!(
                    "{{\"id\":\"{id}\",\"created\":{created},\"model\":\"{model}\",\"usage\":{{\"prompt_tokens\":{prompt},\"total_tokens\":\
                     {total},\"completion_tokens\":{completion}}},\"object\":\"chat.completion\",\"choices\":[{{\"index\":0,\
                     \"finish_reason\":\"{finish}\",\"message\":{{\"role\":\"assistant\",\"tool_calls\":{listed},\"content\":{text}}}}}]}}"
                )
            }
            "together" => {
                let id = format!("{}-{}-{}", random(rng, 7), random(rng, 6), hexadecimal(rng, 16));
                format!(
                    "{{\"id\":\"{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":\"{model}\",\"prompt\":[],\"choices\":\
                     [{{\"finish_reason\":\"{finish}\",\"seed\":{},\"index\":0,\"logprobs\":null,\"message\":{{\"role\":\"assistant\",\
                     \"content\":{text},\"tool_calls\":{listed}}}}}],\"usage\":{{{counts},\"cached_tokens\":{cached}}}}}",
                    rng.u64(..)
                )
            }
            other => unreachable!("{other} has no envelope"),
        }
    }
}

/// The lengths of the pieces of a stream, as `thryd::kinds::Pieces` writes them: about one per word and mark, long words in
/// two.
fn pieces(content: &str) -> String {
    let mut pieces = Pieces::default();
    for word in content.split_inclusive([' ', ',', '.', '\n', '(', '"']) {
        let cut = word.char_indices().nth(5).filter(|_| word.len() > 8).map_or(word.len(), |(at, _)| at);
        for delta in [&word[..cut], &word[cut..]].into_iter().filter(|delta| !delta.is_empty()) {
            pieces.push(&Chunk::Content { delta: delta.to_owned() });
        }
    }
    format!("{}\n", pieces.as_str())
}
