// spec/envelope-v1.md section 5 rule 3: chat has to say whether it streams.
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Transport.V1;

/// <summary>The member <c>stream</c> of a request that leaves it to the default, as callers of the OpenAI API may.</summary>
internal static class StreamMember
{
    /// <summary>The same request with <c>"stream":false</c>; every other byte stays. The request is a JSON object with a member at least.</summary>
    public static byte[] Add(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = InferenceJson.DepthMax });
        reader.Read();
        var first = (int)reader.BytesConsumed;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isStream = reader.ValueTextEquals("stream"u8);
            reader.Read();
            if (isStream)
                return [.. json[..(int)reader.TokenStartIndex], .. "false"u8, .. json[(int)reader.BytesConsumed..]]; // it was null
            reader.Skip();
        }

        return [.. json[..first], .. "\"stream\":false,"u8, .. json[first..]];
    }
}
