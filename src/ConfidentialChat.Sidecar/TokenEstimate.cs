// spec/sidecar.md section 2: counting tokens.
using System.Buffers;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Sidecar;

/// <summary>What a request would have a model read, in tokens, where no tokenizer says it: agents that are told nothing do not know when to stop.</summary>
internal static class TokenEstimate
{
    private const int BytesOfToken = 4; // as a node counts where nobody does: spec/inference.md section 5 rule 6
    private const int TokensOfMedium = 1600; // the most that the API's own vendor counts for an image
    private const int LeastMedium = 1024; // bytes of base64: what is less is a text

    /// <summary>The tokens, at least one.</summary>
    /// <param name="json">The request. One that is no JSON has what it has up to there.</param>
    public static long Of(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 256 });
        var (bytes, media, isData) = (0L, 0L, false);
        try
        {
            while (reader.Read())
            {
                if (reader.TokenType is JsonTokenType.PropertyName)
                {
                    isData = reader.ValueTextEquals("data"u8);
                    bytes += reader.ValueSpan.Length;
                }
                else if (isData && reader.TokenType is JsonTokenType.String && reader.ValueSpan.Length >= LeastMedium)
                {
                    media++;
                }
                else
                {
                    bytes += reader.TokenType is JsonTokenType.String or JsonTokenType.Number ? reader.ValueSpan.Length : 0;
                }
            }
        }
        catch (JsonException)
        {
            // its sender is told by whoever reads it
        }

        return Math.Max(1, ((bytes + BytesOfToken - 1) / BytesOfToken) + (media * TokensOfMedium));
    }

    /// <summary>Answers with it.</summary>
    public static async Task WriteAsync(HttpContext context, long tokens)
    {
        var buffer = new ArrayBufferWriter<byte>(64);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("input_tokens"u8, tokens);
            json.WriteEndObject();
        }

        AnswerHeaders.SayEstimated(context);
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = buffer.WrittenCount;
        await context.Response.Body.WriteAsync(buffer.WrittenMemory, context.RequestAborted);
    }
}
