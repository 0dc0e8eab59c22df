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
    private const int InputsMax = 2048; // as the API has it

    public required IReadOnlyList<EmbeddingInput> Inputs { get; init; }

    /// <summary>Little-endian floats in base64, instead of numbers.</summary>
    public bool IsBase64 { get; init; }

    /// <inheritdoc cref="RequestMembers.Read"/>
    public static EmbeddingRequest? Read(ReadOnlyMemory<byte> body, int tokenCount, out string? field) =>
        RequestMembers.Read(body, tokenCount, Read, out field);

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
        const string Field = "input";
        if (!members.TryMember(Field, out var input))
            throw new RefusedFieldException(Field);
        if (input.ValueKind != JsonValueKind.Array)
            return [Input(input)];
        if (input.GetArrayLength() is 0 or > InputsMax && input.EnumerateArray().FirstOrDefault().ValueKind != JsonValueKind.Number)
            throw new RefusedFieldException(Field);
        return input[0].ValueKind == JsonValueKind.Number ? [Input(input)] : [.. input.EnumerateArray().Select(Input)];

        EmbeddingInput Input(JsonElement value)
        {
            if (value.ValueKind != JsonValueKind.Array)
                return RequestMembers.Text(value, Field) is { Length: > 0 } text ? new EmbeddingInput(text, null) : throw new RefusedFieldException(Field);
            if (value.GetArrayLength() == 0)
                throw new RefusedFieldException(Field);
            return new EmbeddingInput(null, [.. value.EnumerateArray().Select(token =>
                token.ValueKind == JsonValueKind.Number && token.TryGetInt32(out var id) && id >= 0 && id < members.TokenCount ? id : throw new RefusedFieldException(Field))]);
        }
    }
}
