using System.Text.Json;

namespace ConfidentialChat.Scripting;

/// <summary>
/// What a scripted engine is and does. As JSON with names in snake_case:
/// <c>{"engine":"vllm","exchanges":[{"steps":[{"do":"status","status":500}]}]}</c>.
/// </summary>
public sealed record EngineScript
{
    private static readonly JsonSerializerOptions Format =
        new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, AllowTrailingCommas = true, ReadCommentHandling = JsonCommentHandling.Skip };

    /// <summary>
    /// The <c>owned_by</c> of its models: <c>vllm</c>, <c>sglang</c>, <c>llamacpp</c>, <c>library</c> (Ollama), or <c>tei</c>, which has no such
    /// list.
    /// </summary>
    public string Engine { get; init; } = "vllm";

    public string Model { get; init; } = "scripted";

    /// <summary><c>max_model_len</c>; null says nothing of it.</summary>
    public long? MaxModelLen { get; init; }

    /// <summary>What <c>/health</c> answers; 404 where it has no such path.</summary>
    public int HealthStatus { get; init; } = 200;

    /// <summary>The gate at which <c>/health</c> waits before it answers; null where it answers at once.</summary>
    public string? HealthGate { get; init; }

    /// <summary>Whether <c>/tokenize</c> answers. A token is a run of letters between blanks.</summary>
    public bool Tokenizer { get; init; } = true;

    /// <summary>The bearer token that it asks for; null asks for none.</summary>
    public string? ApiKey { get; init; }

    /// <summary>What it serves, and lists in its <c>/openapi.json</c>.</summary>
    public IReadOnlyList<string> Paths { get; init; } =
    [
        "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/images/generations", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens",
    ];

    /// <summary>Whether it has an <c>/openapi.json</c>; of vLLM and SGLang.</summary>
    public bool Describes { get; init; } = true;

    /// <summary>Schemas in it that have a <c>cache_salt</c>.</summary>
    public IReadOnlyList<string> Salted { get; init; } = ["ResponsesRequest", "AnthropicMessagesRequest"];

    /// <summary>SGLang's <c>disable_radix_cache</c>.</summary>
    public bool DisableRadixCache { get; init; }

    /// <summary>Tokens of an answer, where no exchange says otherwise; <c>max_tokens</c> makes it shorter. Each is an event of a stream.</summary>
    public int Events { get; init; } = 8;

    /// <summary>Bytes of each token's text.</summary>
    public int Bytes { get; init; } = 8;

    /// <summary>Milliseconds before each token.</summary>
    public int DelayMs { get; init; }

    /// <summary>
    /// What a coding agent's shell is to do: a stream that offers a shell is answered with one call of it, and the next with the task's end. Null
    /// calls nothing.
    /// </summary>
    public string? Shell { get; init; }

    /// <summary>What is done with requests, in the order in which they come. A request that none is left for gets the deterministic answer.</summary>
    public IReadOnlyList<EngineExchange> Exchanges { get; init; } = [];

    public static EngineScript Parse(ReadOnlySpan<byte> json) =>
        JsonSerializer.Deserialize<EngineScript>(json, Format) ?? throw new JsonException("The script is null.");

    /// <summary>A script with one exchange, for every request.</summary>
    public static EngineScript Always(params EngineStep[] steps) => new() { Exchanges = [new EngineExchange { Times = 0, Steps = steps }] };

    /// <summary>A script whose next request meets this; those after it are served.</summary>
    public static EngineScript Once(params EngineStep[] steps) => new() { Exchanges = [new EngineExchange { Steps = steps }] };
}

/// <summary>How some requests are met.</summary>
public sealed record EngineExchange
{
    /// <summary>Only those of this path; null for each.</summary>
    public string? Path { get; init; }

    /// <summary>How often; 0 for ever.</summary>
    public int Times { get; init; } = 1;

    public required IReadOnlyList<EngineStep> Steps { get; init; }
}

/// <summary>One thing that the engine does.</summary>
public sealed record EngineStep
{
    /// <summary>
    /// <c>status</c> (<see cref="Status"/>, <see cref="Headers"/>; before anything is sent), <c>body</c> (<see cref="Text"/> as it stands),
    /// <c>slow</c> (<see cref="Text"/> byte by byte, <see cref="Ms"/> apart), <c>event</c> (<see cref="Data"/>, or <see cref="Text"/>, as one event),
    /// <c>stream</c> (<see cref="Events"/> chunks of <see cref="Bytes"/> bytes, <see cref="Ms"/> apart; 0 events without end), <c>finish</c> (a chunk with
    /// a finish reason), <c>usage</c> (a usage chunk of <see cref="Events"/> completion tokens), <c>done</c> (<c>[DONE]</c>),
    /// <c>huge</c> (one event of <see cref="Bytes"/> bytes), <c>delay</c> (<see cref="Ms"/>), <c>wait</c> (at the gate <see cref="Gate"/>),
    /// <c>cut</c> (the body breaks off), <c>reset</c> (the connection is reset), <c>recorded</c> (the answer in the recorded exchange
    /// <see cref="File"/>), <c>serve</c> (the deterministic answer).
    /// </summary>
    public required string Do { get; init; }

    public int Status { get; init; } = 200;

    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);

    public string? Text { get; init; }

    /// <summary>Of an <c>event</c> its name; null where it has none.</summary>
    public string? Name { get; init; }

    public JsonElement? Data { get; init; }

    public int Ms { get; init; }

    public int Events { get; init; }

    public int Bytes { get; init; } = 8;

    public string Gate { get; init; } = "gate";

    public string? File { get; init; }

    /// <summary>An answer with this status, type and body.</summary>
    public static EngineStep[] Answer(int status, string body, string type = "application/json", params (string Name, string Value)[] headers) =>
    [
        new()
        {
            Do = "status",
            Status = status,
            Headers = headers.Append(("Content-Type", type)).ToDictionary(header => header.Item1, header => header.Item2, StringComparer.OrdinalIgnoreCase),
        },
        new() { Do = "body", Text = body },
    ];

    /// <summary>The head of a stream.</summary>
    public static EngineStep Head() =>
        new() { Do = "status", Headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase) { ["Content-Type"] = "text/event-stream" } };

    public static EngineStep Event(string data) => new() { Do = "event", Text = data };

    /// <summary>An event whose name is its type.</summary>
    public static EngineStep Named(string name, string members = "") =>
        new() { Do = "event", Name = name, Text = $$"""{"type":"{{name}}"{{(members.Length == 0 ? "" : "," + members)}}}""" };

    public static EngineStep Wait(string gate = "gate") => new() { Do = "wait", Gate = gate };

    public static EngineStep Of(string what) => new() { Do = what };
}

/// <summary>What a scripted engine has done so far.</summary>
/// <param name="Requests">Requests for inference.</param>
/// <param name="InFlight">Those being served.</param>
/// <param name="PeakInFlight">The most at once.</param>
/// <param name="Cancelled">Those whose caller left before the end.</param>
/// <param name="EventsSent">Events of streams that were handed to the connection.</param>
/// <param name="TokensSent">Tokens of deterministic answers.</param>
/// <param name="Connections">Connections that were accepted.</param>
/// <param name="Tokenized">Requests to the tokenizer.</param>
public sealed record EngineCounters(
    long Requests, long InFlight, long PeakInFlight, long Cancelled, long EventsSent, long TokensSent, long Connections, long Tokenized);

/// <summary>One request as it came.</summary>
public sealed record EngineRequest(string Path, string Body, string? Authorization)
{
    /// <summary>Its headers, names in any case.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
}
