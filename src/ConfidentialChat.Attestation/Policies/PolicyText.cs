// spec/attestation.md section 10.
using System.Text;

namespace ConfidentialChat.Attestation.Policies;

/// <summary>Writes a policy with every key, its value and what it means.</summary>
internal sealed class PolicyText
{
    private const int CommentColumn = 44;

    private readonly StringBuilder text = new();

    public static string Write(Policy policy)
    {
        var text = new PolicyText();
        text.Line("# What a verifier accepts. Every key stands here with its value; one that is left out has the default.");
        text.Line("# Unknown keys are refused. The keys are explained in spec/attestation.md, section 10.");
        text.Number("version", 1, null);
        text.Words("tees", policy.Tees, "\"tdx\", \"sev-snp\"");
        text.Flag("allow_simulated", policy.AllowSimulated, "true accepts evidence that protects nothing");
        text.Word("measurements", policy.MeasurementsAny ? "any" : "listed", "\"any\" accepts every program");
        text.Flag("dangerous_allow_debug", policy.DangerousAllowDebug, "true accepts TEEs whose memory the host can read");
        text.Words("advisory", policy.Advisory.Order(StringComparer.Ordinal), "policy factors that are shown and not enforced, \"tdx.perfmon\" for example");
        text.Table("freshness", "How old a bundle may be");
        text.Word("max_lifetime", Duration(policy.MaxLifetime), "from its issue to the erasure of its keys");
        text.Word("clock_skew", Duration(policy.ClockSkew), null);
        text.Flag("require_nonce", policy.RequireNonce, "only bundles made for this caller's challenge");
        text.Table("collateral", "How old the vendors' documents may be, besides their own dates; \"7d\" for example");
        text.Word("max_tcb_info_age", Duration(policy.MaxTcbInfoAge), "Intel's TCB info and QE identity");
        text.Word("max_crl_age", Duration(policy.MaxCrlAge), "revocation lists of intermediates");
        text.Word("max_root_crl_age", Duration(policy.MaxRootCrlAge), "revocation lists of roots");
        text.Table("node", "What a node says of itself");
        text.Words("dangerous_options", policy.DangerousOptions, "names of dangerous options that it may run with");
        text.Words("upstreams", policy.Upstreams, "addresses of engines outside its process that it may use");
        text.Words("platforms", policy.Platforms, "ids of processors, hexadecimal; none named is any");
        text.Table("devices", "GPUs and switches");
        text.Word("mode", policy.IgnoreDevices ? "ignore" : "verify", "\"ignore\" skips what a bundle says of devices");
        policy.Tdx.Write(text);
        policy.SevSnp.Write(text);
        policy.Nvidia.Write(text);
        if (policy.DangerousTestRoots is { } roots)
        {
            text.Table("dangerous_test_roots", "Trusted INSTEAD of the vendors' roots: for tests alone");
            text.Root("intel", roots.Intel);
            text.Root("amd", roots.Amd);
            text.Root("nvidia_device", roots.NvidiaDevice);
            text.Root("nvidia_rim", roots.NvidiaRim);
        }

        return text.text.ToString();
    }

    public static string Duration(TimeSpan? duration) => duration switch
    {
        null => "unlimited",
        { TotalSeconds: var seconds } when seconds % 86_400 == 0 && seconds > 0 => $"{seconds / 86_400}d",
        { TotalSeconds: var seconds } when seconds % 3_600 == 0 && seconds > 0 => $"{seconds / 3_600}h",
        { TotalSeconds: var seconds } when seconds % 60 == 0 && seconds >= 600 => $"{seconds / 60}m",
        { TotalSeconds: var seconds } => $"{(long)seconds}s",
    };

    public void Table(string name, string meaning) => Line("").Line($"# {meaning}").Line($"[{name}]");

    public void Comment(string meaning) => Line($"# {meaning}");

    public void Number(string key, int value, string? meaning) => Entry(key, $"{value}", meaning);

    /// <summary>A number, or the word that stands for none.</summary>
    public void NumberOr(string key, int? value, string word, string? meaning) => Entry(key, value is { } number ? $"{number}" : Quoted(word), meaning);

    public void Flag(string key, bool value, string? meaning) => Entry(key, value ? "true" : "false", meaning);

    public void Word(string key, string value, string? meaning) => Entry(key, Quoted(value), meaning);

    public void Words(string key, IEnumerable<string> values, string? meaning) => Entry(key, $"[{string.Join(", ", values.Select(Quoted))}]", meaning);

    public void Numbers(string key, IEnumerable<int> values, string? meaning) => Entry(key, $"[{string.Join(", ", values)}]", meaning);

    public void Values(string key, ReferenceValues values, string? meaning)
    {
        if (values.IsAny)
        {
            Word(key, "any", meaning);
            return;
        }

        if (values.IsUnnamed)
        {
            Entry(key, "[]", meaning);
            return;
        }

        Entry(key, "[", meaning);
        foreach (var value in values.Hex)
            Line($"  \"{value}\",");
        Line("]");
    }

    public void Root(string key, Certificates.Certificate? root)
    {
        if (root is not null)
            Line($"{key} = \"\"\"\n{root.X509.ExportCertificatePem()}\n\"\"\"");
    }

    public void Duration(string key, TimeSpan? value, string? meaning) => Word(key, Duration(value), meaning);

    private static string Quoted(string value)
    {
        var quoted = new StringBuilder("\"");
        foreach (var c in value)
        {
            if (c is '"' or '\\')
                quoted.Append('\\').Append(c);
            else if (c is < ' ' or '\x7F')
                quoted.Append($"\\u{(int)c:X4}");
            else
                quoted.Append(c);
        }

        return quoted.Append('"').ToString();
    }

    private void Entry(string key, string value, string? meaning)
    {
        var entry = $"{key} = {value}";
        Line(meaning is null ? entry : $"{entry.PadRight(CommentColumn)} # {meaning}");
    }

    private PolicyText Line(string line)
    {
        text.Append(line).Append('\n');
        return this;
    }
}
