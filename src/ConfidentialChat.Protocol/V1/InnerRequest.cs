// spec/envelope-v1.md section 5; depth, members and values are those of spec/inference.md section 4.
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;
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
        rejection = Read(plaintext, out var model, out var stream);
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

    private static Rejection? Read(ReadOnlySpan<byte> plaintext, out string? model, out bool? stream)
    {
        model = null;
        stream = null;
        var streamSeen = false;
        var (members, values) = (0, 0);
        if (!Utf8.IsValid(plaintext))
            return new Rejection(RequestError.InvalidJson);
        try
        {
            var json = new Utf8JsonReader(plaintext, new JsonReaderOptions { MaxDepth = InferenceJson.DepthMax + 1 }); // one more, to tell what is too deep from what is no JSON
            if (!json.Read() || json.TokenType != JsonTokenType.StartObject)
                return new Rejection(RequestError.InvalidJson);
            while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
            {
                if (++members > InferenceJson.MembersMax)
                    return new Rejection(RequestError.InvalidField, "body");
                if (json.ValueTextEquals("model"u8))
                {
                    json.Read();
                    if (model is not null || json.TokenType != JsonTokenType.String)
                        return new Rejection(RequestError.InvalidField, "model");
                    model = json.GetString();
                }
                else if (json.ValueTextEquals("stream"u8))
                {
                    json.Read();
                    if (streamSeen || json.TokenType is not (JsonTokenType.True or JsonTokenType.False or JsonTokenType.Null))
                        return new Rejection(RequestError.InvalidField, "stream");
                    streamSeen = true;
                    stream = json.TokenType == JsonTokenType.Null ? null : json.GetBoolean();
                }
                else
                {
                    json.Read();
                    if (!TrySkip(ref json, ref values))
                        return new Rejection(RequestError.InvalidField, "body");
                }
            }

            return json.TokenType != JsonTokenType.EndObject || json.Read() ? new Rejection(RequestError.InvalidJson) : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return new Rejection(RequestError.InvalidJson); // InvalidOperationException: a lone surrogate
        }
    }

    /// <summary>Goes to the end of a member's value; false where that is too deep, or with those before it too much.</summary>
    private static bool TrySkip(ref Utf8JsonReader json, ref int values)
    {
        if (json.TokenType is not (JsonTokenType.StartObject or JsonTokenType.StartArray))
            return true;
        var outside = json.CurrentDepth;
        while (json.Read() && json.CurrentDepth > outside)
        {
            if (json.TokenType is JsonTokenType.EndObject or JsonTokenType.EndArray)
                continue;
            if (++values > InferenceJson.ValuesMax || (json.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray && json.CurrentDepth >= InferenceJson.DepthMax))
                return false;
        }

        return true;
    }
}
