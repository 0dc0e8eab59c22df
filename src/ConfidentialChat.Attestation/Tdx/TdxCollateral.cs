// spec/attestation.md section 11, the names in `collateral`.
namespace ConfidentialChat.Attestation.Tdx;

/// <summary>What Intel says of a platform, as it was fetched; null is not given. Unverified bytes, which the owner does not change.</summary>
public sealed record TdxCollateral
{
    /// <summary>The names in a bundle.</summary>
    public static IReadOnlyList<string> Names { get; } = ["tcb_info", "qe_identity", "tcb_signing_chain", "pck_crl", "root_ca_crl", "tcb_evaluation_numbers"];

    /// <summary>JSON.</summary>
    public ReadOnlyMemory<byte>? TcbInfo { get; init; }

    /// <summary>JSON.</summary>
    public ReadOnlyMemory<byte>? QeIdentity { get; init; }

    /// <summary>PEM: leaf, root.</summary>
    public ReadOnlyMemory<byte>? TcbSigningChain { get; init; }

    /// <summary>DER.</summary>
    public ReadOnlyMemory<byte>? PckCrl { get; init; }

    /// <summary>DER.</summary>
    public ReadOnlyMemory<byte>? RootCaCrl { get; init; }

    /// <summary>JSON; optional. Raises the least evaluation that is accepted, and never lowers it.</summary>
    public ReadOnlyMemory<byte>? TcbEvaluationNumbers { get; init; }

    /// <summary>Whether all five that are demanded are given.</summary>
    internal bool IsComplete => TcbInfo is not null && QeIdentity is not null && TcbSigningChain is not null && PckCrl is not null && RootCaCrl is not null;

    public static TdxCollateral From(IReadOnlyDictionary<string, ReadOnlyMemory<byte>> named)
    {
        ArgumentNullException.ThrowIfNull(named);
        return new TdxCollateral
        {
            TcbInfo = Find("tcb_info"),
            QeIdentity = Find("qe_identity"),
            TcbSigningChain = Find("tcb_signing_chain"),
            PckCrl = Find("pck_crl"),
            RootCaCrl = Find("root_ca_crl"),
            TcbEvaluationNumbers = Find("tcb_evaluation_numbers"),
        };

        // With the cast: without it null becomes an empty array, and what is missing would be called malformed.
        ReadOnlyMemory<byte>? Find(string name) => named.TryGetValue(name, out var value) ? (ReadOnlyMemory<byte>?)value : null;
    }

    /// <summary>By the names in a bundle; what is null is left out.</summary>
    public IReadOnlyDictionary<string, ReadOnlyMemory<byte>> ToNamed()
    {
        var named = new Dictionary<string, ReadOnlyMemory<byte>>(StringComparer.Ordinal);
        foreach (var (name, value) in (ReadOnlySpan<(string, ReadOnlyMemory<byte>?)>)
            [
                ("tcb_info", TcbInfo), ("qe_identity", QeIdentity), ("tcb_signing_chain", TcbSigningChain), ("pck_crl", PckCrl),
                ("root_ca_crl", RootCaCrl), ("tcb_evaluation_numbers", TcbEvaluationNumbers),
            ])
        {
            if (value is { } bytes)
                named.Add(name, bytes);
        }

        return named;
    }
}
