// spec/envelope-v1.md section 3.1.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>The older form of a sealed request, which does not say where it goes: the caller's open locks do.</summary>
public sealed record FiveFieldRequest
{
    /// <inheritdoc cref="EnvelopeRequest.Ciphertext"/>
    public required ReadOnlyMemory<byte> Ciphertext { get; init; }

    /// <inheritdoc cref="EnvelopeRequest.Nonce"/>
    public required ReadOnlyMemory<byte> Nonce { get; init; }

    /// <inheritdoc cref="EnvelopeRequest.Salt"/>
    public required ReadOnlyMemory<byte> Salt { get; init; }

    public required X25519PublicKey ClientKey { get; init; }

    /// <inheritdoc cref="EnvelopeRequest.PlaintextBodyHash"/>
    public required ReadOnlyMemory<byte> PlaintextBodyHash { get; init; }

    /// <inheritdoc cref="EnvelopeRequest.Stream"/>
    public bool? Stream { get; init; }

    /// <inheritdoc cref="EnvelopeRequest.Units"/>
    public ComputeUnits? Units { get; init; }

    /// <summary>
    /// Reads arbitrary bytes. An envelope that names its node key, model or stack is
    /// not of this form, not even where it lacks one of the three.
    /// </summary>
    public static bool TryParse(
        ReadOnlySpan<byte> body, [NotNullWhen(true)] out FiveFieldRequest? request, [NotNullWhen(false)] out Rejection? rejection)
    {
        request = null;
        return EnvelopeFields.TryRead(body, keepsCiphertext: true, out var fields, out rejection) && TryTake(fields, out request, out rejection);
    }

    /// <inheritdoc cref="EnvelopeRequest.TryParseInPlace"/>
    public static bool TryParseInPlace(
        Memory<byte> body, [NotNullWhen(true)] out FiveFieldRequest? request, [NotNullWhen(false)] out Rejection? rejection)
    {
        request = null;
        return EnvelopeFields.TryReadInPlace(body, out var fields, out rejection) && TryTake(fields, out request, out rejection);
    }

    private static bool TryTake(EnvelopeFields fields, [NotNullWhen(true)] out FiveFieldRequest? request, [NotNullWhen(false)] out Rejection? rejection)
    {
        request = null;
        rejection = null;
        var fault = fields.NodeKey is null && fields.ModelName is null && fields.Stack is null
            ? fields.FirstMissingOfFive()
            : fields.FirstMissing() ?? "node_dh_public_key";
        if (fault is not null)
        {
            rejection = new Rejection(RequestError.InvalidField, fault);
            return false;
        }

        request = fields.ToFiveFields();
        return true;
    }

    /// <summary>The whole envelope, with what the lock says.</summary>
    public EnvelopeRequest To(X25519PublicKey nodeKey, string model, StackId stack) => new()
    {
        Ciphertext = Ciphertext,
        Nonce = Nonce,
        Salt = Salt,
        ClientKey = ClientKey,
        NodeKey = nodeKey,
        PlaintextBodyHash = PlaintextBodyHash,
        ModelName = model,
        Stack = stack,
        Stream = Stream,
        Units = Units,
    };
}
