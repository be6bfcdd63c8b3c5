/** What one request is answered with, in a word or in detail. */
export declare type Behaviour = BehaviourName | BehaviourOptions;

/**
 * A behaviour in a word, which is also the name of a model that behaves so: `'ok'`, a fault, `'status-503'`, or a fault with
 * the number of tokens before it: `'cut-3'`.
 */
export declare type BehaviourName = 'ok' | Fault | `status-${number}` | `${TokenFault}-${number}`;

/** What one request is answered with. */
export declare interface BehaviourOptions {
    /** What goes wrong. Not together with `status` or `faults`. @default nothing */
    fault?: Fault;
    /** Shares of requests that go wrong, drawn from the server's seed. @default none */
    faults?: FaultShares;
    /** HTTP status from 200 to 599. @default 200 */
    status?: number;
    /** The whole body instead of an answer: a text, or what JSON says. @default an error's, from status 300 on */
    body?: unknown;
    /** Further headers; a `content-type` here wins. @default none */
    headers?: Record<string, string>;
    /** Milliseconds, sent as `retry-after-ms` and, rounded up to seconds, as `retry-after`. @default not sent */
    retryAfterMs?: number;
    /** Milliseconds before the headers, or before the fault that comes instead of them. @default the server's */
    latencyMs?: Bounds;
    /** Milliseconds between two tokens of a stream. @default the server's */
    tokenIntervalMs?: Bounds;
    /**
     * Tokens of a stream before it stalls, is cut, ends, cannot be read or says an error; all of them, if it has fewer. A whole
     * answer is hit in its middle. @default half of them
     */
    afterTokens?: number;
    /** Text of a completion. @default the last message of the user */
    content?: string;
    /** Calls of a completion, in place of a text. Arguments may be an object. @default none */
    toolCalls?: {
        id?: string;
        name: string;
        arguments?: unknown;
    }[];
    /** @default `'stop'`, or `'tool_calls'` with calls */
    finishReason?: string;
}

/** Milliseconds, or the bounds between which they are drawn. */
export declare type Bounds = number | [min: number, max: number];

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

/**
 * A server in OpenAI's dialect on 127.0.0.1 that fails on demand: chat completions and responses (whole and streamed),
 * embeddings, rerank and the list of models. Answers echo the last message of the user and report their usage; words stand for tokens.
 *
 * ```js
 * await using server = await FaultServer.start()
 * router.addProvider(server.provider()) // 'faulty'
 * router.deploy('default', 'faulty::status-503').deploy('default', 'faulty::anything')
 * ```
 *
 * What a request gets is said, in this order, by an outage, the script of its model, the name of its model, the script of
 * `'*'`, and the server's `faults`.
 */
export declare class FaultServer {
    #private;
    /** The base URL, e.g. `http://127.0.0.1:40123/v1`. */
    readonly url: string;
    /** The port of 127.0.0.1. */
    readonly port: number;
    /** Starts one. @throws TypeError, RangeError for options that are wrong; the system's error for a port that is taken */
    static start(options?: FaultServerOptions): Promise<FaultServer>;
    private constructor();
    /** What a router's `addProvider` takes: models on this server are `name::model` then. */
    provider(name?: string): {
        type: 'openai-compatible';
        name: string;
        baseUrl: string;
    };
    /** The newest requests in the order in which they came, `logLimit` at most. */
    get requests(): readonly LoggedRequest[];
    /** Totals since the start or the last `reset()`. */
    get counts(): Readonly<FaultServerCounts>;
    /** Connections that are open now. */
    get connections(): number;
    /**
     * Says what a model does from now on; `'*'` is all that have no script and are not named like a behaviour. Without a script
     * it is as if it had never had one. @throws TypeError, RangeError that name what is wrong
     */
    script(model: string, script?: Script): this;
    /** Begins an outage: whatever these models are asked, or all if none is named, goes wrong in this way. Scripts wait. */
    outage(behaviour?: Behaviour, ...models: string[]): this;
    /** Ends the outages of these models, or all outages. */
    recover(...models: string[]): this;
    /** Resets every open connection (RST), whatever is going on there. */
    disconnect(): void;
    /** Resets every open connection and refuses new ones, until `listen()`. */
    refuse(): Promise<void>;
    /** Listens again after `refuse()`, on the same port. @throws the system's error if somebody else has taken it */
    listen(): Promise<void>;
    /**
     * Done when `predicate` gives something true, and gives that; it is asked at once, and whenever a request has come, a script
     * was asked, a token was sent, or an exchange or a connection was closed. @throws Error if that takes longer than `timeoutMs`; what
     * `predicate` throws
     */
    waitFor<Value>(predicate: () => Value, options?: {
        timeoutMs?: number;
    }): Promise<Truthy<Value>>;
    /**
     * As at the start: scripts, chances, no outage, an empty log. Connections stay open; what is under way goes on, and is in
     * no log any more.
     */
    reset(): void;
    /** Destroys every connection and stops. */
    close(): Promise<void>;
    /** `close()`, for `await using`. */
    [Symbol.asyncDispose](): Promise<void>;
}

/** Totals since the start or the last `reset()`. */
export declare interface FaultServerCounts {
    /** Requests that came. */
    requests: number;
    /** Of these, those that are still open. */
    open: number;
    /** Of these, those whose client left before the server was done. */
    aborted: number;
    /** Tokens of streams that were handed to sockets. */
    tokens: number;
    /** Requests by what they were answered with. */
    served: Partial<Record<Served, number>>;
    /** Requests by model. */
    models: Record<string, number>;
}

/** What a fault server starts with; `reset()` goes back to it. */
export declare interface FaultServerOptions {
    /** Of 127.0.0.1. @default a free one */
    port?: number;
    /** Makes chances repeatable: the n-th request to a model then gets the same in every run. An integer. @default 0 */
    seed?: number;
    /** What the models do, by name; `'*'` is all that have no script and are not named like a behaviour. @default answer well */
    models?: Record<string, Script>;
    /** Shares of requests that go wrong, of models that have no script and are not named like a behaviour. @default none */
    faults?: FaultShares;
    /** Milliseconds before the headers of every answer, unless its behaviour says otherwise. @default 0 */
    latencyMs?: Bounds;
    /** Milliseconds between two tokens of every stream, likewise. @default 0: all at once */
    tokenIntervalMs?: Bounds;
    /** How many of the newest requests are kept in `requests`: 0 for long runs, which then only count. @default 10_000 */
    logLimit?: number;
}

/** Shares of calls, from 0 to 1, that go wrong in some way; together at most 1. */
export declare interface FaultShares extends Partial<Record<Fault, number>> {
    /** By HTTP status, e.g. `{ 429: 0.1 }`. */
    status?: Record<string, number>;
}

/** One request and what became of it: it is written on until the exchange is closed. */
export declare class LoggedRequest {
    #private;
    /** Its place among all requests, from 0. */
    readonly number: number;
    /** When all of it had come, in milliseconds on the clock of `performance.now()`. */
    readonly atMs: number;
    /** Which connection brought it, counted from 0. */
    readonly connection: number;
    /** Path and query. */
    readonly path: string;
    /** The model that it names, or an empty string. */
    readonly model: string;
    /** Its JSON. */
    readonly body: Record<string, unknown>;
    /** Whether it wants a stream. */
    readonly stream: boolean;
    /** What it was answered with; undefined until that is decided. */
    served: Served | undefined;
    /** The status that was sent; undefined if no headers were. */
    status: number | undefined;
    /** When the headers were sent, on the same clock. */
    answeredAtMs: number | undefined;
    /** Tokens of a stream that were handed to the socket. */
    tokens: number;
    /** When the exchange was closed, on the same clock; undefined while it is open. */
    endedAtMs: number | undefined;
    /** Whether the server had done what it was to do, or the client left before. */
    endedBy: 'server' | 'client' | undefined;
    /** Its headers by their lower-case names, without those that hold keys. */
    get headers(): Record<string, string>;
}

/**
 * What the requests to a model are answered with: always the same; a list, in order, one each, after which the model behaves
 * as if it had no script; or what a function says of a request, where `undefined` is the same as no script. A promise holds
 * the request until it settles.
 */
export declare type Script = Behaviour | Behaviour[] | ((request: LoggedRequest) => Behaviour | undefined | Promise<Behaviour | undefined>);

/** What a request was answered with: well, with a fault, or with a status from 300 on. */
export declare type Served = 'ok' | Fault | `status-${number}`;

/** Faults that may come after some tokens. */
declare type TokenFault = 'stall' | 'cut' | 'end' | 'malformed' | 'errorEvent';

/** Tests that wait for something to become true. */
/** What is waited for, without what says that it has not come. */
declare type Truthy<Value> = Exclude<Value, undefined | null | false | 0 | ''>;

export { }
