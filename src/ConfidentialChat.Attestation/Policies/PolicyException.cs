// spec/attestation.md section 10.
namespace ConfidentialChat.Attestation.Policies;

/// <summary>A policy that cannot be read: the caller's mistake, with the place and a way out.</summary>
public sealed class PolicyException(string message, string hint) : Exception(message)
{
    public string Hint { get; } = hint;
}
