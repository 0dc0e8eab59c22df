// spec/envelope-v1.md section 1.
using ConfidentialChat.Node.Inference;

namespace ConfidentialChat.Node.Serving;

/// <summary>The table of confidential endpoints. Adding one is adding a row.</summary>
internal static class ConfidentialEndpoints
{
    public static readonly IReadOnlyList<ConfidentialEndpoint> Table =
    [
        new("/v1/confidential/chat/completions", InferenceEndpoint.ChatCompletions, StreamRequired: true, MayStream: true, ShowsTokens: true),
        new("/v1/confidential/completions", InferenceEndpoint.Completions, StreamRequired: false, MayStream: true, ShowsTokens: true),
        new("/v1/confidential/embeddings", InferenceEndpoint.Embeddings, StreamRequired: false, MayStream: false, ShowsTokens: true),
        new("/v1/confidential/images/generations", InferenceEndpoint.ImageGenerations, StreamRequired: false, MayStream: false, ShowsTokens: false),
    ];
}

/// <param name="Path">The path, the same at gateway and node.</param>
/// <param name="Inference">What the engine is asked for.</param>
/// <param name="StreamRequired">Whether the inner request has to say <c>stream</c>.</param>
/// <param name="MayStream">Whether <c>stream</c> may be true.</param>
/// <param name="ShowsTokens">Whether a whole answer has <c>usage</c> outside, in the clear.</param>
internal sealed record ConfidentialEndpoint(string Path, InferenceEndpoint Inference, bool StreamRequired, bool MayStream, bool ShowsTokens);
