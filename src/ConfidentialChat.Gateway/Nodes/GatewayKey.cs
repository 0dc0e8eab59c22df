// spec/gateway.md section 3.
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>The gateway's own secret: it names the gateway to its nodes, and seals what it agreed upon with each.</summary>
/// <param name="seed">32 bytes; the caller clears them.</param>
internal sealed class GatewayKey(ReadOnlySpan<byte> seed) : IDisposable
{
    /// <summary>Signs answers to enrolments.</summary>
    public Ed25519PrivateKey Identity { get; } = Ed25519PrivateKey.Import(seed);

    public RelayKeySeal Seal { get; } = new(seed);

    public void Dispose()
    {
        Identity.Dispose();
        Seal.Dispose();
    }
}
