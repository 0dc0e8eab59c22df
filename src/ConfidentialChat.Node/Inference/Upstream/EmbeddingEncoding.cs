// spec/inference.md section 6.
using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>The vectors of an embeddings answer in the encoding that was asked for: not every engine knows both.</summary>
internal static class EmbeddingEncoding
{
    /// <summary>Whether a request wants its vectors in base64.</summary>
    public static bool IsBase64(UpstreamRequest request) =>
        request.Endpoint == InferenceEndpoint.Embeddings && request.Find("encoding_format") is { } format && JsonMembers.String(format) == "base64";

    /// <summary>
    /// Base64 of 32-bit floats, little endian, in the place of each list of numbers. Whatever is none stays as it stands: what an engine has in base64
    /// already, and what is no vector.
    /// </summary>
    /// <param name="json">An object. Erased where another is returned.</param>
    public static byte[] ToBase64(byte[] json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = JsonMembers.DepthMax });
        var output = new ArrayBufferWriter<byte>();
        var from = 0;
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isList = InferenceJson.IsNamed(in reader, "data"u8);
            reader.Read();
            if (!isList || reader.TokenType != JsonTokenType.StartArray)
            {
                reader.Skip();
                continue;
            }

            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                if (reader.TokenType == JsonTokenType.StartObject)
                    Encode(json, ref reader, output, ref from);
                else
                    reader.Skip();
            }
        }

        if (from == 0)
            return json;
        output.Write(json.AsSpan(from));
        var written = output.WrittenSpan.ToArray();
        output.Clear();
        CryptographicOperations.ZeroMemory(json);
        return written;
    }

    // One element of the list, up to its end.
    private static void Encode(ReadOnlySpan<byte> json, ref Utf8JsonReader reader, ArrayBufferWriter<byte> output, ref int from)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isVector = InferenceJson.IsNamed(in reader, "embedding"u8);
            reader.Read();
            var start = (int)reader.TokenStartIndex;
            var numbers = reader;
            if (!isVector || !TryRead(ref numbers, out var bytes))
            {
                reader.Skip();
                continue;
            }

            output.Write(json[from..start]);
            output.Write("\""u8);
            Base64.EncodeToUtf8(bytes.WrittenSpan, output.GetSpan(Base64.GetMaxEncodedToUtf8Length(bytes.WrittenCount)), out _, out var size);
            output.Advance(size);
            output.Write("\""u8);
            bytes.Clear();
            reader = numbers;
            from = (int)reader.BytesConsumed;
        }
    }

    private static bool TryRead(ref Utf8JsonReader reader, out ArrayBufferWriter<byte> bytes)
    {
        bytes = new ArrayBufferWriter<byte>(4096);
        if (reader.TokenType != JsonTokenType.StartArray)
            return false;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetSingle(out var number) || !float.IsFinite(number))
                return false;
            BinaryPrimitives.WriteSingleLittleEndian(bytes.GetSpan(sizeof(float)), number);
            bytes.Advance(sizeof(float));
        }

        return true;
    }
}
