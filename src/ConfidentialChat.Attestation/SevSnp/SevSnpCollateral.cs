// spec/attestation.md section 11, the names in `collateral`.
namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>What AMD says of a chip, as it was fetched; null is not given. Unverified bytes, which the owner does not change.</summary>
public sealed record SevSnpCollateral
{
    /// <summary>The names in a bundle.</summary>
    public static IReadOnlyList<string> Names { get; } = ["vek", "crl"];

    /// <summary>The VCEK or VLEK certificate in DER; or PEM, then the issuer and the root may follow.</summary>
    public ReadOnlyMemory<byte>? Vek { get; init; }

    /// <summary>The revocation list of the product's root, DER.</summary>
    public ReadOnlyMemory<byte>? Crl { get; init; }

    public static SevSnpCollateral From(IReadOnlyDictionary<string, ReadOnlyMemory<byte>> named)
    {
        ArgumentNullException.ThrowIfNull(named);
        return new SevSnpCollateral { Vek = Find("vek"), Crl = Find("crl") };

        // The cast is needed: a bare null would become an empty value, and what is missing would be malformed instead.
        ReadOnlyMemory<byte>? Find(string name) => named.TryGetValue(name, out var value) ? (ReadOnlyMemory<byte>?)value : null;
    }

    /// <summary>By the names in a bundle; what is null is left out.</summary>
    public IReadOnlyDictionary<string, ReadOnlyMemory<byte>> ToNamed()
    {
        var named = new Dictionary<string, ReadOnlyMemory<byte>>(StringComparer.Ordinal);
        foreach (var (name, value) in (ReadOnlySpan<(string, ReadOnlyMemory<byte>?)>)[("vek", Vek), ("crl", Crl)])
        {
            if (value is { } bytes)
                named.Add(name, bytes);
        }

        return named;
    }
}
