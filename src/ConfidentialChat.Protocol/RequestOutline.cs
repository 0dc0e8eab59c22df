// spec/envelope-v1.md section 5; depth, members and values are those of spec/inference.md section 4.
using System.Text.Json;
using System.Text.Unicode;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Protocol;

/// <summary>What is read of an opened request before an engine has it, whichever envelope it came in. The rest is the engine's business.</summary>
/// <param name="Model">Null where it is missing.</param>
/// <param name="Stream">Null where it is missing, or null.</param>
public readonly record struct RequestOutline(string? Model, bool? Stream)
{
    /// <summary>Reads one JSON object within its bounds.</summary>
    /// <param name="json">The bytes as opened.</param>
    /// <param name="outline">What it says.</param>
    /// <returns>The first fault; null where there is none.</returns>
    public static Rejection? TryRead(ReadOnlySpan<byte> json, out RequestOutline outline)
    {
        var rejection = Read(json, out var model, out var stream);
        outline = new RequestOutline(model, stream);
        return rejection;
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
            // one more, to tell what is too deep from what is no JSON
            var json = new Utf8JsonReader(plaintext, new JsonReaderOptions { MaxDepth = InferenceJson.DepthMax + 1 });
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
            if (++values > InferenceJson.ValuesMax
                || (json.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray && json.CurrentDepth >= InferenceJson.DepthMax))
                return false;
        }

        return true;
    }
}
