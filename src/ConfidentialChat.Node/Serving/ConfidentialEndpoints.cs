// spec/envelope-v1.md section 1.
using ConfidentialChat.Node.Inference;

namespace ConfidentialChat.Node.Serving;

/// <summary>The table of confidential endpoints. Adding one is adding a row.</summary>
internal static class ConfidentialEndpoints
{
    public static readonly IReadOnlyList<ConfidentialEndpoint> Table =
    [
        new("/v1/confidential/chat/completions", InferenceEndpoint.ChatCompletions, StreamRequired: true),
    ];
}

/// <param name="Path">The path, the same at gateway and node.</param>
/// <param name="Inference">What the engine is asked for.</param>
/// <param name="StreamRequired">Whether the inner request has to say <c>stream</c>.</param>
internal sealed record ConfidentialEndpoint(string Path, InferenceEndpoint Inference, bool StreamRequired);
