// spec/envelope-v1.md section 5.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Protocol.V1;

/// <summary>What the envelope's rules read of an opened request. The rest is the engine's business.</summary>
/// <param name="Model">The encrypted model, equal to the one named outside.</param>
/// <param name="Stream">Whether the answer streams.</param>
public sealed record InnerRequest(string Model, bool Stream)
{
    /// <summary>Checks an opened plaintext against its envelope.</summary>
    /// <param name="plaintext">The bytes as opened.</param>
    /// <param name="envelope">The envelope they came in.</param>
    /// <param name="streamRequired">True for chat: a missing <c>stream</c> is refused there, and counts as false elsewhere.</param>
    /// <param name="request">The checked request.</param>
    /// <param name="rejection">The first fault.</param>
    public static bool TryCheck(
        ReadOnlySpan<byte> plaintext,
        EnvelopeRequest envelope,
        bool streamRequired,
        [NotNullWhen(true)] out InnerRequest? request,
        [NotNullWhen(false)] out Rejection? rejection)
    {
        request = null;
        rejection = RequestOutline.TryRead(plaintext, out var outline);
        var (model, stream) = outline;
        if (rejection is not null)
            return false;
        if (model is null)
            rejection = new Rejection(RequestError.InvalidField, "model");
        else if (stream is null && streamRequired)
            rejection = new Rejection(RequestError.InvalidField, "stream");
        else if (!string.Equals(model, envelope.ModelName, StringComparison.Ordinal))
            rejection = new Rejection(RequestError.ModelMismatch);
        else if (envelope.Stream is { } outer && outer != (stream ?? false))
            rejection = new Rejection(RequestError.StreamMismatch);
        if (rejection is not null)
            return false;
        request = new InnerRequest(model!, stream ?? false);
        return true;
    }
}
