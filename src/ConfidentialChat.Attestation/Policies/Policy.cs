// spec/attestation.md section 10.
using System.Text;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;
using Tomlyn;
using Tomlyn.Model;
using Tomlyn.Parsing;
using Tomlyn.Serialization;

namespace ConfidentialChat.Attestation.Policies;

/// <summary>
/// What a verifier accepts. The default accepts no node at all, because it names no program: see <see cref="MeasurementsAny"/>.
/// Immutable; every restriction that is not loosened here is the safe one.
/// </summary>
public sealed record Policy
{
    /// <summary>The default: genuine, up to date, no debugging, and no reference value.</summary>
    public static Policy Default { get; } = new();

    /// <summary>The kinds of evidence that are accepted.</summary>
    public IReadOnlyList<string> Tees { get; init; } = [CpuType.Tdx, CpuType.SevSnp];

    /// <summary>Accepts evidence that protects nothing.</summary>
    public bool AllowSimulated { get; init; }

    /// <summary>Accepts every program where no reference value is named.</summary>
    public bool MeasurementsAny { get; init; }

    /// <summary>Accepts a TEE whose memory the host can read.</summary>
    public bool DangerousAllowDebug { get; init; }

    /// <summary>Names of policy factors that are shown and not enforced.</summary>
    public IReadOnlySet<string> Advisory { get; init; } = new HashSet<string>(StringComparer.Ordinal);

    /// <summary>The longest time from issue to erasure of a bundle's keys.</summary>
    public TimeSpan MaxLifetime { get; init; } = TimeSpan.FromHours(2);

    public TimeSpan ClockSkew { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Accepts only bundles that were made for the caller's challenge.</summary>
    public bool RequireNonce { get; init; }

    /// <summary>From the issue of TCB info and QE identity; null is as long as they say themselves.</summary>
    public TimeSpan? MaxTcbInfoAge { get; init; }

    public TimeSpan? MaxCrlAge { get; init; }

    public TimeSpan? MaxRootCrlAge { get; init; }

    /// <summary>Names in a statement's configuration that are accepted.</summary>
    public IReadOnlyList<string> DangerousOptions { get; init; } = [];

    /// <summary>Addresses of engines beyond the node's process that are accepted.</summary>
    public IReadOnlyList<string> Upstreams { get; init; } = [];

    /// <summary>Ids of processors, lower-case hexadecimal; empty is any.</summary>
    public IReadOnlyList<string> Platforms { get; init; } = [];

    /// <summary>Skips what a bundle says of devices.</summary>
    public bool IgnoreDevices { get; init; }

    public TdxPolicy Tdx { get; init; } = new();

    public SevSnpPolicy SevSnp { get; init; } = new();

    public NvidiaPolicy Nvidia { get; init; } = new();

    /// <summary>Roots that are trusted instead of the vendors'; null for the vendors' own. For tests.</summary>
    public TestRoots? DangerousTestRoots { get; init; }

    /// <summary>Reads a policy's text.</summary>
    /// <exception cref="PolicyException">It cannot be read, or names something unknown.</exception>
    public static Policy Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (Encoding.UTF8.GetByteCount(text) > Bounds.Policy)
            throw new PolicyException("the policy is too large", $"at most {Bounds.Policy} bytes");
        TomlTable toml;
        try
        {
            SyntaxParser.ParseStrict(text, sourceName: "policy", validate: true); // the model alone lets a key stand twice
            toml = TomlSerializer.Deserialize<TomlTable>(text, PolicyToml.Default) ?? [];
        }
        catch (TomlException e)
        {
            throw new PolicyException($"the policy is no TOML: {Shown.Text(e.Message)}", "./cchat policy init prints one that is");
        }

        var root = new PolicyTable("", toml);
        if (root.Number("version", 0) != 1)
            throw new PolicyException("the policy's version is not 1", "begin it with: version = 1");
        var nvidia = root.Table("nvidia");
        var (freshness, collateral, node, devices, tdx, sevSnp, roots) = (
            root.Table("freshness"), root.Table("collateral"), root.Table("node"), root.Table("devices"), root.Table("tdx"), root.Table("sev_snp"),
            root.Table("dangerous_test_roots"));
        var policy = new Policy
        {
            Tees = root.Words("tees", Default.Tees, [CpuType.Tdx, CpuType.SevSnp]),
            AllowSimulated = root.Flag("allow_simulated", fallback: false),
            MeasurementsAny = root.Word("measurements", "listed", "listed", "any") == "any",
            DangerousAllowDebug = root.Flag("dangerous_allow_debug", fallback: false),
            Advisory = root.Words("advisory", [], PolicyFactors.Demotable).ToHashSet(StringComparer.Ordinal),
            MaxLifetime = freshness.Duration("max_lifetime", Default.MaxLifetime, mayBeUnlimited: false)!.Value,
            ClockSkew = freshness.Duration("clock_skew", Default.ClockSkew, mayBeUnlimited: false)!.Value,
            RequireNonce = freshness.Flag("require_nonce", fallback: false),
            MaxTcbInfoAge = collateral.Duration("max_tcb_info_age", null, mayBeUnlimited: true),
            MaxCrlAge = collateral.Duration("max_crl_age", null, mayBeUnlimited: true),
            MaxRootCrlAge = collateral.Duration("max_root_crl_age", null, mayBeUnlimited: true),
            DangerousOptions = node.Words("dangerous_options", []),
            Upstreams = node.Words("upstreams", []),
            Platforms = [.. node.Words("platforms", []).Select(id => id.ToLowerInvariant())],
            IgnoreDevices = devices.Word("mode", "verify", "verify", "ignore") == "ignore",
            Tdx = TdxPolicy.Read(tdx),
            SevSnp = SevSnpPolicy.Read(sevSnp),
            Nvidia = NvidiaPolicy.Read(nvidia),
            DangerousTestRoots = TestRoots.Read(roots),
        };
        foreach (var table in (PolicyTable[])[freshness, collateral, node, devices, tdx, sevSnp, nvidia, roots, root])
            table.End();
        return policy;
    }

    /// <summary>Factors for one verification under this policy.</summary>
    public Findings Begin(DateTimeOffset at) => new(at, Advisory);

    /// <summary>The policy as a text that <see cref="Parse"/> reads, with a comment for every key.</summary>
    public string ToToml() => PolicyText.Write(this);
}

/// <summary>Roots of a test's own PKI. A policy that names one shows it in every verdict.</summary>
public sealed record TestRoots
{
    /// <summary>In the place of the Intel SGX Root CA; null for the vendor's own.</summary>
    public Certificate? Intel { get; init; }

    /// <summary>In the place of every AMD root key (ARK); null for the vendor's own.</summary>
    public Certificate? Amd { get; init; }

    /// <summary>In the place of NVIDIA's device identity root; null for the vendor's own.</summary>
    public Certificate? NvidiaDevice { get; init; }

    /// <summary>In the place of the root of NVIDIA's RIM files; null for the vendor's own.</summary>
    public Certificate? NvidiaRim { get; init; }

    internal static TestRoots? Read(PolicyTable table)
    {
        var roots = new TestRoots
        {
            Intel = Root(table, "intel"),
            Amd = Root(table, "amd"),
            NvidiaDevice = Root(table, "nvidia_device"),
            NvidiaRim = Root(table, "nvidia_rim"),
        };
        return roots == new TestRoots() ? null : roots;
    }

    internal static Certificate? Root(PolicyTable table, string key)
    {
        if (table.Text(key) is not { } text)
            return null;
        return CertificateList.TryParse(Encoding.UTF8.GetBytes(text), out var list) is null && list!.Items.Count == 1
            ? list.Items[0]
            : throw new PolicyException($"the policy's dangerous_test_roots.{key} is no certificate", "one CERTIFICATE block in PEM");
    }
}

/// <summary>How Tomlyn reads a policy without looking at types while the program runs: one that is compiled ahead has none to look at.</summary>
[TomlSerializable(typeof(TomlTable))]
internal sealed partial class PolicyToml : TomlSerializerContext;
