using System.Text.Json;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Attestation.Tests.SevSnp;

/// <summary>Recorded reports of the shared vectors.</summary>
internal static class Reports
{
    public const string Milan = "snp/05-milan-v3";
    public const string Genoa = "snp/04-genoa-v5";

    /// <summary>All certificates of <see cref="Milan"/> and <see cref="Genoa"/> are valid then.</summary>
    public static readonly DateTimeOffset At = Evidence.Time("2026-03-01T00:00:00Z");

    public static byte[] Root(string name) => Evidence.Bytes($"roots/amd/{name}.pem");

    public static SevSnpCollateral Vek(string path) => new() { Vek = Evidence.Bytes(path) };

    public static Verdict Verify(byte[] report, string vek, DateTimeOffset at) => SevSnpVerifier.Verify(report, Vek(vek), Policy.Default, at).Verdict;

    /// <summary>Whose chain an <c>expected.json</c> names.</summary>
    public static SevSnpProduct Product(JsonElement expected)
    {
        var name = expected.GetProperty("checks").String("chain").Split('/')[0];
        return SevSnpProduct.All.Single(product => string.Equals(product.Name, name, StringComparison.OrdinalIgnoreCase));
    }

    public static string[] Names(string names) => names.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
