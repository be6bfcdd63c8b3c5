//! Attacks on who reads responses of the Responses API.

use super::{Attack, JSON, SSE, Transient, Truncated, attack, numbered};

fn response_attack(name: &'static str, start: &str, piece: impl Into<Vec<u8>>, says: &'static str) -> Attack {
    Attack { is_response: true, ..attack(name, start, piece, Truncated).says(says) }
}

/// All of them.
pub fn attacks() -> Vec<Attack> {
    let letters = "a".repeat(1_000);
    let delta = |kind: &str, at: &str| format!("data: {{\"type\":\"{kind}\",{at}\"delta\":\"{letters}\"}}\n\n");
    let sse = &format!("{SSE}\r\n");
    let too_large = "larger than 16 MiB";
    vec![
        response_attack(
            "a text of a response without end",
            sse,
            delta("response.output_text.delta", "\"output_index\":0,"),
            too_large,
        ),
        response_attack("a refusal without end", sse, delta("response.refusal.delta", ""), too_large),
        response_attack("thoughts without end", sse, delta("response.reasoning_summary_text.delta", ""), too_large),
        response_attack(
            "arguments without end",
            sse,
            delta("response.function_call_arguments.delta", "\"item_id\":\"f\","),
            too_large,
        ),
        response_attack(
            "an item that is told again and again",
            sse,
            format!(
                "data: {{\"type\":\"response.output_item.done\",\"item\":{{\"type\":\"x\",\"y\":\"{letters}\"}}}}\n\n"
            ),
            "",
        ),
        response_attack(
            "annotations without end",
            sse,
            format!("data: {{\"type\":\"response.output_text.annotation.added\",\"annotation\":\"{letters}\"}}\n\n"),
            too_large,
        ),
        response_attack(
            "items of a stream without end",
            &format!(
                "{sse}{}",
                numbered(|index| format!(
                    "data: {{\"type\":\"response.output_item.added\",\"output_index\":{index},\"item\":{{\"id\":\"{index}\"}}}}\n\n"
                ))
            ),
            "",
            "too many",
        ),
        response_attack(
            "parts of an item without end",
            &format!(
                "{sse}{}",
                numbered(|index| format!(
                    "data: {{\"type\":\"response.output_text.delta\",\"content_index\":{index},\"delta\":\"a\"}}\n\n"
                ))
            ),
            "",
            "too many",
        ),
        response_attack("items without end", &format!("{JSON}\r\n{{\"output\":[{{}}"), ",{}".repeat(1 << 14), "")
            .ends(15 << 20, "]}"),
        response_attack(
            "an end of a stream with items without end",
            &format!("{SSE}\r\ndata: {{\"type\":\"response.completed\",\"response\":{{\"output\":[{{}}"),
            ",{}".repeat(1 << 14),
            "",
        )
        .ends(15 << 20, "]}}\n\n"),
        response_attack(
            "a response that fails at length",
            &format!("{SSE}\r\ndata: {{\"type\":\"response.failed\",\"response\":{{\"x\":[0"),
            ",0".repeat(1 << 15),
            "",
        )
        .ends(15 << 20, "],\"error\":{\"code\":\"server_error\",\"message\":\"no\"}}}\n\n")
        .becomes(Transient),
    ]
}
