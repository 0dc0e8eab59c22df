using System.Diagnostics.CodeAnalysis;

namespace ConfidentialChat.Protocol;

/// <summary>What a model may be called: 1 to 256 UTF-16 units.</summary>
public static class ModelNames
{
    public const int MaxLength = 256;

    public static bool IsValid([NotNullWhen(true)] string? name) => name is { Length: > 0 and <= MaxLength };

    /// <summary>Whether a node may serve a model under this name: valid, and shown everywhere as what it is (spec/gateway.md section 8 rule 3).</summary>
    public static bool CanBeServed([NotNullWhen(true)] string? name) => IsValid(name) && ForeignText.IsPlain(name);
}
