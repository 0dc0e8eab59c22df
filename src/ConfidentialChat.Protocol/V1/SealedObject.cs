// spec/envelope-v1.md section 7: what stands in a sealed object.
using System.Text.Json;
using System.Text.Unicode;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>The members of a sealed object, read in one pass and left where they stand: base64 is decoded by whoever has the buffer.</summary>
internal ref struct SealedObject
{
    // What a node adds may be nested, and no more than this.
    private static readonly JsonReaderOptions Depth = new() { MaxDepth = 16 };

    private Member ciphertext, nonce, hash, signature, usage;

    /// <summary>Base64, not checked yet; empty where there is none.</summary>
    public readonly ReadOnlySpan<byte> Ciphertext => ciphertext.Text;

    public string? Signature { get; private set; }

    public ClearUsage? Usage { get; private set; }

    /// <summary>Reads arbitrary bytes; members that it does not know are passed over, and none of the others may stand twice.</summary>
    public static bool TryRead(ReadOnlySpan<byte> json, out SealedObject read)
    {
        read = default;
        try
        {
            return Utf8.IsValid(json) && read.TryRead(json);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false; // InvalidOperationException: a lone surrogate
        }
    }

    /// <summary>Writes 12 bytes; false where there are none.</summary>
    public readonly bool TryGetNonce(Span<byte> bytes) => TryDecode(nonce.Text, bytes);

    /// <summary>Writes 32 bytes where there is a hash; false where it is none.</summary>
    public readonly bool TryGetResponseHash(Span<byte> bytes, out bool isThere)
    {
        isThere = hash.IsText;
        return !isThere || TryDecode(hash.Text, bytes);
    }

    private static bool TryDecode(ReadOnlySpan<byte> text, Span<byte> bytes)
    {
        Span<byte> decoded = stackalloc byte[Blake2b256.Size + 4];
        if (StrictBase64.MaxSize(text.Length) > decoded.Length || !StrictBase64.TryDecode(text, decoded, out var size) || size != bytes.Length)
            return false;
        decoded[..size].CopyTo(bytes);
        return true;
    }

    private bool TryRead(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, Depth);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            return false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isGood = reader.ValueTextEquals("ciphertext"u8) ? ciphertext.TryTake(ref reader) && ciphertext.IsTextOrNull
                : reader.ValueTextEquals("nonce"u8) ? nonce.TryTake(ref reader) && nonce.IsTextOrNull
                : reader.ValueTextEquals("response_hash"u8) ? hash.TryTake(ref reader) && hash.IsTextOrNull
                : reader.ValueTextEquals("signature"u8) ? TryTakeSignature(ref reader)
                : reader.ValueTextEquals("usage"u8) ? TryTakeUsage(ref reader)
                : TryPass(ref reader);
            if (!isGood)
                return false;
        }

        return reader.TokenType == JsonTokenType.EndObject && !reader.Read();
    }

    private bool TryTakeSignature(ref Utf8JsonReader reader)
    {
        if (!signature.TryTake(ref reader))
            return false;
        Signature = reader.TokenType == JsonTokenType.String ? reader.GetString() : null;
        return reader.TrySkip();
    }

    // What stands in clear is nobody's proof: a usage of another shape is none, and does not keep the answer from being opened.
    private bool TryTakeUsage(ref Utf8JsonReader reader)
    {
        if (!usage.TryTake(ref reader))
            return false;
        if (reader.TokenType != JsonTokenType.StartObject)
            return reader.TrySkip();
        Member prompt = default, completion = default;
        long? promptTokens = null, completionTokens = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isGood = reader.ValueTextEquals("prompt_tokens"u8) ? prompt.TryTake(ref reader) && TryTakeTokens(ref reader, ref promptTokens)
                : reader.ValueTextEquals("completion_tokens"u8) ? completion.TryTake(ref reader) && TryTakeTokens(ref reader, ref completionTokens)
                : TryPass(ref reader);
            if (!isGood)
                return false;
        }

        if (promptTokens is { } tokens)
            Usage = new ClearUsage(tokens, completionTokens ?? 0); // embeddings complete nothing
        return true;
    }

    private static bool TryTakeTokens(ref Utf8JsonReader reader, ref long? tokens)
    {
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var number) && number >= 0)
            tokens = number;
        return reader.TrySkip();
    }

    private static bool TryPass(ref Utf8JsonReader reader) => reader.Read() && reader.TrySkip();

    /// <summary>One member: whether it was seen, and its text.</summary>
    private ref struct Member
    {
        private bool isSeen;
        private JsonTokenType type;

        /// <summary>The text of a string without its escapes.</summary>
        public ReadOnlySpan<byte> Text { get; private set; }

        public readonly bool IsText => type == JsonTokenType.String;

        public readonly bool IsTextOrNull => type is JsonTokenType.String or JsonTokenType.Null;

        /// <summary>Goes to the member's value; false where it stands a second time.</summary>
        public bool TryTake(ref Utf8JsonReader reader)
        {
            if (isSeen || !reader.Read())
                return false;
            (isSeen, type) = (true, reader.TokenType);
            if (IsText)
                Text = reader.ValueSpan;
            if (IsText && reader.ValueIsEscaped)
            {
                var unescaped = new byte[reader.ValueSpan.Length];
                Text = unescaped.AsSpan(0, reader.CopyString(unescaped));
            }

            return true;
        }
    }
}
