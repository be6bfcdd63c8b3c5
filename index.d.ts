/** One try on one deployment. */
export declare interface Attempt {
    /** `provider::model`. */
    deployment: string;
    /** Milliseconds from the start of the call to the start of the attempt. */
    startedMs: number;
    /** Milliseconds that it took. */
    durationMs: number;
    /** How it ended: `'ok'`, or the class of its failure. */
    outcome: 'ok' | 'rate-limited' | 'transient' | 'silent' | 'truncated' | 'auth' | 'quota' | 'too-long' | 'rejected' | 'cancelled';
    /** HTTP status, if there was an answer. */
    status?: number;
    /** What went wrong, if anything did. */
    message?: string;
}

/** What a batch can set; the rest holds for each of its calls. */
export declare interface BatchOptions extends InvokeOptions {
    /** Calls under way at once: a positive integer. @default 64 */
    concurrency?: number;
    /** Called as calls finish, whatever their order. What it throws ends the batch. */
    onProgress?: (progress: BatchProgress) => void;
}

/** How far a batch is. */
export declare interface BatchProgress {
    /** Calls that finished, well or not. */
    done: number;
    /** Of these, those that failed. */
    failed: number;
    /** Of these, those that the cache answered. */
    cached: number;
    /** How many there are, if the requests came as an array or a set. */
    total?: number;
    /** Prompt and completion tokens spent so far; what the cache answered cost none. */
    tokens: number;
    /** Milliseconds until the last one, at the pace so far; known with `total`. */
    etaMs?: number;
}

/** Answers by key, for one router or for several. */
export declare class Cache {
    #private;
    private constructor();
    /**
     * Opens a cache, or joins the one that is open on the same file.
     * @param options - a path, or options
     * @throws CacheError if the file is not a cache, comes from a newer version or cannot be opened; TypeError and RangeError
     * on bad options
     */
    static open(options: string | CacheOptions): Promise<Cache>;
    /**
     * Counters, cheap enough to poll. While another process holds the file, `entries` and `bytes` are what was known last,
     * after a wait of at most 20 milliseconds.
     */
    stats(): CacheStats;
    /** Removes what has expired. @returns how many */
    prune(): Promise<number>;
    /**
     * Removes everything, or everything of one namespace. Processes that share the Redis remove what they have of it within a second
     * or two; others of the same file alone may serve it from their memory until it expires.
     * @throws CacheError if the file cannot be written, or Redis not be reached
     */
    clear(options?: {
        namespace?: string;
    }): Promise<void>;
    /**
     * Writes the answers to a file of JSON lines, sorted so that a change of one answer is a change of one line: for fixtures
     * under review. A file that is there is replaced at the end, if it is an export. Answers are not encrypted in it.
     * @returns how many answers were written
     * @throws CacheError if the file cannot be written, or is there and not an export
     */
    export(path: string, options?: CacheExportOptions): Promise<number>;
    /**
     * Takes in the answers of an export, in the place of those with the same key. They expire when they would have expired; what
     * has expired is left out.
     * @throws CacheError if the file cannot be read, or a line of it is wrong: what stands before it was taken in
     */
    import(path: string, options?: CacheImportOptions): Promise<CacheImportResult>;
    /** Waits until all that was stored is on disk, and in Redis or given up. @throws CacheError if it cannot be on disk */
    flush(): Promise<void>;
    /**
     * Flushes and lets go of the file. Idempotent. Not needed for the process to exit.
     * @throws CacheError if answers could not be stored since the last flush; it is closed all the same
     */
    close(): Promise<void>;
    /** As `close`, for `await using`. */
    [Symbol.asyncDispose](): Promise<void>;
}

/** A cache cannot be opened or used. */
export declare class CacheError extends ThrydError {
}

/** What an export can set. */
export declare interface CacheExportOptions {
    /** Only the answers of this namespace. @default all */
    namespace?: string;
    /** Called now and then. What it throws ends the export, which then leaves no file. */
    onProgress?: (progress: CacheProgress) => void;
}

/** What an import can set. */
export declare interface CacheImportOptions {
    /** Called now and then. What it throws ends the import; what was taken in stays. */
    onProgress?: (progress: CacheProgress) => void;
}

/** What came of an import. */
export declare interface CacheImportResult {
    /** Answers that were taken in. */
    imported: number;
    /** Answers that were not, because they had expired. */
    expired: number;
}

/** Where answers are kept, and for how long. */
export declare interface CacheOptions {
    /** A file, made if it is not there. Any number of processes may share it. @default memory only */
    path?: string;
    /**
     * A Redis or Valkey that machines share, looked into after memory and the file: its URL, or options with one. It costs no call
     * more than a bound, and fails none; `stats()` says how it is. @default none
     */
    redis?: string | RedisCacheOptions;
    /**
     * `'redis'`: equal calls of processes that share the `redis` are one request, whose answer the others wait for; a stream then
     * gets the whole answer when it is there. Only with a `redis`. @default equal calls of one router alone are one
     */
    join?: 'redis';
    /** Milliseconds that an answer is kept. @default 7 days */
    ttlMs?: number;
    /** Bound of the file in bytes. @default 1 GiB */
    maxBytes?: number;
    /** Bound of the part in memory, in bytes. What a router remembers of how it was asked takes up to half as much beside it. @default 64 MiB */
    memoryBytes?: number;
    /**
     * `'replay'` answers from the cache alone and fails with `ERR_NOT_CACHED`, which says what is stored instead, or that the `redis`
     * could not be looked into within a second: for test suites. @default 'record'
     */
    mode?: 'record' | 'replay';
    /** Tenants that must not see each other's answers. @default '' */
    namespace?: string;
    /**
     * Encrypts the file, and what is kept in Redis: 32 random bytes, or their text as 64 hexadecimal digits or as base64. A file that
     * was made with another key, or with none, is refused with `ERR_CACHE` and left as it is; in Redis, each key has answers of its
     * own. Only with a `path` or a `redis`. @default not encrypted
     */
    encryptionKey?: string | Uint8Array;
}

/** How far an export or an import has come. */
export declare interface CacheProgress {
    /** Answers that are done. */
    done: number;
    /** Answers there are. */
    total: number;
}

/** A cache at one moment. Counters run from its opening. */
export declare interface CacheStats {
    /** Answers kept on disk, or in memory if there is no file. What is in Redis is not counted. */
    entries: number;
    /** What they take on disk, or in memory if there is no file. */
    bytes: number;
    /**
     * The length of the file, 0 if there is none: up to twice what is kept in it, and what is unused of it may take nothing on
     * the disk. With up to 128 MiB kept, it is shortened when it has been left alone for half a minute.
     */
    fileBytes: number;
    /** Answers that left the file to make room, by this process. */
    evictions: number;
    /** Lookups that found an answer: the sum of the next three. Of an embedding each text is looked up. */
    hits: number;
    /** Those that found it in memory. */
    memoryHits: number;
    /** Those that found it on disk. */
    diskHits: number;
    /** Those that found it in Redis. */
    redisHits: number;
    /** Lookups that did not find one. */
    misses: number;
    /** Calls that shared the call of an equal request under way, here or in another process. */
    joined: number;
    /** Answers that could not be stored. They were given to their callers all the same. */
    writeErrors: number;
    /** Answers that could not be read back. They were asked for anew. */
    readErrors: number;
    /** Why the last write failed, or the file could not be opened, if anything went wrong. */
    lastError?: string;
    /** Of Redis, if there is one. */
    redis?: RedisCacheStats;
}

/** A whole answer. `JSON.stringify` and `console.log` show everything but `raw`. */
export declare interface Completion extends Served {
    /** The text; empty if the model only called tools. */
    content: string;
    /** What the model wants called: functions, `arguments` being JSON text as it wrote it, and custom tools with their input. */
    toolCalls: {
        id: string;
        name: string;
        arguments: string;
    }[];
    /** Why it ended, in OpenAI's words: `stop`, `length`, `tool_calls`, `content_filter`. */
    finishReason: string;
    /** The provider's own answer in OpenAI's shape, parsed when first read. */
    readonly raw: unknown;
    /** The content, so that `${answer}` is the text. */
    toString(): string;
}

/**
 * A piece of a streamed answer: some text, some reasoning, a part of a tool call (`arguments` of equal `index` belong
 * together), or, under `onInterrupt: 'restart'`, word that the answer begins again on `deployment` and that the reader should
 * forget what it has, `discarded`.
 */
export declare type CompletionChunk = {
    type: 'content';
    delta: string;
} | {
    type: 'reasoning';
    delta: string;
} | {
    type: 'tool-call';
    index: number;
    id?: string;
    name?: string;
    arguments: string;
} | {
    type: 'restart';
    discarded: string;
    deployment: string;
};

/**
 * OpenAI's chat-completions body without `model`. What thryd does not know travels to the provider.
 * Give `message` or `messages`; neither is a TypeError.
 */
export declare interface CompletionRequest {
    /** Short for one user message. */
    message?: string;
    /** The conversation, in OpenAI's shape. */
    messages?: {
        role: string;
        content?: string | object[] | null;
        [field: string]: unknown;
    }[];
    /** From 0, always the likeliest word, to 2. */
    temperature?: number;
    /** Share of the likeliest words to choose from, from 0 to 1. */
    top_p?: number;
    /** Longest answer in tokens, reasoning included. Also what is reserved under `tpm`. */
    max_completion_tokens?: number;
    /** From -2 to 2. */
    presence_penalty?: number;
    /** From -2 to 2. */
    frequency_penalty?: number;
    /** Texts at which the answer ends. */
    stop?: string | string[];
    /** Makes answers repeatable, as far as the provider can. */
    seed?: number;
    /** Functions that the model may call, in OpenAI's shape. */
    tools?: object[];
    /** Which of them it must call, in OpenAI's shape. */
    tool_choice?: unknown;
    /** The form of the answer, e.g. a JSON schema, in OpenAI's shape. */
    response_format?: object;
    /** How long to think, in OpenAI's words. */
    reasoning_effort?: string;
    [field: string]: unknown;
}

/** Routes chat requests to the models that complete them. */
export declare class CompletionRouter extends Router<CompletionRequest, Completion> {
    /** See `Router`. */
    constructor(options?: RouterOptions);
    /**
     * Asks a group for an answer in pieces. Starts on the first `next()`. Leaving the loop cancels the call and closes the
     * socket. A failure ends the iteration with a ThrydError: after the first chunk with an InterruptedError.
     */
    stream(group: string, request: CompletionRequest, options?: StreamOptions): CompletionStream;
}

/**
 * An answer in pieces, for one reader: `for await (const chunk of stream)`. The call starts on the first `next()`; leaving the
 * loop cancels it and closes the socket. A failure ends the iteration with a typed error, never quietly.
 */
export declare interface CompletionStream extends AsyncIterable<CompletionChunk> {
    /**
     * The whole answer, when the iteration has ended; runs it if nobody has. Not to be awaited inside the loop, which it waits
     * for. @throws the error that ended the iteration; an AbortError if the reader left before the end
     */
    completion(): Promise<Completion>;
}

/**
 * Counts as the model's tokenizer does; messages with what each costs on top of its text.
 * @param input - a text, or messages
 * @param model - e.g. `'gpt-4o'`, or an encoding: `'o200k_base'`, `'cl100k_base'`, `'p50k_base'`, `'r50k_base'`.
 * @default 'o200k_base'
 * @returns tokens. The first call for an encoding loads its vocabulary, some 20 ms
 * @throws TypeError if the model is not known, and on messages of another form
 */
export declare function countTokens(input: string | CompletionRequest['messages'], model?: string): number;

/** The same off the JavaScript thread, for long texts. */
export declare function countTokensAsync(input: string | CompletionRequest['messages'], model?: string): Promise<number>;

/**
 * A provider written in JavaScript. It has the methods of the kinds that it serves.
 *
 * Throw (or reject with) an Error that has a `status` to be classified like an HTTP answer with that status: 429 rests the
 * deployment (for `retryAfterMs` milliseconds, if the error has that), 5xx is tried again, 4xx is the caller's fault.
 * Without a `status` a failure counts as transient.
 */
export declare interface CustomProvider {
    /** What models call it: the part before `::`. */
    name: string;
    /**
     * Requests in any 60 s, charged by every deployment on the provider beside its own `rpm`: a positive integer. Read when
     * the provider is added; no other router shares it. @default unlimited
     */
    rpm?: number;
    /** Tokens in any 60 s, prompt and completion together, likewise: a positive integer. @default unlimited */
    tpm?: number;
    /** Requests in flight at once, likewise: a positive integer. @default unlimited */
    maxConcurrent?: number;
    /**
     * Answers a chat request, `model` being the part after `::`. Gives the text, or an answer in OpenAI's shape; or an async
     * iterable of pieces of text or chunks in OpenAI's shape. `context.signal` fires when nobody wants the answer any more.
     */
    complete?(request: CompletionRequest & {
        model: string;
    }, context: {
        signal: AbortSignal;
    }): Promise<string | object> | AsyncIterable<string | object>;
    /**
     * Answers a request of the Responses API, `model` being the part after `::`. Gives the text, or an answer in OpenAI's shape
     * (or a part of one: `{ output_text, tool_calls, usage }`); or an async iterable of pieces of text, of the chunks of
     * thryd's own streams, or of events in OpenAI's shape. `context.signal` fires when nobody wants the answer any more.
     */
    respond?(request: ResponsesRequest & {
        model: string;
    }, context: {
        signal: AbortSignal;
    }): Promise<string | object> | AsyncIterable<string | object>;
    /** Gives one vector per input, in the order of the inputs. */
    embed?(request: EmbeddingRequest & {
        model: string;
    }, context: {
        signal: AbortSignal;
    }): Promise<number[][] | Float32Array[]>;
    /** Gives the score of the documents, named by their index in `request.documents`. */
    rerank?(request: RerankRequest & {
        model: string;
    }, context: {
        signal: AbortSignal;
    }): Promise<{
        index: number;
        score: number;
    }[]>;
}

/** One deployment at one moment. */
export declare interface DeploymentStats {
    /** `provider::model`. */
    model: string;
    /** Calls sent and not answered yet. */
    inFlight: number;
    /** Spent or reserved in the last 60 s. */
    window: {
        requests: number;
        tokens: number;
    };
    /** As given to `deploy`. */
    limits: {
        rpm?: number;
        tpm?: number;
        maxConcurrent?: number;
    };
    /** Per minute, what the provider named in the headers of its answers of the last hour; in force where it is tighter. */
    learned: {
        rpm?: number;
        tpm?: number;
    };
    /** Values of headers about limits that made no sense and were left out. */
    ignoredHeaders: number;
    /** Attempts that answered. */
    succeeded: number;
    /** Attempts that did not. */
    failed: number;
    /** Tokens of all requests that were answered. */
    promptTokens: number;
    /** Tokens of all answers. */
    completionTokens: number;
    /** US dollars, if the deployment has a `price`. */
    cost: number;
    /** Milliseconds to a whole answer, recent ones: half, 95 % and 99 % were faster. */
    latencyMs: {
        p50: number;
        p95: number;
        p99: number;
    };
    /** Milliseconds to the first token, recent ones. */
    firstTokenMs: {
        p50: number;
        p95: number;
        p99: number;
    };
    /** `'open'` rests for `restMs`; `'half-open'` has rested and is tried with one call at a time; `'closed'` is used. */
    circuit: 'closed' | 'open' | 'half-open';
    /** Milliseconds until it may be used again; 0 is now. */
    restMs: number;
    /**
     * Why it rests, or is tried: how the attempt ended that put it to rest, in the words of {@link Attempt.outcome}. Absent while
     * `circuit` is `'closed'`.
     */
    restReason?: Exclude<Attempt['outcome'], 'ok' | 'rejected' | 'too-long' | 'cancelled'>;
    /** The same in the provider's own words. `lastError` may be about something else that went wrong since. */
    restError?: string;
    /** How many calls it takes at once while it ramps up after a rest; absent if it takes all. */
    rampLimit?: number;
    /** What went wrong last, if anything did. */
    lastError?: string;
}

/** What a deployment may spend, and what it is like. */
export declare interface DeployOptions {
    /** Requests in any 60 s: a positive integer. @default unlimited */
    rpm?: number;
    /** Tokens in any 60 s, prompt and completion together: a positive integer. @default unlimited */
    tpm?: number;
    /** Requests in flight at once: a positive integer. @default unlimited */
    maxConcurrent?: number;
    /** Share under the strategy `'weighted'`, at least 0. @default 1 */
    weight?: number;
    /** Longest context in tokens; longer requests are not sent here. @default unknown */
    contextWindow?: number;
    /** USD per million tokens, for `usage.cost` and budgets. @default unknown */
    price?: {
        prompt: number;
        completion: number;
        cachedPrompt?: number;
    };
    /**
     * The name that it stands under in the cache's key, in the place of `provider::model`: not empty. Groups whose deployments
     * stand under the same names share their answers, e.g. `'gpt-4o'` for both `openai::gpt-4o` and `azure::gpt-4o`.
     * @default `provider::model`
     */
    cacheAs?: string;
}

/** Answers without a network: scripted, or an echo; faults on demand, seeded. */
export declare interface DummyOptions {
    /**
     * Used in order: a text, a whole answer in OpenAI's shape, a failure, or a fault, which in a stream comes after
     * `afterTokens` of its tokens (half of them by default). When they run out, the call fails with `ERR_EXHAUSTED`, unless
     * `repeat`. @default an echo of the last message
     */
    responses?: (string | object | {
        error: {
            status?: number;
            message?: string;
            retryAfterMs?: number;
        };
    } | {
        fault: Fault;
        afterTokens?: number;
    })[];
    /** Begin again when `responses` run out. @default false */
    repeat?: boolean;
    /** Milliseconds before an answer begins, or the bounds between which they are drawn. @default 0 */
    latencyMs?: number | [min: number, max: number];
    /** Milliseconds between two tokens of a stream. @default 0 */
    tokenIntervalMs?: number;
    /** Share of calls, from 0 to 1, that fail this way. @default none */
    faults?: FaultShares;
    /** Dimensions of its embeddings, which depend only on the text. @default 8 */
    dimensions?: number;
    /** Makes latencies and faults repeatable. @default 0 */
    seed?: number;
    /**
     * Whether a cache keeps its answers. Otherwise scripted answers would not be used up, and one in a shared file would be
     * served as a real one; the cache is still read. @default false
     */
    cache?: boolean;
}

/** OpenAI's embeddings body without `model`. What thryd does not know travels to the provider. */
export declare interface EmbeddingRequest {
    /** One text or several. Split into as many requests as the provider's limits need. */
    input: string | string[];
    /** Length of the vectors, for models that can shorten them. */
    dimensions?: number;
    [field: string]: unknown;
}

/** Routes texts to the models that embed them. */
export declare class EmbeddingRouter extends Router<EmbeddingRequest, Embeddings> {
    /** See `Router`. */
    constructor(options?: RouterOptions);
}

/** One vector per input, in the order of the inputs; each input is cached on its own. */
export declare interface Embeddings extends Served {
    /** The vectors. */
    vectors: Float32Array[];
}

/** Stable names of what can go wrong; the messages are for people and may change. */
export declare type ErrorCode = 'ERR_NO_GROUP' | 'ERR_NO_PROVIDER' | 'ERR_UNSUPPORTED' | 'ERR_RATE_LIMITED' | 'ERR_TOO_LARGE' | 'ERR_TIMEOUT' | 'ERR_PROVIDER' | 'ERR_INTERRUPTED' | 'ERR_EXHAUSTED' | 'ERR_NOT_CACHED' | 'ERR_CACHE' | 'ERR_CLOSED' | 'ERR_NATIVE' | 'ERR_BUG';

/** What every error of thryd carries. */
export declare interface ErrorDetails {
    code: ErrorCode;
    retryable: boolean;
    attempts: Attempt[];
}

/** Every attempt failed, or a dummy ran out of responses. */
export declare class ExhaustedError extends ThrydError {
    /** The failures, in order, each with the attempt that it was. */
    readonly errors: ThrydError[];
    /** Milliseconds until the first of the providers wants to be asked again, if one said so. */
    readonly retryAfterMs?: number;
    constructor(message: string, details: ErrorDetails & {
        errors: ThrydError[];
        retryAfterMs?: number;
    });
}

/** The words for what can go wrong with an answer: the `dummy` and the fault server of `thryd/testing` share them. */
/**
 * What goes wrong, beside an HTTP status:
 *
 * - `'reset'`: the connection is reset (RST) before an answer
 * - `'close'`: it is closed (FIN) before an answer
 * - `'hang'`: no headers ever come
 * - `'stall'`: silence in the middle of the answer, for ever
 * - `'cut'`: the connection is lost in the middle
 * - `'end'`: a clean end in the middle, without a finish reason
 * - `'malformed'`: an event that cannot be read
 * - `'errorEvent'`: an error inside an answer with status 200
 * - `'noDone'`: a stream without its last `[DONE]`, which is no failure
 * - `'html'`: status 200 with a page
 * - `'empty'`: status 200 with nothing
 * - `'stallError'`: status 503, and silence in the place of the body that its headers announce
 * - `'cutAfterFinish'`: a stream whose connection is lost after the finish reason, which is no failure
 * - `'stallAfterFinish'`: silence after it, likewise
 */
export declare type Fault = 'reset' | 'close' | 'hang' | 'stall' | 'cut' | 'end' | 'malformed' | 'errorEvent' | 'noDone' | 'html' | 'empty' | 'stallError' | 'cutAfterFinish' | 'stallAfterFinish';

/** Shares of calls, from 0 to 1, that go wrong in some way; together at most 1. */
export declare interface FaultShares extends Partial<Record<Fault, number>> {
    /** By HTTP status, e.g. `{ 429: 0.1 }`. */
    status?: Record<string, number>;
}

/** How a group chooses. */
export declare interface GroupOptions {
    /** @default 'least-loaded' */
    strategy?: Strategy;
    /** Groups to try, in order, when this one cannot answer. A cycle is refused. @default none */
    fallbacks?: string[];
}

/** A stream ended early. */
export declare class InterruptedError extends ThrydError {
    /** The content that the reader already has. */
    readonly delivered: string;
    /** The clock that ended it, if one did: see `Timeouts`. */
    readonly phase?: TimeoutError['phase'];
    /** Milliseconds until the provider wants to be asked again, if it said so. */
    readonly retryAfterMs?: number;
    constructor(message: string, details: ErrorDetails & {
        delivered: string;
        phase?: TimeoutError['phase'];
        retryAfterMs?: number;
    });
}

/** What one call can set. */
export declare interface InvokeOptions extends Timeouts {
    /** Cancels the call: it rejects with `signal.reason`, and the socket is closed if nobody else wants the answer. */
    signal?: AbortSignal;
    /**
     * fetch's words: `'reload'` asks anew and stores, `'no-store'` neither reads nor stores, `'only-if-cached'` never sends
     * (a miss is `ERR_NOT_CACHED`, as is a Redis that cannot be looked into within a second: the message says which). @default 'default'
     */
    cache?: 'default' | 'reload' | 'no-store' | 'only-if-cached';
    /** Milliseconds that the answer stays in the cache. @default the cache's `ttlMs` */
    cacheTtlMs?: number;
    /** Tenants that must not see each other's answers. @default the cache's `namespace` */
    namespace?: string;
    /** Higher goes first when calls wait for a limit. @default 0 */
    priority?: number;
    /**
     * `false`: never two attempts at once, whatever `retry.hedgeQuantile` says, e.g. because the request makes the provider do
     * something that must not be done twice. @default true
     */
    hedge?: boolean;
}

/**
 * A whole answer of the Responses API. `JSON.stringify` and `console.log` show everything but `raw`. Not called `Response`, which
 * is what `fetch` gives.
 */
export declare interface ModelResponse extends Served {
    /** The provider's id of it, for a later `previous_response_id`; empty if it gave none. */
    id: string;
    /** The texts of all its messages, end to end; empty if the model only called tools. */
    outputText: string;
    /** What the model wants called: functions, `arguments` being JSON text as it wrote it, and custom tools with their input. */
    toolCalls: {
        id: string;
        name: string;
        arguments: string;
    }[];
    /** What fails is an error, and no answer. */
    status: 'completed' | 'incomplete';
    /** Why it is incomplete, in OpenAI's words: `max_output_tokens`, `content_filter`. */
    incompleteReason?: string;
    /** The provider's own answer, parsed when first read: `output` and all the rest. */
    readonly raw: unknown;
    /** The text, so that `${answer}` is it. */
    toString(): string;
}

/** A deployment failed or refused. Keys and request headers are never kept. */
export declare class ProviderError extends ThrydError {
    /** HTTP status, if there was an answer. */
    readonly status?: number;
    /** `provider::model`. */
    readonly deployment: string;
    /** At most 64 KiB of what the provider said. */
    readonly body?: string;
    /** The provider's own id of the request, for its support. */
    readonly requestId?: string;
    /** Milliseconds until the provider wants to be asked again, if it said so. */
    readonly retryAfterMs?: number;
    constructor(message: string, details: ErrorDetails & {
        deployment: string;
        status?: number;
        body?: string;
        requestId?: string;
        retryAfterMs?: number;
    });
}

/** An LLM API endpoint. */
export declare interface ProviderOptions {
    /** Which API it speaks; also sets the default of everything below. */
    type: ProviderType;
    /** What models call it: the part before `::`. @default the type */
    name?: string;
    /**
     * The secret key. Never readable again from JavaScript, and never part of an error or a log.
     * @default the type's environment variable, e.g. `OPENAI_API_KEY`
     */
    apiKey?: string;
    /** Where the API is, up to and including its version, e.g. `http://localhost:11434/v1`. Required for `'openai-compatible'`, `'azure'` and `'tei'`. */
    baseUrl?: string;
    /**
     * For `'azure'` only: the version of its API, e.g. `'2024-10-21'`. Requests then go to the URL of the deployment that the model
     * names, and not to the v1 API.
     */
    apiVersion?: string;
    /** Sent with every request. */
    headers?: Record<string, string>;
    /** A key is not sent over plain http to anything but loopback unless this is true. @default false */
    allowInsecureHttp?: boolean;
    /** Longest answer that is taken, whole or all events of a stream together, in bytes: a positive integer. @default 64 MiB */
    maxResponseBytes?: number;
    /**
     * Requests in any 60 s, charged by every deployment on the provider beside its own `rpm`: a positive integer. One window
     * for all routers of this process that give limits for the same base URL and key, whatever they call the provider; the
     * limits that were given last hold for all of them. Dummies only share if they have an `apiKey`. @default unlimited
     */
    rpm?: number;
    /**
     * Tokens in any 60 s, prompt and completion together, of all deployments on the provider: a positive integer. Shared as
     * `rpm` is. @default unlimited
     */
    tpm?: number;
    /**
     * Requests in flight at once, streams until they end, of all deployments on the provider: a positive integer. Shared as
     * `rpm` is. @default unlimited
     */
    maxConcurrent?: number;
    /**
     * Opens a connection as soon as the provider is added, in the background, so that the first request finds the name looked up,
     * the system's certificates read and TLS agreed. It asks for the head of `/`, without the key, and whatever comes of it is nobody's error.
     * Where a group on it counts tokens, their vocabulary is loaded too. A dummy has nothing to open. @default false
     */
    warmUp?: boolean;
    /** For type `'dummy'` only. */
    dummy?: DummyOptions;
}

/** The APIs that thryd speaks. */
export declare type ProviderType = 'openai' | 'openai-compatible' | 'azure' | 'anthropic' | 'gemini' | 'mistral' | 'groq' | 'deepseek' | 'xai' | 'together' | 'fireworks' | 'openrouter' | 'perplexity' | 'cohere' | 'jina' | 'voyage' | 'tei' | 'ollama' | 'lmstudio' | 'vllm' | 'dummy';

/** Best first. */
export declare interface Ranking extends Served {
    /** `index` is the document's place in the request; a higher `score` is better. */
    results: {
        index: number;
        score: number;
    }[];
}

/** No deployment has room before the deadline. */
export declare class RateLimitError extends ThrydError {
    /** Milliseconds until it is worth trying again. */
    readonly retryAfterMs: number;
    constructor(message: string, details: ErrorDetails & {
        retryAfterMs: number;
    });
}

/** Which Redis keeps answers, and how. */
export declare interface RedisCacheOptions {
    /**
     * `redis://[user[:password]@]host[:port][/database]`, `rediss://` over TLS; `redis+sentinel://host,…/master` for whatever these
     * Sentinels call the master of that name; `redis+cluster://host,…`, or `redis://` with several hosts, for a Cluster; both
     * over TLS as `rediss+…`. Credentials are never shown.
     */
    url: string;
    /** What all keys begin with: 1 to 64 bytes, without braces. @default 'thryd' */
    prefix?: string;
    /**
     * The most that a call waits for Redis at a time, in milliseconds, 1 to 10,000, and half of what is left of its `totalMs`; then
     * it does without. One that only the cache may answer waits for a second. @default 50
     */
    timeoutMs?: number;
    /**
     * With `join`: how long calls of others wait for one whose process gives no sign of life, in milliseconds, 500 to 60,000.
     * @default 3000
     */
    leaseMs?: number;
}

/** A Redis that keeps answers, at one moment. Counters are of this cache, and run from its opening. */
export declare interface RedisCacheStats {
    /** Where it is, without credentials. */
    url: string;
    /**
     * `'idle'`: not needed yet. `'connected'`: it answers, which is also said of one that keeps nothing, as it is full or may not be
     * written: `writeErrors` counts, `lastError` says why. `'away'`: it does not answer in time, or refuses to be read, as with a
     * wrong password; calls go on without it.
     */
    status: 'idle' | 'connected' | 'away';
    /** Lookups that did without it. */
    skipped: number;
    /**
     * Answers that did not get there: it was away or full, or did not keep up, or the answer is longer than 1 MiB, or what is not
     * thryd's has its place.
     */
    writeErrors: number;
    /** Values that were damaged, of a newer version, sealed with another key or not thryd's: misses. */
    readErrors: number;
    /** What went wrong last, if anything did. */
    lastError?: string;
}

/** Which Redis limits are counted over, and how. */
export declare interface RedisLimitsOptions {
    /**
     * `redis://[user[:password]@]host[:port][/database]`, `rediss://` over TLS; `redis+sentinel://host,…/master` for whatever these
     * Sentinels call the master of that name; `redis+cluster://host,…`, or `redis://` with several hosts, for a Cluster; both
     * over TLS as `rediss+…`. Credentials are never shown.
     */
    url: string;
    /** What all keys begin with: 1 to 64 bytes, without braces. @default 'thryd' */
    prefix?: string;
    /**
     * How long one command may take before Redis counts as away, in milliseconds, 1 to 10,000. The very first one may take a
     * second, for connecting.
     * @default 100
     */
    timeoutMs?: number;
    /** How long what a process holds is held for it without a sign of life, in milliseconds, 1,000 to 600,000. @default 10_000 */
    leaseMs?: number;
    /**
     * How many processes share the limits, for as long as Redis has never been reached: a positive integer. Once it was, the number
     * that was alive last counts. @default 1
     */
    processes?: number;
}

/** A Redis that limits are counted over, at one moment. */
export declare interface RedisLimitsStats {
    /** Where it is, without credentials. */
    url: string;
    /**
     * `'idle'`: not needed yet. `'connected'`: limits are counted together with other processes. `'local'`: Redis is away, or refuses,
     * and this process goes on alone with its share of the limits: each limit divided by `processes`, and at least 1.
     */
    status: 'idle' | 'connected' | 'local';
    /** For how long it has been so, in milliseconds. */
    forMs: number;
    /** Processes that were alive when Redis was last heard of. */
    processes: number;
    /** Why it is `'local'`. */
    error?: string;
}

/** The rerank body of Cohere, Jina and Voyage without `model`. What thryd does not know travels to the provider. */
export declare interface RerankRequest {
    /** What is looked for. */
    query: string;
    /** Where. */
    documents: string[];
    /** How many of the best to give. @default all */
    top_n?: number;
    [field: string]: unknown;
}

/** Routes a query and documents to the models that rank them. */
export declare class RerankRouter extends Router<RerankRequest, Ranking> {
    /** See `Router`. */
    constructor(options?: RouterOptions);
}

/**
 * OpenAI's body of `POST /v1/responses` without `model`. What thryd does not know travels to the provider. `input` may only be
 * absent beside a `prompt`, a `previous_response_id` or a `conversation`.
 */
export declare interface ResponsesRequest {
    /** A text of the user's, or a list of items: messages, calls, results of calls, reasoning, in OpenAI's shape. */
    input?: string | object[];
    /** What the model is told before the input. */
    instructions?: string | null;
    /** Longest answer in tokens, reasoning included: at least 1. Also what is reserved under `tpm`. */
    max_output_tokens?: number;
    /** Most calls of the provider's own tools: at least 1. */
    max_tool_calls?: number;
    /** From 0, always the likeliest word, to 2. */
    temperature?: number;
    /** Share of the likeliest words to choose from, from 0 to 1. */
    top_p?: number;
    /** Functions and tools of the provider's, in OpenAI's flat shape. */
    tools?: object[];
    /** Which of them it must call, in OpenAI's shape. */
    tool_choice?: unknown;
    /** The form of the answer, e.g. `{ format: { type: 'json_schema', ... } }`, in OpenAI's shape. */
    text?: object;
    /** How long to think, in OpenAI's shape. */
    reasoning?: object;
    /** The `id` of an earlier answer to go on from. It is asked of the provider that gave that, if the router has seen it. */
    previous_response_id?: string | null;
    /** A conversation of the provider's, which the answer is added to: such a request is neither cached nor shared. */
    conversation?: string | {
        id: string;
    } | null;
    /** Whether the provider keeps the answer. @default the provider's: with OpenAI, it does */
    store?: boolean | null;
    [field: string]: unknown;
}

/** Routes requests of OpenAI's Responses API to the models that answer them. */
export declare class ResponsesRouter extends Router<ResponsesRequest, ModelResponse> {
    /** See `Router`. */
    constructor(options?: RouterOptions);
    /** As `stream` of a `CompletionRouter`; the whole answer is that of the stream's `response()`. */
    stream(group: string, request: ResponsesRequest, options?: StreamOptions): ResponsesStream;
}

/**
 * An answer of the Responses API in pieces, for one reader, as a `CompletionStream`: `content` is the text of its messages,
 * `reasoning` what it says of its thoughts, `tool-call` a piece of a call of a function or a custom tool.
 */
export declare interface ResponsesStream extends AsyncIterable<CompletionChunk> {
    /**
     * The whole answer, when the iteration has ended; runs it if nobody has. Not to be awaited inside the loop, which it waits
     * for. @throws the error that ended the iteration; an AbortError if the reader left before the end
     */
    response(): Promise<ModelResponse>;
}

/** When and how often a failed attempt is followed by another. */
export declare interface RetryOptions {
    /** Further attempts, all deployments together. @default 3 */
    maxRetries?: number;
    /** Milliseconds before the first retry on the same deployment; doubles, jittered. @default 500 */
    baseDelayMs?: number;
    /** Its bound in milliseconds; also the longest `Retry-After` that is waited for. @default 30_000 */
    maxDelayMs?: number;
    /** Share of requests that may be retries over 10 s, on top of 10 a second. @default 0.2 */
    budget?: number;
    /** Milliseconds of the first rest of a failing deployment; grows with every further one. @default 5_000 */
    cooldownMs?: number;
    /**
     * Send a second attempt elsewhere when the first token takes longer than this quantile of recent ones, between 0 and 1, e.g.
     * 0.95. The one that says something first goes on, the other is cancelled; both are charged, and the second is a retry.
     * @default off
     */
    hedgeQuantile?: number;
}

/**
 * What all routers can do. Groups of interchangeable deployments answer requests; each deployment has its limits; answers are
 * kept in a cache. An idle router does not keep the process alive.
 */
export declare abstract class Router<Request, Response> {
    #private;
    /**
     * @param options - everything that the methods can also set
     * @throws TypeError and RangeError on bad options, naming the field; ThrydError as the methods do
     */
    constructor(options?: RouterOptions);
    /**
     * Adds an endpoint, or code that acts as one. One of the same name is replaced, its limits too.
     * @throws TypeError and RangeError, naming the field; ThrydError `ERR_NO_PROVIDER` if its key is neither given nor in the
     * environment
     */
    addProvider(provider: ProviderOptions | CustomProvider): this;
    /** Takes a provider away. Calls in flight on it finish. @returns whether it was there */
    removeProvider(name: string): boolean;
    /**
     * Puts a model into a group, which is made if it is not there.
     * @param model - `provider::model`
     * @throws RangeError on a number out of range; TypeError; ThrydError `ERR_NO_PROVIDER`
     */
    deploy(group: string, model: string, options?: DeployOptions): this;
    /** Takes a model out of a group. Calls in flight on it finish. @returns whether it was there */
    undeploy(group: string, model: string): boolean;
    /**
     * Sets how a group chooses; what is absent stays as it is. A group that is not there is made.
     * @throws TypeError on an unknown strategy, and on fallbacks that lead back to the group
     */
    configureGroup(group: string, options: GroupOptions): this;
    /** Takes a group away with its deployments. Calls in flight finish. @returns whether it was there */
    removeGroup(group: string): boolean;
    /** The names of the groups. */
    groups(): string[];
    /**
     * Opens or joins the cache. Several routers may mount one path.
     * @param cache - a path, options, or a cache that is open
     * @throws CacheError if it cannot be opened; TypeError and RangeError on bad options
     */
    mountCache(cache: string | CacheOptions | Cache): Promise<this>;
    /** The cache, once it is open. */
    get cache(): Cache | undefined;
    /**
     * Asks a group. Equal requests in flight share one call.
     * @returns the whole answer
     * @throws ThrydError, or what `options.signal` was aborted with; TypeError and RangeError on bad arguments
     */
    invoke(group: string, request: Request, options?: InvokeOptions): Promise<Response>;
    /**
     * Asks a group many times, some at once. Results come in the order of the requests; a failed item is an Error in its place.
     * Requests are read as they are needed, and begun when the first result is asked for; leaving the loop cancels the rest.
     * @throws what `options.signal` was aborted with, what the iteration of `requests` throws, and TypeError and RangeError on
     * bad `concurrency`, `onProgress`, `signal`
     */
    invokeMany(group: string, requests: Iterable<Request> | AsyncIterable<Request>, options?: BatchOptions): AsyncIterable<Response | ThrydError>;
    /** Milliseconds until a request of this size could be admitted; 0 is now. @throws ThrydError if it never could */
    estimateWaitMs(group: string, request: Request): number;
    /** A snapshot, cheap enough to poll. */
    stats(): RouterStats;
    /** Refuses new calls, waits for those in flight, flushes the cache. Idempotent. Not needed for the process to exit. */
    close(): Promise<void>;
    /** As `close`, for `await using`. */
    [Symbol.asyncDispose](): Promise<void>;
}

/** What a router starts with; all of it can also be said later, by its methods. */
export declare interface RouterOptions {
    /** As `addProvider`, in order. */
    providers?: (ProviderOptions | CustomProvider)[];
    /** As `deploy` and `configureGroup`: the groups by name. A deployment is its model, or its options with the `model`. */
    groups?: Record<string, GroupOptions & {
        deployments: (string | ({
            model: string;
        } & DeployOptions))[];
    }>;
    /** Path or options; opened on first use, or by `mountCache`. @default none */
    cache?: string | CacheOptions | Cache;
    /**
     * Counts `rpm`, `tpm` and `maxConcurrent` of every deployment for all processes and machines that name the same Redis or
     * Valkey: its URL, or options with one. While it is away, each process goes on alone with its share of the limits, and
     * `stats()` says so. @default limits are this router's own
     */
    limits?: {
        redis: string | RedisLimitsOptions;
    };
    /** When and how often a failed attempt is followed by another. */
    retry?: RetryOptions;
    /** The clocks of every call; a call's own options win. */
    timeouts?: Timeouts;
}

/** A router at one moment. Counters run from the router's creation. */
export declare interface RouterStats {
    /** Calls that have begun and not ended, waiting ones included. */
    inFlight: number;
    /** Calls that wait for a limit. */
    waiting: number;
    /** By group name. */
    groups: Record<string, {
        waiting: number;
        deployments: DeploymentStats[];
    }>;
    /**
     * By provider name, those with limits of their own: what everybody in this process who shares them has in flight, and has
     * spent or reserved in the last 60 s. Absent if there are none.
     */
    providers?: Record<string, {
        inFlight: number;
        window: {
            requests: number;
            tokens: number;
        };
        limits: {
            rpm?: number;
            tpm?: number;
            maxConcurrent?: number;
        };
    }>;
    /** Of the cache, if one is mounted. */
    cache?: CacheStats;
    /** How limits are counted, if over Redis. */
    limits?: {
        redis: RedisLimitsStats;
    };
}

/** What all answers have in common. */
export declare interface Served {
    /** The deployment that answered, `provider::model`. */
    deployment: string;
    /** The model name that the provider reported. */
    model: string;
    /** Tokens, and what they cost. */
    usage: Usage;
    /**
     * Where the answer came from: `'memory'`, `'disk'` and `'redis'` are the cache's levels; `'joined'` shared the call of an
     * equal request that was under way, here or, with the cache's `join`, in another process; `'miss'` was asked of a provider and is kept, if it is complete and of the group itself;
     * `'off'` was asked without a cache, or of a dummy, whose answers are only kept if its options say so.
     */
    cache: 'memory' | 'disk' | 'redis' | 'joined' | 'miss' | 'off';
    /** Every try on a deployment, in order, the last one being the one that answered. Empty on a cache hit. */
    attempts: Attempt[];
    /** Milliseconds from call to answer, waiting included. */
    latencyMs: number;
    /** Of that, milliseconds spent waiting for a limit. */
    queuedMs: number;
    /** Its place in the line when it came: 1 was next; 0 did not stand in it. */
    queuePosition: number;
}

/**
 * Who is asked first among the deployments that are healthy and have room: the one deployed first; each in turn; the one with
 * the most room left; each in turn by `weight`; the one that has been answering fastest.
 */
export declare type Strategy = 'first-available' | 'round-robin' | 'least-loaded' | 'weighted' | 'lowest-latency';

/** What one streamed call can set. */
export declare interface StreamOptions extends InvokeOptions {
    /**
     * After the first chunk, on failure: `'error'` ends with a typed error, `'restart'` begins again elsewhere and says so by a
     * `restart` chunk. @default 'error'
     */
    onInterrupt?: 'error' | 'restart';
    /** Assemble the answer before the first chunk, so that failover is invisible. @default false */
    buffer?: boolean;
}

/**
 * A failed call. Programming errors are TypeError and RangeError; a cancelled call rejects with `signal.reason`; all else is
 * one of these or of its subclasses.
 */
export declare class ThrydError extends Error {
    /** What went wrong. */
    readonly code: ErrorCode;
    /** Whether the same call may succeed later, with nothing changed. */
    readonly retryable: boolean;
    /** Every try on a deployment, in order. */
    readonly attempts: Attempt[];
    constructor(message: string, details: ErrorDetails);
    /** Like instanceof, across realms and copies of the package. On a subclass: whether it is one of that subclass. */
    static is<Class extends abstract new (...values: never) => ThrydError>(this: Class, error: unknown): error is InstanceType<Class>;
    static is(this: void, error: unknown): error is ThrydError;
}

/** A clock ran out. */
export declare class TimeoutError extends ThrydError {
    /** Which one: see `Timeouts`. */
    readonly phase: 'queue' | 'connect' | 'firstToken' | 'idle' | 'attempt' | 'total';
    /** The deployment that was silent, if it was one's: `provider::model`. */
    readonly deployment?: string;
    constructor(message: string, details: ErrorDetails & {
        phase: TimeoutError['phase'];
        deployment?: string;
    });
}

/** The clocks of a call, in milliseconds. One that runs out is a TimeoutError that names it, or a RateLimitError for `queueMs`. */
export declare interface Timeouts {
    /** Opening a connection. @default 10_000 */
    connectMs?: number;
    /**
     * Headers and first token of one attempt. If it is set, `invoke` asks for a stream too, because a whole answer has no first
     * token. @default 60_000 for a stream, `attemptMs` for a whole answer
     */
    firstTokenMs?: number;
    /** Gap between two tokens. @default 30_000 */
    idleMs?: number;
    /** One attempt. @default 600_000 */
    attemptMs?: number;
    /** The whole call, waiting included. @default none */
    totalMs?: number;
    /** Waiting for a limit; 0 fails at once. @default 60_000 */
    queueMs?: number;
}

/** What one answer used. */
export declare interface Usage {
    /** Tokens of the request. */
    promptTokens: number;
    /** Tokens of the answer, reasoning included. */
    completionTokens: number;
    /** Both together. */
    totalTokens: number;
    /** Of the prompt's tokens, those that the provider had in its own cache. */
    cachedPromptTokens?: number;
    /** Of the completion's tokens, those spent on reasoning. */
    reasoningTokens?: number;
    /** US dollars, if the deployment has a `price`. */
    cost?: number;
    /** Present if the provider reported nothing and the numbers are thryd's own count. */
    estimated?: true;
}

/** The window on its own, for callers who meter something else. In any 60 s at most `rpm` requests and `tpm` tokens. */
export declare class UsageTracker {
    #private;
    /**
     * @param limits - requests and tokens in any 60 s: positive integers. @default unlimited
     * @throws RangeError, TypeError
     */
    constructor(limits: {
        rpm?: number;
        tpm?: number;
    });
    /**
     * Reserves one request and so many tokens, if there is room.
     * @param tokens - @default 0
     * @returns 0 and reserves, or the milliseconds to wait and reserves nothing
     * @throws RangeError if so many can never fit
     */
    tryAcquire(tokens?: number): number;
    /** Replaces a reservation of tokens by what was used. */
    settle(reserved: number, actual: number): void;
    /** What could be reserved now; Infinity where there is no limit. */
    remaining(): {
        requests: number;
        tokens: number;
    };
}

export { }
