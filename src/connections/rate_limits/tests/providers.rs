//! What real answers say: one row for each provider and form, and where it is documented.

use super::*;

fn check(table: &[(&str, Headers<'_>, RateLimits)]) {
    for (provider, headers, expected) in table {
        assert_eq!(read(headers), *expected, "{provider}");
    }
}

#[test]
fn what_openai_says_is_read_as_meant() {
    check(&[
        (
            // "Rate limits in headers" of OpenAI's rate limit guide. Its samples do not belong together: 16 tokens of
            // 150000 per minute are not gone for six minutes, so that limit is not believed.
            "OpenAI's guide",
            &[
                ("x-ratelimit-limit-requests", "60"),
                ("x-ratelimit-limit-tokens", "150000"),
                ("x-ratelimit-remaining-requests", "59"),
                ("x-ratelimit-remaining-tokens", "149984"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            limits(quota(60, 59, 1_000), quota(None, 149_984, 360_000)),
        ),
        (
            // An answer quoted in OpenAI's forum, "How to get rate limit reset time for response API?".
            "OpenAI, per minute",
            &[
                ("x-ratelimit-limit-requests", "5000"),
                ("x-ratelimit-limit-tokens", "160000"),
                ("x-ratelimit-limit-tokens_usage_based", "160000"),
                ("x-ratelimit-remaining-requests", "4999"),
                ("x-ratelimit-remaining-tokens", "159976"),
                ("x-ratelimit-remaining-tokens_usage_based", "159976"),
                ("x-ratelimit-reset-requests", "12ms"),
                ("x-ratelimit-reset-tokens", "9ms"),
                ("x-ratelimit-reset-tokens_usage_based", "9ms"),
            ],
            limits(quota(5000, 4999, 12), quota(160_000, 159_976, 9)),
        ),
        (
            // An answer recorded in a public repository: 10000 a day, for one of them is back after 8.64 seconds.
            "OpenAI, requests per day",
            &[
                ("x-ratelimit-limit-requests", "10000"),
                ("x-ratelimit-limit-tokens", "10000"),
                ("x-ratelimit-remaining-requests", "9999"),
                ("x-ratelimit-remaining-tokens", "9481"),
                ("x-ratelimit-reset-requests", "8.64s"),
                ("x-ratelimit-reset-tokens", "3.114s"),
            ],
            limits(quota(None, 9999, 8_640), quota(10_000, 9481, 3_114)),
        ),
        (
            // The names are those that public clients read; the values are invented.
            "OpenAI's projects",
            &[
                ("x-ratelimit-limit-tokens", "200000"),
                ("x-ratelimit-remaining-tokens", "150000"),
                ("x-ratelimit-reset-tokens", "15s"),
                ("x-ratelimit-limit-project-tokens", "60000"),
                ("x-ratelimit-remaining-project-tokens", "57000"),
                ("x-ratelimit-reset-project-tokens", "3s"),
            ],
            limits(NOTHING, quota(60_000, 57_000, 3_000)),
        ),
    ]);
}

#[test]
fn what_azure_says_is_read_as_meant() {
    check(&[
        (
            // An answer of Azure recorded in a public repository; the period is in no page of Azure's.
            "Azure",
            &[
                ("x-ratelimit-abusepenalty-active", "False"),
                ("x-ratelimit-limit-requests", "2500"),
                ("x-ratelimit-limit-tokens", "250000"),
                ("x-ratelimit-remaining-requests", "2499"),
                ("x-ratelimit-remaining-tokens", "249993"),
                ("x-ratelimit-renewalperiod-requests", "60"),
                ("x-ratelimit-renewalperiod-tokens", "60"),
                ("x-ratelimit-reset-requests", "24"),
                ("x-ratelimit-reset-tokens", "1"),
            ],
            limits(quota(2500, 2499, 24_000), quota(250_000, 249_993, 1_000)),
        ),
        (
            // Microsoft's answers, "Rate limiting inconsistent with x-ratelimit-remaining-requests header": 300 per
            // minute, of which ten seconds' share is counted.
            "Azure, ten seconds' share",
            &[("x-ratelimit-remaining-requests", "45"), ("x-ratelimit-remaining-tokens", "46760")],
            limits(quota(None, 45, None), quota(None, 46_760, None)),
        ),
        (
            // Microsoft's answers, "Azure OpenAI Responses API x-ratelimit headers values -1, 0".
            "Azure, which does not know",
            &[
                ("x-ratelimit-limit-tokens", "-1"),
                ("x-ratelimit-remaining-tokens", "-1"),
                ("x-ratelimit-reset-tokens", "0"),
            ],
            RateLimits { ignored: 2, ..limits(NOTHING, quota(None, None, 0)) },
        ),
    ]);
}

#[test]
fn what_anthropic_and_groq_say_is_read_as_meant() {
    check(&[
        (
            // "Response headers" of Anthropic's rate limit page; an answer recorded for the tests of tidyllm.
            "Anthropic",
            &[
                ("anthropic-ratelimit-input-tokens-limit", "80000"),
                ("anthropic-ratelimit-input-tokens-remaining", "80000"),
                ("anthropic-ratelimit-input-tokens-reset", "2025-08-21T12:40:59Z"),
                ("anthropic-ratelimit-output-tokens-limit", "16000"),
                ("anthropic-ratelimit-output-tokens-remaining", "16000"),
                ("anthropic-ratelimit-output-tokens-reset", "2025-08-21T12:41:00Z"),
                ("anthropic-ratelimit-requests-limit", "1000"),
                ("anthropic-ratelimit-requests-remaining", "999"),
                ("anthropic-ratelimit-requests-reset", "2025-08-21T12:40:59Z"),
                ("anthropic-ratelimit-tokens-limit", "96000"),
                ("anthropic-ratelimit-tokens-remaining", "96000"),
                ("anthropic-ratelimit-tokens-reset", "2025-08-21T12:40:59Z"),
                ("anthropic-ratelimit-unified-5h-utilization", "0.0425"),
            ],
            limits(quota(1000, 999, 29_000), quota(96_000, 96_000, 29_000)),
        ),
        (
            // "Rate limit headers" of Groq's rate limit page: requests are per day, tokens per minute.
            "Groq",
            &[
                ("retry-after", "2"),
                ("x-ratelimit-limit-requests", "14400"),
                ("x-ratelimit-limit-tokens", "18000"),
                ("x-ratelimit-remaining-requests", "14370"),
                ("x-ratelimit-remaining-tokens", "17997"),
                ("x-ratelimit-reset-requests", "2m59.56s"),
                ("x-ratelimit-reset-tokens", "7.66s"),
            ],
            limits(quota(None, 14_370, 179_560), quota(18_000, 17_997, 7_660)),
        ),
    ]);
}

#[test]
fn what_those_that_name_their_windows_say_is_read_as_meant() {
    check(&[
        (
            // An answer in mistralai/client-ts, "Expose rate limit information".
            "Mistral",
            &[
                ("x-ratelimit-limit-tokens-minute", "5000000"),
                ("x-ratelimit-remaining-tokens-minute", "4999911"),
                ("x-ratelimit-tokens-query-cost", "52"),
                ("x-ratelimit-limit-req-minute", "720"),
                ("x-ratelimit-remaining-req-minute", "717"),
            ],
            limits(quota(720, 717, None), quota(5_000_000, 4_999_911, None)),
        ),
        (
            // The months and five minutes of promptfoo's pull request 10577 and of public clients of Mistral.
            "Mistral's longer windows",
            &[
                ("x-ratelimit-limit-tokens-5-minute", "8000"),
                ("x-ratelimit-remaining-tokens-5-minute", "7000"),
                ("x-ratelimit-reset-tokens-5-minute", "300"),
                ("x-ratelimit-limit-tokens-month", "1000000000"),
                ("x-ratelimit-remaining-tokens-month", "999000000"),
            ],
            limits(NOTHING, quota(None, 7000, 300_000)),
        ),
        (
            // "Rate limit headers" of Cerebras's rate limit page.
            "Cerebras",
            &[
                ("x-ratelimit-limit-requests-day", "1000000000"),
                ("x-ratelimit-limit-tokens-minute", "1000000000"),
                ("x-ratelimit-remaining-requests-day", "999997455"),
                ("x-ratelimit-remaining-tokens-minute", "999998298"),
                ("x-ratelimit-reset-requests-day", "33011.382"),
                ("x-ratelimit-reset-tokens-minute", "11.382"),
            ],
            limits(quota(None, 999_997_455, 33_011_382), quota(1_000_000_000, 999_998_298, 11_382)),
        ),
    ]);
}

#[test]
fn what_the_others_say_is_read_as_meant() {
    check(&[
        (
            // OpenRouter's limits page names them for a 429; the milliseconds are in issues of its clients.
            "OpenRouter",
            &[("x-ratelimit-limit", "50"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1755820800000")],
            limits(quota(None, 0, 40_770_000), NOTHING),
        ),
        (
            // "Fetching latest serverless rate limits" of Together's rate limit page (of a second each).
            "Together",
            &[
                ("x-ratelimit-limit", "10"),
                ("x-ratelimit-remaining", "9"),
                ("x-ratelimit-reset", "1"),
                ("x-ratelimit-limit-dynamic", "12"),
                ("x-tokenlimit-limit", "3000"),
                ("x-tokenlimit-remaining", "2900"),
            ],
            limits(quota(None, 9, 1_000), quota(None, 2900, None)),
        ),
        (
            // "Response headers" of Fireworks's serverless overview: limits of a second. The values are invented, and
            // the names of what remains are those that public clients read.
            "Fireworks",
            &[
                ("x-ratelimit-limit-tokens-prompt", "60000"),
                ("x-ratelimit-remaining-tokens-prompt", "50000"),
                ("x-ratelimit-limit-tokens-cache-adjusted-prompt", "15000"),
                ("x-ratelimit-limit-tokens-generated", "600"),
                ("x-ratelimit-remaining-tokens-generated", "500"),
                ("fireworks-prompt-tokens", "31"),
            ],
            limits(NOTHING, quota(None, 50_500, None)),
        ),
        (
            // An answer recorded in a public repository; 20 a minute is what Cohere's rate limit page gives trial keys.
            "Cohere, trial keys",
            &[
                ("x-endpoint-monthly-call-limit", "1000"),
                ("x-trial-endpoint-call-limit", "20"),
                ("x-trial-endpoint-call-remaining", "19"),
            ],
            limits(quota(20, 19, None), NOTHING),
        ),
        (
            // Neither DeepSeek's nor Gemini's rate limit page names a header.
            "DeepSeek and Gemini",
            &[("content-type", "application/json"), ("x-request-id", "1"), ("retry-after", "3")],
            RateLimits::default(),
        ),
    ]);
}
