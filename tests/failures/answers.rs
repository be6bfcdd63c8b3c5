//! Answers that are no success, in the shapes that providers document or that their users have posted: what each means.
//! The words inside a shape are not all anybody's own.

use thryd::error::FailureClass::{
    self, Auth, Elsewhere, Quota, RateLimited, Rejected, TooLong, Transient, Unsupported,
};

/// The status, headers that count, the body, what it means, the delay that it asks for in milliseconds, and a part of the
/// message that must be kept.
pub type Answer = (u16, &'static [(&'static str, &'static str)], &'static str, FailureClass, Option<u64>, &'static str);

/// Who said it, and its answers. Where they are from stands above them.
#[rustfmt::skip] // An answer is a line.
pub const ANSWERS: &[(&str, &[Answer])] = &[
    // platform.openai.com/docs/guides/error-codes, openai-python's issues.
    ("openai", &[
        (429, &[], r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#, Quota, None, "exceeded your current quota"),
        (429, &[], r#"{"error":{"message":"Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#, RateLimited, Some(2_000), "Rate limit reached"),
        (429, &[], r#"{"error":{"message":"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#, TooLong, None, "Request too large"),
        (400, &[], r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 8545 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, TooLong, None, "8545 tokens"),
        (400, &[], r#"{"error":{"message":"Unrecognized request argument supplied: temprature","type":"invalid_request_error","param":null,"code":null}}"#, Rejected, None, "temprature"),
        (400, &[], r#"{"error":{"message":"max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.","type":"invalid_request_error","param":"max_tokens","code":"invalid_value"}}"#, Rejected, None, "max_tokens"),
        (400, &[], r#"{"error":{"message":"Your request was rejected as a result of our safety system.","type":"invalid_request_error","code":"content_policy_violation"}}"#, Rejected, None, "safety system"),
        (401, &[], r#"{"error":{"message":"Incorrect API key provided: sk-abcde***wxyz.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#, Auth, None, "Incorrect API key provided: sk-***."),
        (404, &[], r#"{"error":{"message":"The model `gpt-9` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#, Auth, None, "`gpt-9`"),
        (403, &[], r#"{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}"#, Auth, None, "Country"),
        (500, &[], r#"{"error":{"message":"The server had an error while processing your request.","type":"server_error","param":null,"code":null}}"#, Transient, None, "server had an error"),
        (503, &[], r#"{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error","param":null,"code":null}}"#, Transient, None, "overloaded"),
        (429, &[], r#"{"error":{"message":"Rate limit reached for gpt-4o in organization org-x on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s. Visit https://platform.openai.com/account/rate-limits to learn more.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#, RateLimited, Some(432_000), "requests per day"),
        (429, &[("retry-after-ms", "59"), ("retry-after", "1")], r#"{"error":{"message":"Rate limit reached","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#, RateLimited, Some(59), "reached"), // the finer header counts.
        (400, &[], r#"{"error":{"message":"Your organization must be verified to stream this model. Please go to: https://platform.openai.com/settings/organization/general and click on Verify Organization.","type":"invalid_request_error","param":"stream","code":"unsupported_value"}}"#, Unsupported, None, "verified"), // the whole is asked for, if nobody wanted a stream.
        (400, &[], r#"{"error":{"message":"Your organization must be verified to use the model `o9`. Please go to: https://platform.openai.com/settings/organization/general and click on Verify Organization.","type":"invalid_request_error","param":null,"code":null}}"#, Auth, None, "verified"), // the account, not the request.
        (400, &[], r#"{"error":{"message":"Unsupported value: 'stream' does not support true with this model.","type":"invalid_request_error","param":"stream","code":"unsupported_value"}}"#, Unsupported, None, "Unsupported value"),
        (400, &[], r#"{"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy.","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}"#, Rejected, None, "flagged"),
        (400, &[], r#"{"error":{"message":"Invalid 'messages[0].content': string too long. Expected a string with maximum length 10485760, but got a string with length 11000000 instead.","type":"invalid_request_error","param":"messages[0].content","code":"string_above_max_length"}}"#, Rejected, None, "string too long"),
        (503, &[], r#"{"error":{"message":"Slow Down","type":"service_unavailable_error","param":null,"code":"slow_down"}}"#, RateLimited, None, "Slow Down"),
        (404, &[], r#"{"error":{"message":"Item with id 'rs_1' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input.","type":"invalid_request_error","param":"input","code":null}}"#, Elsewhere, None, "rs_1"), // the Responses API's.
        (404, &[], r#"{"error":{"message":"Vector store with id ['vs_1'] not found.","type":"invalid_request_error","param":"tools","code":null}}"#, Elsewhere, None, "vs_1"),
        (400, &[], r#"{"error":{"message":"The encrypted content for item rs_1 could not be verified.","type":"invalid_request_error","param":null,"code":"invalid_encrypted_content"}}"#, Elsewhere, None, "rs_1"),
        (424, &[], r#"{"error":{"message":"Error retrieving tool list from MCP server: 'x'. Http status code: 424 (Failed Dependency)","type":"external_connector_error","param":"tools","code":"http_error"}}"#, Unsupported, None, "MCP server"), // the caller's own server.
        (401, &[], r#"{"error":{"message":"Error retrieving tool list from MCP server: 'x'. Http status code: 401 (Unauthorized)","type":"external_connector_error","param":"tools","code":"http_error"}}"#, Unsupported, None, "MCP server"),
    ]),
    // learn.microsoft.com: Azure OpenAI quotas, content filtering.
    ("azure", &[
        (429, &[], r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds."}}"#, RateLimited, Some(6_000), "retry after 6 seconds"),
        (400, &[], r#"{"error":{"inner_error":{"code":"ResponsibleAIPolicyViolation"},"code":"content_filter","message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","param":"prompt","type":null,"status":400}}"#, Rejected, None, "filtered"),
        (404, &[], r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#, Auth, None, "does not exist"),
        (400, &[], r#"{"error":{"code":"OperationNotSupported","message":"The chatCompletion operation does not work with the specified model, text-embedding-3-small."}}"#, Auth, None, "does not work"),
        (401, &[], r#"{ "statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, audience is incorrect, or have expired." }"#, Auth, None, "Access token"),
        (429, &[("retry-after-ms", "412"), ("retry-after", "1")], r#"{"error":{"code":"429","message":"Your requests to gpt-4o for gpt-4o in East US have exceeded the token rate limit for your current AIServices S0 pricing tier. This request was for ChatCompletions_Create under Azure OpenAI API. Please retry after 1 second."}}"#, RateLimited, Some(412), "retry after 1 second"),
        (429, &[], r#"{"error":{"code":"NoCapacity","message":"The system is currently experiencing high demand and cannot process your request. Your request exceeds the maximum usage size allowed during peak load."}}"#, RateLimited, None, "high demand"), // learn.microsoft.com: common error codes.
        (400, &[], r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":true,"detected":true}}}}}"#, Rejected, None, "filtered"), // as it has been spelled since 2024.
        (403, &[], r#"{"error":{"code":"403","message":"Out of call volume quota. Quota will be replenished in 12:34:56."}}"#, Quota, None, "Out of call volume"), // API Management.
        (401, &[], r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}}"#, Auth, None, "subscription key"),
        (404, &[], r#"{"error":{"code":"404","message": "Resource not found"}}"#, Auth, None, "Resource not found"), // a wrong path: the same class as a model that is not there.
    ]),
    // docs.anthropic.com/en/api/errors, anthropic-sdk-python's issues.
    ("anthropic", &[
        (400, &[], r#"{"type":"error","error":{"type":"invalid_request_error","message":"`temperature` is deprecated for this model."}}"#, Unsupported, None, "deprecated"), // litellm#26444.
        (529, &[], r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_011CSHoEeqs5C35K2UUqR7Fy"}"#, RateLimited, None, "Overloaded"),
        (429, &[], r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 50,000 input tokens per minute."}}"#, RateLimited, None, "50,000"),
        (400, &[], r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 205371 tokens > 200000 maximum"}}"#, TooLong, None, "205371"),
        (400, &[], r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 174167 + 64000 > 200000, decrease input length or `max_tokens` and try again"}}"#, TooLong, None, "174167"),
        (400, &[], r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#, Quota, None, "credit balance"),
        (400, &[], r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages: roles must alternate between \"user\" and \"assistant\""}}"#, Rejected, None, "alternate"),
        (404, &[], r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}"#, Auth, None, "claude-9"),
        (413, &[], r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#, TooLong, None, "maximum size"),
        (400, &[], r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-08-01 at 00:00 UTC."},"request_id":"req_011CdGynYhzSgVkKGN7UcJf9"}"#, Quota, None, "usage limits"), // a spend limit of the organization.
        (401, &[], r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#, Auth, None, "x-api-key"),
        (500, &[], r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#, Transient, None, "Internal"),
        (504, &[], r#"{"type":"error","error":{"type":"timeout_error","message":"Request timed out"}}"#, Transient, None, "timed out"),
        (429, &[("retry-after", "17")], r#"{"type":"error","error":{"type":"rate_limit_error","message":"Number of request tokens has exceeded your per-minute rate limit"}}"#, RateLimited, Some(17_000), "per-minute"),
    ]),
    // ai.google.dev/gemini-api/docs/troubleshooting, gemini-cli's issues.
    ("gemini", &[
        (429, &[], r#"[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"37s"}]}}]"#, RateLimited, Some(37_000), "current quota"),
        (429, &[], r#"[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}]"#, Quota, None, "current quota"),
        (400, &[], r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]"#, Auth, None, "API key not valid"),
        (400, &[], r#"{"error":{"code":400,"message":"The input token count (1300000) exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}"#, TooLong, None, "1300000"),
        (400, &[], r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#, Auth, None, "location"),
        (503, &[], r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#, Transient, None, "overloaded"),
        (404, &[], r#"[{"error":{"code":404,"message":"models/gemini-1.5-flash is not found for API version v1main, or is not supported for generateContent.","status":"NOT_FOUND"}}]"#, Auth, None, "not found for API version"), // the list of one is the OpenAI-compatible endpoint's.
        (403, &[], r#"{"error":{"code":403,"message":"Your API key was reported as leaked. Please use another API key.","status":"PERMISSION_DENIED"}}"#, Auth, None, "leaked"),
        (400, &[], r#"{"error":{"code":400,"message":"The prompt was blocked because it contains prohibited content.","status":"PROHIBITED_CONTENT"}}"#, Rejected, None, "blocked"),
        (400, &[], r#"{"error":{"code":400,"message":"* GenerateContentRequest.contents: contents is not specified\\n","status":"INVALID_ARGUMENT"}}"#, Rejected, None, "contents is not specified"),
        (429, &[], r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}"#, RateLimited, None, "exhausted"), // whatever it says of quota, it passes.
        (504, &[], r#"{"error":{"code":504,"message":"Deadline expired before operation could complete.","status":"DEADLINE_EXCEEDED"}}"#, Transient, None, "Deadline"),
    ]),
    // docs.mistral.ai, client-python's issues.
    ("mistral", &[
        (429, &[], r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}"#, RateLimited, None, "capacity"),
        (400, &[], r#"{"object":"error","message":"Prompt contains 40045 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","param":null,"code":"3051"}"#, TooLong, None, "40045"),
        (400, &[], r#"{"object":"error","message":"Invalid model: mistral-huge","type":"invalid_model","param":null,"code":"1500"}"#, Auth, None, "mistral-huge"),
        (422, &[], r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error"}"#, Rejected, None, "body.stream_options: Extra inputs"),
        (401, &[], r#"{"detail":"Unauthorized"}"#, Auth, None, "Unauthorized"),
        (429, &[], r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}"#, RateLimited, None, "exceeded"),
        (400, &[], "", Rejected, None, "Bad Request"), // mistral-vibe#398: refused without a word.
    ]),
    // console.groq.com/docs/errors.
    ("groq", &[
        (413, &[], r#"{"error":{"message":"Request too large for model `llama-3.1-8b-instant` in organization `org_x` on tokens per minute (TPM): Limit 6000, Requested 7200, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#, TooLong, None, "7200"),
        (400, &[], r#"{"error":{"message":"Please reduce the length of the messages or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, TooLong, None, "reduce"),
        (400, &[], r#"{"error":{"message":"The model `mixtral-8x7b-32768` has been decommissioned and is no longer supported.","type":"invalid_request_error","code":"model_decommissioned"}}"#, Auth, None, "decommissioned"),
        (498, &[], r#"{"error":{"message":"Flex tier capacity exceeded","type":"capacity_exceeded"}}"#, RateLimited, None, "capacity"),
        (400, &[], r#"{"error":{"message":"Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"insufficient balance, rate limit reached"}}"#, Rejected, None, "Failed to call"), // what the model wrote is not what the provider says.
        (429, &[("retry-after", "431")], r#"{"error":{"message":"Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_x` service tier `on_demand` on tokens per day (TPD): Limit 100000, Used 99998, Requested 500. Please try again in 7m10.272s. Need more tokens? Upgrade to Dev Tier today","type":"tokens","code":"rate_limit_exceeded"}}"#, RateLimited, Some(431_000), "tokens per day"),
    ]),
    // docs.cohere.com/reference/errors.
    ("cohere", &[
        (400, &[], r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 128000 - received 130011."}"#, TooLong, None, "130011"),
        (429, &[], r#"{"message":"You are using a Trial key, which is limited to 10 API calls / minute."}"#, RateLimited, None, "Trial key"),
        (401, &[], r#"{"message":"invalid api token"}"#, Auth, None, "invalid api token"),
        (404, &[], r#"{"id":"9fd0","message":"model 'command-z' not found, make sure the correct model ID was used and that you have access to the model."}"#, Auth, None, "command-z"),
        (429, &[], r#"{"message":"Please wait and try again later"}"#, RateLimited, None, "try again later"),
    ]),
    // openrouter.ai/docs/api/reference/errors-and-debugging, /limits.
    ("openrouter", &[
        (402, &[], r#"{"error":{"message":"This request requires more credits, or fewer max_tokens.","code":402}}"#, Quota, None, "credits"),
        (403, &[], r#"{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged","metadata":{"reasons":["violence"],"flagged_input":"...","provider_name":"x"}}}"#, Rejected, None, "flagged"),
        (400, &[], r#"{"error":{"message":"gpt-9 is not a valid model ID","code":400},"user_id":"u"}"#, Auth, None, "gpt-9"),
        (400, &[], r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"maximum context length is 4096 tokens\",\"code\":\"context_length_exceeded\"}}","provider_name":"x"}}}"#, TooLong, None, "Provider returned error: maximum context length"),
        (502, &[], r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"provider_name":"x"}}}"#, Transient, None, "Provider returned error"),
        (402, &[("retry-after", "3")], r#"{"error":{"message":"In-flight spending budget exhausted","code":402,"metadata":{"limit_source":"openrouter_in_flight_budget"}}}"#, RateLimited, Some(3_000), "In-flight"), // the one 402 that passes by itself.
        (402, &[], r#"{"error":{"message":"Insufficient credits. Add more using https://openrouter.ai/settings/credits","code":402,"metadata":{"limit_source":"openrouter_credits"}}}"#, Quota, None, "credits"),
        (403, &[], r#"{"error":{"message":"Budget limit exceeded","code":403,"metadata":{"limit_source":"openrouter_workspace_budget","limit_usd":10,"resets_at":"2026-01-01T00:00:00Z"}}}"#, Quota, None, "Budget"),
        (408, &[], r#"{"error":{"message":"Request timed out","code":408}}"#, Transient, None, "timed out"),
        (429, &[], r#"{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0"}}}}"#, Quota, None, "free-models-per-day"),
        (429, &[], r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"qwen/qwen3-coder:free is temporarily rate-limited upstream. Please retry shortly.","provider_name":"x"}}}"#, RateLimited, None, "temporarily rate-limited"),
        (404, &[], r#"{"error":{"message":"No endpoints found that support tool use. To learn more about provider routing, visit: https://openrouter.ai/docs/guides/routing/provider-selection","code":404}}"#, Unsupported, None, "No endpoints"),
        (404, &[], r#"{"error":{"message":"No endpoints found that support image input","code":404}}"#, Unsupported, None, "image input"), // JohnnyZ93/oai-compatible-copilot#229.
        (503, &[], r#"{"error":{"message":"There is no available model provider that meets your routing requirements","code":503}}"#, Transient, None, "no available"),
    ]),
    // docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html.
    ("bedrock", &[
        (400, &[], r#"{"message":"The model returned the following errors: Input is too long for requested model."}"#, TooLong, None, "Input is too long"),
        (429, &[], r#"{"message":"Too many tokens, please wait before trying again."}"#, RateLimited, None, "Too many tokens"),
        (400, &[("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/coral/com.amazon.coral.availability/")], r#"{"message":"Too many requests, please wait before trying again."}"#, RateLimited, None, "Too many requests"), // its code is in a header alone.
        (400, &[("x-amzn-errortype", "ServiceQuotaExceededException")], r#"{"message":"Your request exceeds the service quota for your account. You can resubmit your request later."}"#, RateLimited, None, "resubmit"),
        (429, &[("x-amzn-errortype", "ModelNotReadyException")], r#"{"message":"The model specified in the request is not ready to serve inference requests."}"#, RateLimited, None, "not ready"),
        (400, &[("x-amzn-errortype", "ValidationException")], r#"{"message":"Invocation of model ID anthropic.claude-3-5-sonnet-20241022-v2:0 with on-demand throughput isn\u2019t supported. Retry your request with the ID or ARN of an inference profile that contains this model."}"#, Auth, None, "on-demand"),
        (400, &[("x-amzn-errortype", "ValidationException:")], r#"{"message":"The provided model identifier is invalid."}"#, Auth, None, "identifier"),
        (400, &[], r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"The security token included in the request is invalid."}"#, Auth, None, "security token"),
        (403, &[("x-amzn-errortype", "AccessDeniedException")], r#"{"message":"You don't have access to the model with the specified model ID."}"#, Auth, None, "access"),
        (408, &[("x-amzn-errortype", "ModelTimeoutException")], r#"{"message":"Model has timed out in processing the request. Try your request again."}"#, Transient, None, "timed out"),
        (424, &[("x-amzn-errortype", "ModelErrorException")], r#"{"message":"The system encountered an unexpected error during processing.","originalStatusCode":500}"#, Transient, None, "unexpected"),
        (400, &[("x-amzn-errortype", "ValidationException")], r#"{"message":"400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: 9000"}"#, TooLong, None, "9000"),
        (503, &[("x-amzn-errortype", "ServiceUnavailableException")], r#"{"message":"Bedrock is unable to process your request."}"#, Transient, None, "unable"),
    ]),
    // api-docs.deepseek.com/quick_start/error_codes.
    ("deepseek", &[
        (402, &[], r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#, Quota, None, "Balance"),
        (400, &[], r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#, Auth, None, "Model Not Exist"),
        (401, &[], r#"{"error":{"message":"Authentication Fails, Your api key: ****6789 is invalid","type":"authentication_error","param":null,"code":"invalid_request_error"}}"#, Auth, None, "Authentication Fails"),
        (400, &[], r#"{"error":{"message":"This model's maximum context length is 65536 tokens. However, you requested 70000 tokens (61808 in the messages, 8192 in the completion). Please reduce the length of the messages or completion.","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#, TooLong, None, "65536"), // the apostrophe opens no quote.
    ]),
    // docs.x.ai/docs/key-information/debugging, issues of those who use it.
    ("xai", &[
        (400, &[], r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***op. You can obtain an API key from https://console.x.ai."}"#, Auth, None, "Incorrect API key"),
        (400, &[], r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}"#, TooLong, None, "537812"),
        (403, &[], r#"{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}"#, Rejected, None, "usage guidelines"), // a filter under 403, and it costs a fee each time.
        (429, &[], r#"{"code":"Some resource has been exhausted","error":"Your team has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit."}"#, Quota, None, "spending limit"),
        (403, &[], r#"{"code":"The caller does not have permission to execute the specified operation","error":"Your newly created team doesn't have any credits yet. You can purchase credits on https://console.x.ai."}"#, Quota, None, "credits"),
        (404, &[], r#"{"code":"Some requested entity was not found","error":"The model grok-9 does not exist or your team does not have access to it."}"#, Auth, None, "grok-9"),
    ]),
    // docs.together.ai/docs/error-codes.
    ("together", &[
        (422, &[], r#"{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and 512 `max_new_tokens`","type":"invalid_request_error","param":null,"code":null}}"#, TooLong, None, "8193"),
        (400, &[], r#"{"error":{"message":"Unable to access model x/y. Please visit https://api.together.ai/models to view the list of supported models.","type":"invalid_request_error","param":null,"code":"model_not_available"}}"#, Auth, None, "x/y"),
        (402, &[], r#"{"error":{"message":"Credit limit exceeded, please navigate to https://api.together.xyz/settings/billing","type":"credit_limit","param":null,"code":null}}"#, Quota, None, "Credit limit"),
        (503, &[], r#"{"error":{"message":"The server is overloaded or not ready yet.","type":"service_unavailable","param":null,"code":null}}"#, Transient, None, "overloaded"),
    ]),
    // docs.fireworks.ai/guides/inference-error-codes.
    ("fireworks", &[
        (412, &[], r#"{"error":{"object":"error","type":"PRECONDITION_FAILED","message":"Account x is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices."}}"#, Quota, None, "suspended"), // 412, of all statuses.
        (404, &[], r#"{"error":{"object":"error","type":"invalid_request_error","code":"NOT_FOUND","message":"Model not found, inaccessible, and/or not deployed"}}"#, Auth, None, "not deployed"),
        (400, &[], r#"{"error":{"object":"error","type":"invalid_request_error","code":"invalid_request_error","message":"The prompt is too long: 140000, model maximum context length: 131071"}}"#, TooLong, None, "131071"),
    ]),
    // docs.perplexity.ai.
    ("perplexity", &[
        (401, &[], r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","code":401}}"#, Quota, None, "current quota"),
        (400, &[], r#"{"error":{"message":"Invalid model 'sonar-x'. Permitted models can be found in the documentation.","type":"invalid_model","code":400}}"#, Auth, None, "sonar-x"),
        (401, &[], "<html><head><title>401 Authorization Required</title></head><body><center><h1>401 Authorization Required</h1></center><hr><center>openresty/1.25.3.1</center></body></html>", Auth, None, "401 Authorization Required"),
    ]),
    // docs.voyageai.com/docs/error-codes.
    ("voyage", &[
        (400, &[], r#"{"detail":"Model voyage-9 is not supported. Supported models are ['voyage-3', 'voyage-3-lite']."}"#, Auth, None, "voyage-9"),
        (400, &[], r#"{"detail":"The max allowed tokens per submitted batch is 120000. Your batch has 140321 tokens after truncation."}"#, TooLong, None, "140321"),
        (429, &[], r#"{"detail":"You have not yet added your payment method in the billing page and will have reduced rate limits of 3 RPM and 10K TPM."}"#, RateLimited, None, "payment method"),
    ]),
    // api.jina.ai/redoc, jina-ai's issues.
    ("jina", &[
        (403, &[], r#"{"detail":"Insufficient balance. Please recharge your account."}"#, Quota, None, "recharge"),
        (422, &[], r#"{"detail":[{"type":"value_error","loc":["body","input"],"msg":"Input text exceeds maximum length of 8192 tokens"}]}"#, TooLong, None, "body.input"),
    ]),
    // huggingface.co/docs/api-inference.
    ("huggingface", &[
        (503, &[], r#"{"error":"Model tiiuae/falcon-7b-instruct is currently loading","estimated_time":57.5}"#, Transient, Some(57_500), "loading"),
        (402, &[], r#"{"error":"You have exceeded your monthly included credits for Inference Providers. Subscribe to PRO to get 20x more monthly included credits."}"#, Quota, None, "monthly included"),
    ]),
    // help.aliyun.com: error codes of Model Studio.
    ("dashscope", &[
        (400, &[], r#"{"error":{"message":"Output data may contain inappropriate content.","type":"data_inspection_failed","param":null,"code":"data_inspection_failed"},"request_id":"7b8f"}"#, Rejected, None, "inappropriate"),
        (400, &[], r#"{"error":{"message":"Access denied, please make sure your account is in good standing.","type":"Arrearage","param":null,"code":"Arrearage"},"request_id":"7b8f"}"#, Quota, None, "good standing"),
        (400, &[], r#"{"error":{"message":"Range of input length should be [1, 129024]","type":"invalid_request_error","param":null,"code":"invalid_parameter_error"}}"#, TooLong, None, "129024"),
    ]),
    // BerriAI/litellm: its proxy repeats what the provider behind it said.
    ("litellm", &[
        (400, &[], r#"{"error":{"message":"litellm.ContextWindowExceededError: litellm.BadRequestError: Hosted_vllmException - Input length 9000 exceeds model limit","type":null,"param":null,"code":"400"}}"#, TooLong, None, "9000"),
        (400, &[], r#"{"error":{"message":"litellm.BadRequestError: AnthropicException - {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your credit balance is too low to access the Anthropic API.\"}}","type":null,"param":null,"code":"400"}}"#, Quota, None, "AnthropicException: Your credit"),
        (429, &[], r#"{"error":{"message":"No deployments available for selected model, Try again in 5 seconds. Passed model=gpt-4o.","type":"None","param":"None","code":"429"}}"#, RateLimited, Some(5_000), "No deployments"),
        (400, &[], r#"{"error":{"message":"litellm.BadRequestError: OpenAIException - Invalid value: '{\"error\":{\"code\":\"insufficient_quota\"}}'","type":null,"param":null,"code":"400"}}"#, Rejected, None, "Invalid value"), // the caller's own JSON, quoted.
        // What its proxy 1.108 answered to `npm run servers`.
        (400, &[], r#"{"error":{"message":"No connected db.","type":"no_db_connection","param":null,"code":"400"}}"#, Auth, None, "No connected db"), // a key that is not its master key.
        (400, &[], r#"{"error":{"message":"/chat/completions: Invalid model name passed in model=nobody. Call `/v1/models` to view available models for your key.","type":"invalid_request_error","param":null,"code":"400","provider_specific_fields":{"error":"/chat/completions: Invalid model name passed in model=nobody. Call `/v1/models` to view available models for your key."}}}"#, Auth, None, "model=nobody"),
        (429, &[], r#"{"error":{"message":"litellm.RateLimitError: this is a mock rate limit error\n\nLiteLLM: model group 'limited' failed with the error above. No fallback was attempted.","type":"throttling_error","param":null,"code":"429"}}"#, RateLimited, None, "mock rate limit"),
        (429, &[], r#"{"error":{"message":"No deployments available for selected model.","type":"rate_limit_error","param":null,"code":"429"}}"#, RateLimited, None, "No deployments"), // a model beyond its `rpm`.
        (500, &[], r#"{"error":{"message":"litellm.InternalServerError: InternalServerError: OpenAIException - Connection error.\n\nLiteLLM: model group 'gone' failed with the error above. No fallback was attempted.","type":"internal_server_error","param":null,"code":"500"}}"#, Transient, None, "Connection error"),
        (400, &[], r#"{"error":{"message":"litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException - request (403 tokens) exceeds the available context size (256 tokens), try increasing it\nmodel=small. context_window_fallbacks=None. fallbacks=None.\n\nSet 'context_window_fallback' - https://docs.litellm.ai/docs/routing#fallbacks\n\nLiteLLM: model group 'small' failed with the error above. No fallback was attempted.","type":"invalid_request_error","param":null,"code":"400"}}"#, TooLong, None, "403 tokens"),
        (400, &[], r#"{"error":{"message":"litellm.BadRequestError: OpenAIException - litellm.MockException: Exception: content_filter_policy\n\nLiteLLM: model group 'filtered' failed with the error above. No fallback was attempted.","type":"invalid_request_error","param":null,"code":"400"}}"#, Rejected, None, "content_filter_policy"),
        (529, &[], r#"{"error":{"message":"litellm.APIError: APIError: OpenAIException - litellm.MockException: This is a mock error raised mid-stream\n\nLiteLLM: model group 'midstream' failed with the error above. No fallback was attempted.","type":"internal_server_error","param":null,"code":"529"}}"#, RateLimited, None, "mid-stream"),
        (408, &[], r#"{"error":{"message":"litellm.Timeout: This is a mock timeout error\n\nDeployment Info: request_timeout: None\ntimeout: 0.5\n\nLiteLLM: model group 'slow' failed with the error above. No fallback was attempted.","type":"invalid_request_error","param":null,"code":"408"}}"#, Transient, None, "mock timeout"),
        (401, &[], r#"{"error":{"message":"litellm.AuthenticationError: AuthenticationError: OpenAIException - Invalid API Key\n\nLiteLLM: model group 'wrongkey' failed with the error above. No fallback was attempted.","type":"authentication_error","param":null,"code":"401"}}"#, Auth, None, "Invalid API Key"),
        (400, &[], r#"{"error":{"message":"litellm.BadRequestError: OpenAIException - Field 'temperature': [json.exception.type_error.302] type must be number, but is string\n\nLiteLLM: model group 'counter' failed with the error above. No fallback was attempted.","type":"invalid_request_error","param":null,"code":"400"}}"#, Rejected, None, "temperature"),
        (501, &[], r#"{"error":{"message":"litellm.APIError: APIError: OpenAIException - Error code: 501 - This server does not support embeddings. Start it with `--embeddings`\n\nLiteLLM: model group 'counter' failed with the error above. No fallback was attempted.","type":"internal_server_error","param":null,"code":"501"}}"#, Auth, None, "--embeddings"),
    ]),
    // vllm-project/vllm: protocol.py, issues.
    ("vllm", &[
        (400, &[], r#"{"object":"error","message":"The decoder prompt (length 163840) is longer than the maximum model length of 131072.","type":"BadRequestError","param":null,"code":400}"#, TooLong, None, "163840"),
        (400, &[], r#"{"error":{"message":"You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only 1024 tokens.","type":"BadRequestError","param":"input_tokens","code":400}}"#, TooLong, None, "1015"),
        (404, &[], r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#, Auth, None, "`x`"),
        (400, &[], r#"{"object":"error","message":"This model's maximum context length is 32768 tokens. However, you requested 33000 tokens (32000 in the messages, 1000 in the completion). Please reduce the length of the messages or completion.","type":"BadRequestError","param":null,"code":400}"#, TooLong, None, "32768"),
        (500, &[], r#"{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause.","type":"InternalServerError","param":null,"code":500}}"#, Transient, None, "EngineCore"),
        (400, &[], r#"{"object":"error","message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","param":null,"code":400}"#, Unsupported, None, "--tool-call-parser"), // vllm#9986.
        (401, &[], r#"{"error":"Unauthorized"}"#, Auth, None, "Unauthorized"),
    ]),
    // sgl-project/sglang: issues.
    ("sglang", &[
        (400, &[], r#"{"object":"error","message":"Requested token count exceeds the model's maximum context length of 196608 tokens. You requested a total of 204830 tokens: 172830 tokens from the input messages and 32000 tokens for the completion.","type":"BadRequestError","param":null,"code":400}"#, TooLong, None, "196608"), // litellm#25492.
    ]),
    // ollama/ollama: server/routes.go, server/sched.go.
    ("ollama", &[
        (404, &[], r#"{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error","param":null,"code":null}}"#, Auth, None, "try pulling"),
        (404, &[], "404 page not found", Auth, None, "404 page not found"),
        (500, &[], r#"{"error":"llama runner process has terminated: signal: killed"}"#, Transient, None, "killed"),
        (503, &[], r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#, Transient, None, "server busy"),
        (500, &[], r#"{"error":{"message":"model requires more system memory (20.1 GiB) than is available (7.8 GiB)","type":"api_error","param":null,"code":null}}"#, Transient, None, "system memory"),
        (400, &[], r#"{"error":{"message":"registry.ollama.ai/library/x does not support tools","type":"api_error","param":null,"code":null}}"#, Unsupported, None, "tools"),
        (400, &[], r#"{"error":"the input length exceeds the context length"}"#, TooLong, None, "context length"), // embeddings.
    ]),
    // huggingface/text-embeddings-inference: router/src/http/server.rs, issues.
    ("tei", &[
        (413, &[], r#"{"error":"Input validation error: `inputs` must have less than 512 tokens. Given: 1024","error_type":"Validation"}"#, TooLong, None, "1024"),
        (413, &[], r#"{"error":"batch size 64 > maximum allowed batch size 32","error_type":"Validation"}"#, TooLong, None, "batch size"),
        (429, &[], r#"{"error":"Model is overloaded","error_type":"Overloaded"}"#, RateLimited, None, "overloaded"),
        (424, &[], r#"{"error":"Inference failed","error_type":"Backend"}"#, Transient, None, "Inference"),
        (413, &[], "Failed to buffer the request body: length limit exceeded", TooLong, None, "length limit"), // text-embeddings-inference#50.
        (422, &[], r#"{"error":"Tokenization error","error_type":"Tokenizer"}"#, Rejected, None, "Tokenization"),
    ]),
    // huggingface/text-generation-inference: issues.
    ("tgi", &[
        (429, &[], r#"{"error":"Model is overloaded","error_type":"overloaded"}"#, RateLimited, None, "overloaded"),
    ]),
    // ggml-org/llama.cpp: tools/server/README.md.
    ("llama.cpp", &[
        (400, &[], r#"{"error":{"code":400,"message":"request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9412,"n_ctx":8192}}"#, TooLong, None, "9412"),
        (503, &[], r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#, Transient, None, "Loading model"),
        (500, &[], r#"{"error":{"code":500,"message":"input is too large to process. increase the physical batch size","type":"server_error"}}"#, TooLong, None, "batch size"),
        (501, &[], r#"{"error":{"code":501,"message":"image input is not supported by this server","type":"not_supported_error"}}"#, Unsupported, None, "image input"),
        (500, &[], r#"{"error":{"code":500,"message":"tools param requires --jinja flag","type":"server_error"}}"#, Unsupported, None, "--jinja"),
        (500, &[], r#"{"error":{"code":500,"message":"Unsupported param: tools","type":"server_error"}}"#, Unsupported, None, "tools"), // llama.cpp#10920.
        (500, &[], r#"{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, you may need to provide the mmproj","type":"server_error"}}"#, Unsupported, None, "mmproj"), // llama.cpp#13566.
        (501, &[], r#"{"error":{"code":501,"message":"This server does not support embeddings. Start it with `--embeddings`","type":"not_supported_error"}}"#, Auth, None, "--embeddings"), // will not work a minute later either.
        (401, &[], r#"{"error":{"code":401,"message":"Invalid API Key","type":"authentication_error"}}"#, Auth, None, "Invalid API Key"),
        // What the server of build b11549 answered to `npm run servers`.
        (500, &[], r#"{"error":{"code":500,"message":"input (802 tokens) is too large to process. increase the physical batch size (current batch size: 512)","type":"server_error"}}"#, TooLong, None, "802 tokens"),
        (400, &[], r#"{"error":{"code":400,"message":"Field 'temperature': [json.exception.type_error.302] type must be number, but is string","type":"invalid_request_error"}}"#, Rejected, None, "temperature"),
        (400, &[], r#"{"error":{"code":400,"message":"Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at #: unrecognized type nonsense","type":"invalid_request_error"}}"#, Rejected, None, "unrecognized type"),
        (404, &[], r#"{"error":{"message":"File Not Found","type":"not_found_error","code":404}}"#, Auth, None, "File Not Found"), // a path that is none of its own.
    ]),
    // What the server of llama-cpp-python 0.3.36 answered to `npm run servers`.
    ("llama-cpp-python", &[
        (401, &[], r#"{"detail":"Invalid API key"}"#, Auth, None, "Invalid API key"),
        (400, &[], r#"{"error":{"message":"This model's maximum context length is 4096 tokens. However, you requested 5060 tokens (5055 in the messages, 5 in the completion). Please reduce the length of the messages or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, TooLong, None, "5060 tokens"),
        (500, &[], r#"{"error":{"message":"1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\", 'input': 'verse', 'ctx': {'expected': \"'text' or 'json_object'\"}}\n\n  File \"/usr/lib/python3/dist-packages/llama_cpp/server/app.py\", line 376, in create_chat_completion\n    POST /v1/chat/completions","type":"internal_server_error","param":null,"code":null}}"#, Unsupported, None, "response_format"), // others may have it, and no server rests for it.
        (500, &[], r#"{"error":{"message":"logprobs is not supported for models created with logits_all=False","type":"internal_server_error","param":null,"code":null}}"#, Unsupported, None, "logits_all"),
        (500, &[], r#"{"error":{"message":"Llama model must be created with embedding=True to call this method","type":"internal_server_error","param":null,"code":null}}"#, Unsupported, None, "embedding=True"),
    ]),
    // lmstudio-ai/lmstudio-bug-tracker.
    ("lmstudio", &[
        (400, &[], r#"{"error":"The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 8360 >= n_ctx: 4096). Try to load the model with a larger context length, or provide a shorter input."}"#, TooLong, None, "n_ctx: 4096"),
        (404, &[], r#"{"error":{"message":"No models loaded. Please load a model in the developer page or use the `lms load` command.","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#, Auth, None, "No models loaded"),
    ]),
    // any server made with FastAPI.
    ("fastapi", &[
        (422, &[], r#"{"detail":[{"loc":["body","messages"],"msg":"field required","type":"value_error.missing"}]}"#, Rejected, None, "body.messages: field required"),
    ]),
    // its default pages.
    ("nginx", &[
        (502, &[], "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n", Transient, None, "502 Bad Gateway"),
        (413, &[], "<html><head><title>413 Request Entity Too Large</title></head></html>", TooLong, None, "413 Request Entity"),
        (400, &[], "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>", Transient, None, "plain HTTP request"), // a page is never about what was asked.
        (503, &[], "<html><head><title>503 Service Temporarily Unavailable</title></head></html>", Transient, None, "503 Service"),
        (504, &[], "<html><head><title>504 Gateway Time-out</title></head></html>", Transient, None, "504 Gateway"),
        (404, &[], "<html><head><title>404 Not Found</title></head></html>", Auth, None, "404 Not Found"),
    ]),
    // developers.cloudflare.com/support/troubleshooting/http-status-codes.
    ("cloudflare", &[
        (403, &[], r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#, Auth, None, "Authentication error"),
        (524, &[], "<!DOCTYPE html><html><head>\n<title>api.example.com | 524: A timeout occurred</title></head>", Transient, None, "524: A timeout"),
        (429, &[], "error code: 1015", RateLimited, None, "1015"),
        (520, &[], "<!DOCTYPE html><html><head><title>api.example.com | 520: Web server is returning an unknown error</title></head>", Transient, None, "Web server is returning an unknown error"),
        (521, &[], "<!DOCTYPE html><html><head><title>api.example.com | 521: Web server is down</title></head>", Transient, None, "Web server is down"),
        (522, &[], "<!DOCTYPE html><html><head><title>api.example.com | 522: Connection timed out</title></head>", Transient, None, "Connection timed out"),
        (523, &[], "<!DOCTYPE html><html><head><title>api.example.com | 523: Origin is unreachable</title></head>", Transient, None, "Origin is unreachable"),
        (403, &[], "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>", Transient, None, "Attention Required"), // a firewall: nobody's key is dead.
        (413, &[], "<html><head><title>413 Request Entity Too Large</title></head><body><center>cloudflare</center></body></html>", TooLong, None, "413"),
        (502, &[], "error code: 502", Transient, None, "error code: 502"),
    ]),
    // RFC 9110.
    ("proxy", &[
        (407, &[], "", Auth, None, "Proxy Authentication Required"),
    ]),
    // RFC 9110.
    ("anyone", &[
        (503, &[], "", Transient, None, "Service Unavailable"),
        (408, &[], "{}", Transient, None, "{}"),
        (409, &[], r#"{"error":{"message":"Conflict"}}"#, Rejected, None, "Conflict"),
        (415, &[], "", Rejected, None, "Unsupported Media Type"),
        (504, &[], "stream timeout", Transient, None, "stream timeout"),
        (301, &[], "", Auth, None, "Moved Permanently"),
        (999, &[], "", Transient, None, "unknown status"),
        (401, &[], "Unauthorized", Auth, None, "Unauthorized"),
        (401, &[], "", Auth, None, "Unauthorized"),
        (403, &[], "", Auth, None, "Forbidden"),
        (404, &[], "", Auth, None, "Not Found"),
        (429, &[("retry-after", "120")], "", RateLimited, Some(120_000), "Too Many Requests"),
        (451, &[], "", Auth, None, "Unavailable For Legal Reasons"),
        (421, &[], "", Transient, None, "Misdirected"),
        (422, &[], "", Rejected, None, "Unprocessable"),
        (500, &[], "upstream connect error or disconnect/reset before headers. reset reason: connection termination", Transient, None, "reset reason"), // Envoy.
        (503, &[], "no healthy upstream", Transient, None, "no healthy upstream"), // Envoy.
    ]),
];
