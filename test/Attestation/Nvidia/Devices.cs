using System.Text.Json;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>Recorded devices of the shared vectors.</summary>
internal static class Devices
{
    public const string Hopper = "gpu/01-hopper-550.90.07";
    public const string WithRims = "gpu/02-hopper-535.86.09-with-rims";
    public const string Hopper580 = "gpu/03-hopper-580.159.03";
    public const string Blackwell = "gpu/04-blackwell-gb100-575.32";
    public const string ProtectedPcie = "gpu/05-hopper-ppcie-8gpu-590.12";
    public const string Switches = "gpu/06-nvswitch-ppcie-4x";
    public const string Atoma = "gpu/09-atoma-8xhopper-570.124.06";
    public const string Switch = "gpu/10-nvswitch-ls10-with-rim";
    public const string RtxPro = "gpu/12-blackwell-rtxpro6000-595.58.03-v81";
    public const string Fsp = "gpu/13-blackwell-gb100-fsp-cmw";

    /// <summary>Device certificates have no end; the RIM files of the sets are in date then.</summary>
    public static readonly DateTimeOffset At = Evidence.Time("2024-06-01T00:00:00Z");

    /// <summary>When the switch's RIM file is in date.</summary>
    public static readonly DateTimeOffset Later = Evidence.Time("2026-11-22T00:00:00Z");

    /// <summary>The devices of a set, with these files of it as the documents of each.</summary>
    public static IReadOnlyList<NvidiaEvidence> Of(string set, params string[] documents)
    {
        ReadOnlyMemory<byte>[] given = [.. documents.Select(file => (ReadOnlyMemory<byte>)Evidence.Bytes(file.Contains('/') ? file : $"{set}/{file}"))];
        if (!File.Exists(Vectors.Locate($"{set}/evidence.json")))
        {
            var (report, certificates) = (Evidence.Bytes($"{set}/report.bin"), Evidence.Bytes($"{set}/cert_chain.pem"));
            return [new NvidiaEvidence { Report = report, Certificates = certificates, Documents = given }];
        }

        return [.. List(Vectors.Json($"{set}/evidence.json")).Select(device => device with { Documents = given })];
    }

    /// <summary>A list as tools of NVML write it.</summary>
    public static IEnumerable<NvidiaEvidence> List(JsonElement list) => list.EnumerateArray().Select(item => new NvidiaEvidence
    {
        Architecture = item.String("arch"),
        Report = item.GetProperty("evidence").GetBytesFromBase64(),
        Certificates = item.GetProperty("certificate").GetBytesFromBase64(),
    });

    public static JsonElement Expected(string set) => Vectors.Json($"{set}/expected.json");

    /// <summary>What an independent checker read of each device of a set.</summary>
    public static IReadOnlyList<JsonElement> Facts(string set) => Expected(set) is var expected && expected.TryGetProperty("devices", out var devices)
        ? [.. devices.EnumerateArray()]
        : [expected.GetProperty("facts")];

    public static Verdict Verify(IReadOnlyList<NvidiaEvidence> devices, DateTimeOffset? at = null, byte[]? nonce = null, Policy? policy = null) =>
        NvidiaVerifier.Verify(devices, policy ?? Policy.Default, at ?? At, nonce is null ? null : (ReadOnlyMemory<byte>?)nonce).Verdict;

    public static Factor Factor(this Verdict verdict, FactorName name) => verdict.Factors.Single(factor => factor.Name == name);
}
