// spec/inference.md section 1.
using System.Text.Json;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>One thing to embed: a text, or its tokens.</summary>
/// <param name="Text">Well-formed and not empty; null where there are tokens.</param>
/// <param name="Tokens">Known tokens, one at the least; null where there is text.</param>
internal readonly record struct EmbeddingInput(string? Text, IReadOnlyList<int>? Tokens);

/// <summary>An OpenAI embeddings request that this engine can serve exactly as it was asked.</summary>
internal sealed record EmbeddingRequest
{
    private const string Field = "input";
    private const int InputsMax = 2048; // as the API has it

    public required IReadOnlyList<EmbeddingInput> Inputs { get; init; }

    /// <summary>Little-endian floats in base64, instead of numbers.</summary>
    public bool IsBase64 { get; init; }

    /// <inheritdoc cref="RequestMembers.Read"/>
    public static EmbeddingRequest? Read(ReadOnlyMemory<byte> body, RequestLimits limits, out InferenceStart.Refused? refused) =>
        RequestMembers.Read(body, limits, Read, out refused);

    private static EmbeddingRequest Read(RequestMembers members)
    {
        members.RefuseUnless("dimensions", _ => false);
        members.RefuseUnless("encoding_format", value => RequestMembers.IsText(value, "float") || RequestMembers.IsText(value, "base64"));
        return new EmbeddingRequest
        {
            Inputs = ReadInputs(members),
            IsBase64 = members.TryMember("encoding_format", out var format) && RequestMembers.IsText(format, "base64"),
        };
    }

    private static List<EmbeddingInput> ReadInputs(RequestMembers members)
    {
        if (!members.TryMember(Field, out var input))
            throw new RefusedFieldException(Field);
        var reader = RequestMembers.Reader(input);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
            return [Text(ref reader, members.Limits)];
        var inputs = new List<EmbeddingInput>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (inputs.Count == InputsMax)
                throw new RefusedFieldException(Field);
            switch (reader.TokenType)
            {
                case JsonTokenType.Number when inputs.Count == 0: // the array itself is one row of tokens
                    return [Tokens(ref reader, members.Limits)];
                case JsonTokenType.StartArray:
                    reader.Read();
                    inputs.Add(Tokens(ref reader, members.Limits));
                    break;
                default:
                    inputs.Add(Text(ref reader, members.Limits));
                    break;
            }
        }

        return inputs.Count > 0 ? inputs : throw new RefusedFieldException(Field);
    }

    private static EmbeddingInput Text(ref Utf8JsonReader reader, RequestLimits limits)
    {
        if (reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length > limits.Context.Bytes)
            throw RefusedFieldException.TooLarge(Field);
        return RequestMembers.Text(ref reader, Field) is { Length: > 0 } text ? new EmbeddingInput(text, null) : throw new RefusedFieldException(Field);
    }

    // From the first token to the end of its row.
    private static EmbeddingInput Tokens(ref Utf8JsonReader reader, RequestLimits limits)
    {
        var tokens = new List<int>();
        for (; reader.TokenType != JsonTokenType.EndArray; reader.Read())
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out var token) || token < 0 || token >= limits.TokenCount)
                throw new RefusedFieldException(Field);
            if (tokens.Count == limits.Context.Tokens)
                throw RefusedFieldException.TooLarge(Field);
            tokens.Add(token);
        }

        return tokens.Count > 0 ? new EmbeddingInput(null, tokens) : throw new RefusedFieldException(Field);
    }
}
