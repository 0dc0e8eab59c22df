// spec/attestation.md section 18, the table of chips.
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>Where a leaf certificate has the digest of the firmware that it was issued to.</summary>
public enum FwidPlace
{
    /// <summary>2.23.133.5.4.1: the only one.</summary>
    CompositeDeviceId,

    /// <summary>2.23.133.5.4.1.1: the first of the list.</summary>
    TcbInfo,
}

/// <summary>A chip that this verifier knows. One that comes later is a row here, if its chain, FWID and layout are these.</summary>
public sealed class DeviceArchitecture
{
    private readonly string[] ica;

    private DeviceArchitecture(string name, string chip, string product, string[] ica, string identity, FwidPlace fwid, bool isSwitch)
    {
        Name = name;
        Chip = chip;
        Product = product;
        Fwid = fwid;
        IsSwitch = isSwitch;
        this.ica = ica;
        Identity = $"NVIDIA {identity} Identity";
    }

    public static IReadOnlyList<DeviceArchitecture> All { get; } =
    [
        new("HOPPER", "GH100", "GH100", ["GH100"], "GH100", FwidPlace.CompositeDeviceId, isSwitch: false),
        new("BLACKWELL", "GB100", "GB100", ["GB100"], "GB100", FwidPlace.TcbInfo, isSwitch: false),
        new("BLACKWELL", "GB20X", "GB20X", ["GB202", "GB203", "GB205", "GB206", "GB207", "GB20X"], "GB20X", FwidPlace.TcbInfo, isSwitch: false),
        new("LS10", "LS_10", "LS10", ["LS_10"], "GH100", FwidPlace.CompositeDeviceId, isSwitch: true),
    ];

    /// <summary>The names that a policy may list, lower case.</summary>
    public static IReadOnlyCollection<string> Names { get; } = [.. All.Select(known => known.Name.ToLowerInvariant()).Distinct(StringComparer.Ordinal)];

    /// <summary>As evidence calls it: HOPPER.</summary>
    public string Name { get; }

    /// <summary>As its certificates call it.</summary>
    public string Chip { get; }

    /// <summary>As its RIM files call it.</summary>
    public string Product { get; }

    public FwidPlace Fwid { get; }

    public bool IsSwitch { get; }

    internal string Identity { get; }

    public override string ToString() => Chip;

    /// <summary>Whether a provisioner of this chip has such a name: "NVIDIA GH100 Provisioner ICA 1".</summary>
    internal bool IsIca(string commonName) => Array.Exists(
        ica,
        chip => $"NVIDIA {chip} Provisioner ICA " is var start && commonName.StartsWith(start, StringComparison.Ordinal)
            && commonName.Length - start.Length is >= 1 and <= 8 && commonName.AsSpan(start.Length).IndexOfAnyExceptInRange('0', '9') < 0);

    /// <summary>Whether a RIM file is of this chip.</summary>
    internal bool Includes(RimFile rim) => (rim.Product == Product || Array.IndexOf(ica, rim.Product) >= 0) && rim.Edition == (IsSwitch ? "SWITCH" : "GPU");

    /// <summary>What a leaf's name says: "GH100 A01 GSP FMC LF".</summary>
    /// <returns>The chip, the name without its end, and whether its firmware is the FSP's; null where the name is none of a device's.</returns>
    internal static (string Chip, string Prefix, bool IsFsp)? OfLeaf(Certificate leaf) =>
        leaf.CommonName.Split(' ') is [{ Length: >= 2 and <= 12 } chip, { Length: 3 } stepping, ("GSP" or "FSP") and var unit, "FMC", "LF"]
            ? (chip, $"{chip} {stepping} {unit}", unit == "FSP")
            : null;

    internal static DeviceArchitecture? OfChip(string chip) => All.FirstOrDefault(known => known.Chip == chip);
}
