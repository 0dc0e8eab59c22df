// spec/envelope-v1.md sections 1 and 5.
namespace ConfidentialChat.Protocol.V1;

/// <summary>One endpoint that takes envelopes of v1: <c>/v1/confidential</c> and, behind it, what the OpenAI API has.</summary>
/// <param name="Inference">What stands behind it.</param>
public sealed record EnvelopeEndpoint(InferenceEndpointRow Inference)
{
    private const string Version = "/v1";
    private const string Prefix = "/v1/confidential";

    /// <summary>All of them, in the order of <see cref="InferenceEndpoints.Table"/>: those whose events have no names.</summary>
    public static IReadOnlyList<EnvelopeEndpoint> Table { get; } =
        [.. InferenceEndpoints.Table.Where(row => !row.HasNamedEvents).Select(row => new EnvelopeEndpoint(row))];

    /// <summary>The same at gateway and node.</summary>
    public string Path { get; } = Prefix + Inference.Path[Version.Length..];

    /// <summary>Whether the inner request has to say <c>stream</c>; section 5 rule 3.</summary>
    public bool StreamRequired => Inference.Endpoint is InferenceEndpoint.ChatCompletions;

    /// <summary>Whether a whole answer has <c>usage</c> outside, in the clear; section 7.</summary>
    public bool ShowsTokens => Inference.Unit is InferenceUnit.Token;

    /// <exception cref="ArgumentException">This envelope does not carry it.</exception>
    public static EnvelopeEndpoint Of(InferenceEndpoint endpoint) =>
        Table.FirstOrDefault(row => row.Inference.Endpoint == endpoint)
        ?? throw new ArgumentException($"{endpoint.Row().Path}: envelope v1 does not carry it.", nameof(endpoint));
}
