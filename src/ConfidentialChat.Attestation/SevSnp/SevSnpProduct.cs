// spec/attestation.md section 8: products, the order of their security versions, and the names in their paths.
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>A line of processors with a root of its own. Immutable.</summary>
public sealed class SevSnpProduct
{
    private const byte FirstDenseModel = 0xA0;

    private readonly Func<Cpuid, bool> isOne;

    private SevSnpProduct(string name, int hwidSize, TcbComponent[] components, Func<Cpuid, bool> isOne)
    {
        Name = name;
        HwidSize = hwidSize;
        Components = components;
        this.isOne = isOne;
    }

    public static SevSnpProduct Milan { get; } = new("Milan", 64, TcbComponents.BeforeTurin, cpuid => cpuid is { Family: 0x19, Model: <= 0x0F });

    public static SevSnpProduct Genoa { get; } = new(
        "Genoa", 64, TcbComponents.BeforeTurin, cpuid => cpuid is { Family: 0x19, Model: (>= 0x10 and <= 0x1F) or (>= 0xA0 and <= 0xAF) });

    public static SevSnpProduct Turin { get; } = new("Turin", 8, TcbComponents.SinceTurin, cpuid => cpuid is { Family: 0x1A, Model: <= 0x1F });

    public static IReadOnlyList<SevSnpProduct> All { get; } = [Milan, Genoa, Turin];

    /// <summary>As AMD writes it in certificates.</summary>
    public string Name { get; }

    /// <summary>The bytes of <see cref="TcbVersion"/>, in their order.</summary>
    public IReadOnlyList<TcbComponent> Components { get; }

    /// <summary>How many bytes of a chip's id its VCEK has.</summary>
    public int HwidSize { get; }

    internal Certificate Root => AmdRoots.Ark(this);

    /// <summary>Whether CPUID names a processor of this line.</summary>
    public bool Includes(Cpuid cpuid) => isOne(cpuid);

    /// <summary>Whether a certificate's product extension names this line: with a stepping or without. Siena and Bergamo are of Genoa's line.</summary>
    public bool Includes(string productName)
    {
        ArgumentNullException.ThrowIfNull(productName);
        return IsNamed(productName, Name) || (this == Genoa && IsDense(productName));
    }

    /// <summary>Whether name and CPUID are of the same processor of this line.</summary>
    internal bool Includes(string productName, Cpuid cpuid) =>
        Includes(productName) && Includes(cpuid) && (!IsDense(productName) || cpuid.Model >= FirstDenseModel);

    // Of Zen 4c, which has the models a0 to af of Genoa's family.
    private static bool IsDense(string productName) => IsNamed(productName, "Siena") || IsNamed(productName, "Bergamo");

    private static bool IsNamed(string productName, string name) => productName == name || productName.StartsWith(name + "-", StringComparison.Ordinal);

    public override string ToString() => Name;

    /// <summary>The common name of the certificate that issues such keys for this line.</summary>
    internal string IssuerName(VekKind kind) => kind == VekKind.Vcek ? $"SEV-{Name}" : $"SEV-VLEK-{Name}";

    /// <summary>Whether certificates of this issuer are of Venice, whose root is known by its digest alone.</summary>
    internal static bool IsUncarried(string issuerCommonName) => issuerCommonName is "SEV-Venice" or "SEV-VLEK-Venice";

    /// <summary>Which keys a certificate of this common name issues, and for which line; null for none.</summary>
    internal static (SevSnpProduct Product, VekKind Kind)? OfIssuer(string commonName)
    {
        foreach (var product in All)
        {
            foreach (var kind in (ReadOnlySpan<VekKind>)[VekKind.Vcek, VekKind.Vlek])
            {
                if (product.IssuerName(kind) == commonName)
                    return (product, kind);
            }
        }

        return null;
    }
}

/// <summary>Whose key it is that signs reports; the values are those of SIGNING_KEY.</summary>
public enum VekKind
{
    /// <summary>Versioned chip endorsement key: of one chip.</summary>
    Vcek = 0,

    /// <summary>Versioned loaded endorsement key: of a cloud provider, for any of its chips.</summary>
    Vlek = 1,
}
