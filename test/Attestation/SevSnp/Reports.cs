using System.Globalization;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Tests.Attestation.SevSnp;

/// <summary>Recorded reports of the shared vectors.</summary>
internal static class Reports
{
    public const string Milan = "snp/05-milan-v3";
    public const string Genoa = "snp/04-genoa-v5";

    /// <summary>All certificates of <see cref="Milan"/> and <see cref="Genoa"/> are valid then.</summary>
    public static readonly DateTimeOffset At = Time("2026-03-01T00:00:00Z");

    public static byte[] Bytes(string path) => File.ReadAllBytes(Vectors.Locate(path));

    public static byte[] Root(string name) => Bytes($"roots/amd/{name}.pem");

    public static DateTimeOffset Time(string text) => DateTimeOffset.Parse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);

    public static SevSnpCollateral Vek(string path) => new() { Vek = Bytes(path) };

    public static Verdict Verify(byte[] report, string vek, DateTimeOffset at) => SevSnpVerifier.Verify(report, Vek(vek), Policy.Default, at).Verdict;

    /// <summary>The names of the factors that refuse.</summary>
    public static string[] Refused(this Verdict verdict) => [.. verdict.Failures.Select(factor => factor.Name.Value)];

    /// <summary>Whose chain an <c>expected.json</c> names.</summary>
    public static SevSnpProduct Product(JsonElement expected)
    {
        var name = expected.GetProperty("checks").String("chain").Split('/')[0];
        return SevSnpProduct.All.Single(product => string.Equals(product.Name, name, StringComparison.OrdinalIgnoreCase));
    }

    public static string[] Names(string names) => names.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The operations of one case of <c>mutations.json</c>, in their order.</summary>
    public static byte[] Mutate(byte[] report, JsonElement operations)
    {
        foreach (var operation in operations.EnumerateArray())
        {
            switch (operation.String("op"))
            {
                case "xor":
                    report[operation.GetProperty("offset").GetInt32()] ^= operation.GetProperty("value").GetByte();
                    break;
                case "set":
                    operation.Hex("hex").CopyTo(report, operation.GetProperty("offset").GetInt32());
                    break;
                case "truncate":
                    report = report[..operation.GetProperty("length").GetInt32()];
                    break;
                default:
                    throw new InvalidOperationException($"unknown operation {operation}");
            }
        }

        return report;
    }
}
