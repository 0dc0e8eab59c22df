// spec/inference.md sections 1 and 8.
using System.Collections.Frozen;

namespace ConfidentialChat.Protocol;

/// <summary>What a request asks of an engine, whichever envelope it came in.</summary>
public enum InferenceEndpoint
{
    /// <summary><c>/v1/chat/completions</c>.</summary>
    ChatCompletions,

    /// <summary><c>/v1/completions</c>.</summary>
    Completions,

    /// <summary><c>/v1/embeddings</c>; never streams.</summary>
    Embeddings,

    /// <summary><c>/v1/images/generations</c>; never streams here.</summary>
    ImageGenerations,

    /// <summary><c>/v1/responses</c>; envelope v2 alone.</summary>
    Responses,

    /// <summary><c>/v1/messages</c>; envelope v2 alone.</summary>
    Messages,

    /// <summary><c>/v1/messages/count_tokens</c>; never streams; envelope v2 alone.</summary>
    CountTokens,
}

/// <summary>Whose words an endpoint speaks: they shape its answers, events and refusals.</summary>
public enum InferenceApi
{
    /// <summary>OpenAI's older endpoints: a stream is of chunk objects without names, and ends with <c>[DONE]</c>.</summary>
    OpenAI,

    /// <summary>OpenAI's <c>/v1/responses</c>: a stream is of named events.</summary>
    Responses,

    /// <summary>Anthropic's <c>/v1/messages</c>: a stream is of named events, and refusals have a shape of their own.</summary>
    Messages,
}

/// <summary>What a compute unit of an endpoint is.</summary>
public enum InferenceUnit
{
    Token,
    Pixel,
}

/// <summary>One row of the table of endpoints.</summary>
/// <param name="Endpoint">The endpoint.</param>
/// <param name="Path">Where its API has it; request and whole answer are <c>application/json</c>.</param>
/// <param name="MayStream">Whether an answer may be <c>text/event-stream</c>.</param>
/// <param name="Unit">What it is counted in.</param>
/// <param name="Api">Whose words it speaks.</param>
public sealed record InferenceEndpointRow(
    InferenceEndpoint Endpoint, string Path, bool MayStream, InferenceUnit Unit, InferenceApi Api = InferenceApi.OpenAI)
{
    /// <summary>Whether the events of a stream have names, and one of them is its end. Envelope v1 has no place for a name.</summary>
    public bool HasNamedEvents => Api is not InferenceApi.OpenAI;

    /// <summary>What a request stands for that names no amount.</summary>
    public ComputeUnits DefaultUnits => Unit is InferenceUnit.Pixel ? ComputeUnits.DefaultOfImages : ComputeUnits.Default;
}

/// <summary>The one table of endpoints. The paths of an envelope follow from it.</summary>
public static class InferenceEndpoints
{
    public static IReadOnlyList<InferenceEndpointRow> Table { get; } =
    [
        new(InferenceEndpoint.ChatCompletions, "/v1/chat/completions", MayStream: true, InferenceUnit.Token),
        new(InferenceEndpoint.Completions, "/v1/completions", MayStream: true, InferenceUnit.Token),
        new(InferenceEndpoint.Embeddings, "/v1/embeddings", MayStream: false, InferenceUnit.Token),
        new(InferenceEndpoint.ImageGenerations, "/v1/images/generations", MayStream: false, InferenceUnit.Pixel),
        new(InferenceEndpoint.Responses, "/v1/responses", MayStream: true, InferenceUnit.Token, InferenceApi.Responses),
        new(InferenceEndpoint.Messages, "/v1/messages", MayStream: true, InferenceUnit.Token, InferenceApi.Messages),
        new(InferenceEndpoint.CountTokens, "/v1/messages/count_tokens", MayStream: false, InferenceUnit.Token, InferenceApi.Messages),
    ];

    private static readonly FrozenDictionary<string, InferenceEndpointRow> ByPath = Table.ToFrozenDictionary(row => row.Path, StringComparer.Ordinal);
    private static readonly FrozenDictionary<InferenceEndpoint, InferenceEndpointRow> ByEndpoint = Table.ToFrozenDictionary(row => row.Endpoint);

    /// <summary>The row of a path; null where there is none.</summary>
    public static InferenceEndpointRow? OfPath(string path) => ByPath.GetValueOrDefault(path);

    public static InferenceEndpointRow Row(this InferenceEndpoint endpoint) => ByEndpoint[endpoint];
}
