// spec/attestation.md section 10, table [nvidia].
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>What a policy accepts of NVIDIA's GPUs and switches. Immutable.</summary>
public sealed record NvidiaPolicy
{
    private static readonly (string Word, DeviceMode Mode)[] ModeNames =
        [("cc", DeviceMode.Cc), ("multi-gpu", DeviceMode.MultiGpu), ("ppcie", DeviceMode.ProtectedPcie)];

    /// <summary>How many GPUs there have to be at least.</summary>
    public int MinGpus { get; init; }

    /// <summary>Of <see cref="DeviceArchitecture.Names"/>.</summary>
    public IReadOnlyList<string> Architectures { get; init; } = [.. DeviceArchitecture.Names];

    public IReadOnlyList<DeviceMode> Modes { get; init; } = [.. ModeNames.Select(known => known.Mode)];

    /// <summary>The oldest driver, 570.124.06 for example; null is any.</summary>
    public string? MinDriver { get; init; }

    /// <summary>The oldest VBIOS of each line, which the first group names: 96.00.9F.00.01 for example; empty is any.</summary>
    public IReadOnlyList<string> MinVbios { get; init; } = [];

    /// <summary>Refuses bundles whose devices come without the RIM files of their driver and VBIOS.</summary>
    public bool RequireRims { get; init; } = true;

    /// <summary>From the day on which a RIM file's signer was certified; null is as long as that certificate lasts.</summary>
    public TimeSpan? MaxRimAge { get; init; }

    /// <summary>Refuses devices and RIM files without NVIDIA's answers about their certificates.</summary>
    public bool RequireOcsp { get; init; }

    /// <summary>How long after its next update an OCSP answer counts.</summary>
    public TimeSpan OcspGrace { get; init; } = TimeSpan.Zero;

    /// <summary>Accepts certificates that NVIDIA holds, and may release.</summary>
    public bool AllowCertificateHold { get; init; }

    internal static string Spell(DeviceMode mode) => Array.Find(ModeNames, known => known.Mode == mode).Word;

    internal static NvidiaPolicy Read(PolicyTable table)
    {
        var fallback = new NvidiaPolicy();
        var (driver, vbios) = (table.Text("min_driver"), table.Words("min_vbios", []));
        return new NvidiaPolicy
        {
            MinGpus = table.Number("min_gpus", 0),
            Architectures = table.Words("architectures", fallback.Architectures, DeviceArchitecture.Names),
            Modes =
            [
                .. table.Words("modes", [.. ModeNames.Select(known => known.Word)], [.. ModeNames.Select(known => known.Word)])
                    .Select(word => Array.Find(ModeNames, known => known.Word == word).Mode),
            ],
            MinDriver = string.IsNullOrEmpty(driver) ? null
                : FirmwareVersion.IsDriver(driver) ? driver
                : throw Wrong("min_driver", "a version like 570.124.06"),
            MinVbios = vbios.All(FirmwareVersion.IsVbios) ? vbios : throw Wrong("min_vbios", "versions like 96.00.9F.00.01"),
            RequireRims = table.Flag("require_rims", fallback.RequireRims),
            MaxRimAge = table.Duration("max_rim_age", null, mayBeUnlimited: true),
            RequireOcsp = table.Flag("require_ocsp", fallback: false),
            OcspGrace = table.Duration("ocsp_grace", TimeSpan.Zero, mayBeUnlimited: false)!.Value,
            AllowCertificateHold = table.Flag("allow_certificate_hold", fallback: false),
        };

        static PolicyException Wrong(string key, string expected) =>
            new($"the policy's nvidia.{key} is wrong: expected {expected}", "./cchat policy init prints one that is right");
    }

    internal void Write(PolicyText text)
    {
        text.Table("nvidia", "NVIDIA GPUs and switches");
        text.Number("min_gpus", MinGpus, "0 accepts nodes without GPUs");
        text.Words("architectures", Architectures, null);
        text.Words("modes", Modes.Select(Spell), "\"ppcie\": links between GPUs are in the clear, and their switches are trusted");
        text.Word("min_driver", MinDriver ?? "", "\"570.124.06\" for example; \"\" is any");
        text.Words("min_vbios", MinVbios, "\"96.00.9F.00.01\" for example, one for each first group; none named is any");
        text.Flag("require_rims", RequireRims, "false accepts firmware that was held against no reference values");
        text.Duration("max_rim_age", MaxRimAge, "from the certification of their signer");
        text.Flag("require_ocsp", RequireOcsp, "refuses devices without NVIDIA's answers about their certificates");
        text.Duration("ocsp_grace", OcspGrace, "how long after its next update an answer counts");
        text.Flag("allow_certificate_hold", AllowCertificateHold, "certificates that NVIDIA holds and may release");
    }
}
