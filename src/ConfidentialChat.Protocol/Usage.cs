// spec/gateway.md section 5 rule 6.
namespace ConfidentialChat.Protocol;

/// <summary>What one request used, in its parts, because they have prices of their own: tokens, and for images pixels.</summary>
public readonly record struct Usage(long PromptTokens, long CompletionTokens)
{
    /// <summary>Width times height of every image.</summary>
    public long Pixels { get; init; }

    public long TotalTokens => PromptTokens + CompletionTokens;

    /// <summary>A token is one unit, and so is a pixel.</summary>
    public ComputeUnits Units => new(TotalTokens + Pixels);

    /// <summary>The larger of each part.</summary>
    public Usage Largest(Usage other) => new(Math.Max(PromptTokens, other.PromptTokens), Math.Max(CompletionTokens, other.CompletionTokens))
    {
        Pixels = Math.Max(Pixels, other.Pixels),
    };

    /// <summary>No more than was reserved; what is too much is taken from the pixels first, then from the completion, then from the prompt.</summary>
    public Usage CappedAt(ComputeUnits units)
    {
        var prompt = Math.Min(PromptTokens, units.Value);
        var completion = Math.Min(CompletionTokens, units.Value - prompt);
        return new Usage(prompt, completion) { Pixels = Math.Min(Pixels, units.Value - prompt - completion) };
    }
}
