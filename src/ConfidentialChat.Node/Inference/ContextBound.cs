// spec/inference.md section 5: what is refused before it is taken apart.
using System.Text.Json;

namespace ConfidentialChat.Node.Inference;

/// <summary>How large a request for a context of so many tokens can be. Generous: what could fit passes, and is counted later.</summary>
/// <param name="Tokens">Of the context, or of what is left of it.</param>
/// <param name="BytesOfToken">JSON that a token of the prompt can stand for.</param>
internal readonly record struct ContextBound(long Tokens, int BytesOfToken)
{
    /// <summary>JSON can write a byte of text as <c>\u0061</c>.</summary>
    private const int EscapeSize = 6;

    /// <summary>The longest tokens that vocabularies have are runs of 128 blanks; twice that, each written as an escape.</summary>
    private const int BytesOfAnyToken = 256 * EscapeSize;

    /// <summary>What JSON writes around a message of one token.</summary>
    private const int BytesAround = 256;

    /// <summary>For members that are no prompt.</summary>
    private const long BytesBeside = 1 << 20;

    /// <summary>Names and values of a message of one token: the API's have less than ten members.</summary>
    private const int ValuesOfToken = 64;

    /// <summary>Bytes of the request.</summary>
    public long Bytes => (Tokens * BytesOfToken) + BytesBeside;

    /// <summary>Where the vocabulary is not known.</summary>
    public static ContextBound OfAnyVocabulary(long tokens) => new(Math.Min(tokens, int.MaxValue), BytesOfAnyToken);

    /// <param name="tokens">Of the context.</param>
    /// <param name="longestToken">Letters of the vocabulary's longest token.</param>
    public static ContextBound Of(long tokens, int longestToken) => new(tokens, (longestToken * EscapeSize) + BytesAround);

    /// <summary>Whether so many messages can fit: a template writes a token around each at the least.</summary>
    /// <param name="messages">Valid JSON; read no further than they can fit.</param>
    public bool Admits(ReadOnlySpan<byte> messages)
    {
        var reader = new Utf8JsonReader(messages, new JsonReaderOptions { MaxDepth = JsonMembers.DepthMax });
        var (count, values) = (0L, 0L);
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.EndObject or JsonTokenType.EndArray)
                continue;
            if (reader.CurrentDepth == 1)
                count++;
            if (count > Tokens || ++values > Tokens * ValuesOfToken)
                return false;
        }

        return true;
    }
}
