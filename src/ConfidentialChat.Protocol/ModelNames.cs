namespace ConfidentialChat.Protocol;

/// <summary>What a model may be called: 1 to 256 UTF-16 units.</summary>
public static class ModelNames
{
    public const int MaxLength = 256;

    public static bool IsValid([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] string? name) => name is { Length: > 0 and <= MaxLength };
}
