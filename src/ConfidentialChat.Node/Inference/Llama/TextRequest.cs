// spec/inference.md section 1.
using System.Text.Json;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>An OpenAI completion request: one prompt, continued as it stands.</summary>
internal sealed record TextRequest : GenerationRequest
{
    private const long MaxTokensDefault = 16; // as the API has it

    /// <summary>Well-formed UTF-16. What spells a control token is one: the caller wrote all of it.</summary>
    public required string Prompt { get; init; }

    /// <inheritdoc cref="RequestMembers.Read"/>
    public static TextRequest? Read(ReadOnlyMemory<byte> body, int tokenCount, out string? field) =>
        RequestMembers.Read(body, tokenCount, Read, out field);

    private static TextRequest Read(RequestMembers members)
    {
        members.Integer("n", 1, 1);
        members.Integer("best_of", 1, 1);
        members.RefuseUnless("echo", value => value.ValueKind == JsonValueKind.False);
        members.RefuseUnless("suffix", value => RequestMembers.IsText(value, ""));
        members.RefuseUnless("logprobs", value => value.ValueKind == JsonValueKind.False);
        members.RefuseUnless("response_format", value =>
            value.ValueKind == JsonValueKind.Object && value.TryGetProperty("type", out var type) && RequestMembers.IsText(type, "text"));
        return new TextRequest
        {
            Prompt = members.TryMember("prompt", out var prompt) ? RequestMembers.Text(prompt, "prompt") : throw new RefusedFieldException("prompt"),
            MaxTokens = members.Integer("max_tokens", 1, long.MaxValue) ?? MaxTokensDefault,
            Stops = members.ReadStops(),
            IncludeUsage = members.ReadIncludeUsage(),
            Sampling = members.ReadSampling(),
        };
    }
}
