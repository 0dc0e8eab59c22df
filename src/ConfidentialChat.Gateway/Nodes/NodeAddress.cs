// spec/gateway.md sections 1 and 3.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>Where a node is, and by which TLS key it is known there.</summary>
/// <param name="Node">The node.</param>
/// <param name="Base">Scheme, host and port.</param>
/// <param name="TlsPin">Base64 of the SHA-256 of the SubjectPublicKeyInfo; null for plain HTTP.</param>
internal sealed record NodeAddress(NodeId Node, Uri Base, string? TlsPin)
{
    /// <summary>What paths go behind.</summary>
    public string Prefix { get; } = Base.GetLeftPart(UriPartial.Authority);

    /// <summary>Names the member of an enrolment that is not valid, or null. What is judged is what will be stored, and used.</summary>
    public static string? FaultIn([NotNull] Uri announced, string? tlsPin, bool dangerousPlainHttp, out Uri address)
    {
        // A host in other characters may be written anew as another host, or as none.
        if (!ForeignText.IsPlain(announced.OriginalString) || !announced.IsAbsoluteUri
            || !Uri.TryCreate(announced.AbsoluteUri, UriKind.Absolute, out address!) || address != announced
            || !Ascii.IsValid(address.Host) || Uri.CheckHostName(address.Host) is UriHostNameType.Unknown
            || address.AbsolutePath != "/" || address.Query.Length > 0 || address.Fragment.Length > 0 || address.UserInfo.Length > 0)
        {
            address = announced;
            return "address";
        }

        if (address.Scheme == Uri.UriSchemeHttp)
            return !address.IsLoopback && !dangerousPlainHttp ? "address" : tlsPin is not null ? "tls_pin" : null;
        if (address.Scheme != Uri.UriSchemeHttps)
            return "address";
        return StrictBase64.TryDecode(tlsPin, out var pin) && pin.Length == SHA256.HashSizeInBytes ? null : "tls_pin";
    }
}
