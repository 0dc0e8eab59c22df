using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests;

/// <summary>Recorded evidence of the shared vectors, and what is done to it.</summary>
internal static partial class Evidence
{
    public static byte[] Bytes(string path) => File.ReadAllBytes(Vectors.Locate(path));

    public static DateTimeOffset Time(string text) => DateTimeOffset.Parse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);

    /// <summary>The collateral of a folder, by the names of tdx/01; what is not there is not given.</summary>
    public static TdxCollateral Collateral(string folder) => new()
    {
        TcbInfo = Optional($"{folder}/tcb_info.json") ?? Optional($"{folder}/tcb_info_90c06f000000.json"),
        QeIdentity = Optional($"{folder}/qe_identity.json"),
        TcbSigningChain = Optional($"{folder}/tcb_signing_chain.pem"),
        PckCrl = Optional($"{folder}/pck_crl.der"),
        RootCaCrl = Optional($"{folder}/root_ca_crl.der"),
    };

    /// <summary>The folder and the time at which a set's first verdict holds.</summary>
    public static (TdxCollateral Collateral, DateTimeOffset At) First(string set)
    {
        var verdict = Vectors.Json($"{set}/expected.json").GetProperty("verdicts")[0];
        return (Collateral($"{set}/{verdict.String("collateral_dir")}"), Time(verdict.String("verification_time")));
    }

    /// <summary>A base of <c>mutations.json</c> with the operations of one case made in their order.</summary>
    public static byte[] Mutate(ReadOnlySpan<byte> original, JsonElement operations)
    {
        var bytes = original.ToArray().ToList();
        foreach (var operation in operations.EnumerateArray())
        {
            var offset = operation.TryGetProperty("offset", out var at) ? at.GetInt32() : 0;
            switch (operation.String("op"))
            {
                case "xor":
                    bytes[offset] ^= operation.GetProperty("value").GetByte();
                    break;
                case "set":
                    var value = operation.Hex("hex");
                    for (var i = 0; i < value.Length; i++)
                        bytes[offset + i] = value[i];
                    break;
                case "truncate":
                    var length = operation.GetProperty("length").GetInt32();
                    bytes.RemoveRange(length, bytes.Count - length);
                    break;
                case "append":
                    bytes.AddRange(operation.Hex("hex"));
                    break;
                default:
                    throw new InvalidOperationException($"unknown operation {operation}");
            }
        }

        return [.. bytes];
    }

    /// <summary>The names of the factors that refuse.</summary>
    public static string[] Refusals(this Verdict verdict) => [.. verdict.Failures.Select(factor => factor.Name.Value)];

    public static RejectionCode? CodeOf(this Verdict verdict, FactorName name) => verdict.Factors.Single(factor => factor.Name == name).Code;

    /// <summary>This factor refuses, with this code, and no other does.</summary>
    public static void Only(Verdict verdict, FactorName name, RejectionCode code)
    {
        verdict.Failures.Select(factor => (factor.Name.Value, factor.Code)).ShouldBe([(name.Value, (RejectionCode?)code)], verdict.ToText());
        verdict.IsAccepted.ShouldBeFalse();
    }

    /// <summary>What each factor expected and found, one line for each: name: expected | found, long values by their beginnings.</summary>
    public static IEnumerable<string> Said(this Verdict verdict) =>
        verdict.Factors.Select(factor => Long().Replace($"{factor.Name}: {factor.Expected} | {factor.Found}", value => value.Value[..4] + "…"));

    [GeneratedRegex("[0-9a-f]{32,}")]
    private static partial Regex Long();

    private static ReadOnlyMemory<byte>? Optional(string path) => File.Exists(Vectors.Locate(path)) ? (ReadOnlyMemory<byte>?)Bytes(path) : null;
}
