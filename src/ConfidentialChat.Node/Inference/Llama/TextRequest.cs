// spec/inference.md section 1.
namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>An OpenAI completion request: one prompt, continued as it stands.</summary>
internal sealed record TextRequest : GenerationRequest
{
    private const long MaxTokensDefault = 16; // as the API has it

    /// <summary>Well-formed UTF-16. What spells a control token is one: the caller wrote all of it.</summary>
    public required string Prompt { get; init; }

    /// <inheritdoc cref="RequestMembers.Read"/>
    public static TextRequest? Read(ReadOnlyMemory<byte> body, RequestLimits limits, out InferenceStart.Refused? refused) =>
        RequestMembers.Read(body, limits, Read, out refused);

    private static TextRequest Read(RequestMembers members)
    {
        members.Integer("n", 1, 1);
        members.Integer("best_of", 1, 1);
        members.RefuseUnless("echo", JsonMembers.IsFalse);
        members.RefuseUnless("suffix", value => RequestMembers.IsText(value, ""));
        members.RefuseUnless("logprobs", JsonMembers.IsFalse);
        members.RefuseUnless("response_format", RequestMembers.IsOfText);
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
