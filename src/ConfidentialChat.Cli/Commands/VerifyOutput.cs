using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Cli.Commands;

/// <summary>Prints a verdict and gives its exit code: 0 only where it is accepted.</summary>
internal static class VerifyOutput
{
    /// <param name="verdict">What was found.</param>
    /// <param name="evidence">As it was read; the JSON has its digest.</param>
    /// <param name="policy">Held against it; the JSON has the digest of its text as <c>cchat policy</c> writes it.</param>
    /// <param name="isRaw">Raw evidence: an accepted verdict is called authentic, and what nobody asked for is named.</param>
    /// <param name="json">One JSON object instead of lines.</param>
    /// <param name="writeEvidence">Writes more members into that object.</param>
    /// <param name="thing">What is verified; null is evidence.</param>
    /// <param name="words">Whole lines about what was accepted.</param>
    public static async Task<int> WriteAsync(
        Verdict verdict, ReadOnlyMemory<byte> evidence, Policy policy, bool isRaw, bool json, Action<Utf8JsonWriter> writeEvidence,
        VerifiedThing? thing = null, string words = "")
    {
        thing ??= VerifiedThing.Evidence;
        if (json)
            await Console.Out.WriteLineAsync(ToJson(verdict, evidence, policy, writeEvidence, thing));
        else
            await Console.Out.WriteAsync(verdict.ToText());
        await WriteWarningsAsync(verdict);
        if (!verdict.IsAccepted)
        {
            if (!json)
                await Console.Out.WriteLineAsync($"refused: {Failures(verdict)}");
            await Console.Error.WriteLineAsync($"error: the {thing.Name} is refused: {Failures(verdict)}");
            await Console.Error.WriteLineAsync($"hint: {thing.Specification} explains each check; --at verifies for another time");
            return ExitCode.EvidenceRefused;
        }

        if (!json)
            await Console.Out.WriteLineAsync(words + Summary(verdict, isRaw));
        return ExitCode.Success;
    }

    /// <summary>What failed without refusing, a line each on standard error.</summary>
    public static async Task WriteWarningsAsync(Verdict verdict)
    {
        foreach (var warning in verdict.Warnings)
            await Console.Error.WriteLineAsync($"warning: {warning.Name}: expected {warning.Expected}; found {warning.Found}");
    }

    /// <summary>What refused the evidence, each with its code.</summary>
    public static string Failures(Verdict verdict) =>
        string.Join(", ", verdict.Failures.Select(factor => $"{factor.Name} ({factor.Code?.Spell()})"));

    /// <summary>What the vendor says of the platform, an object of its own; nothing where it says nothing.</summary>
    public static void WritePlatform(Utf8JsonWriter json, IPlatformFacts? platform)
    {
        if (platform is null)
            return;
        json.WriteStartObject(platform.Name);
        platform.WriteMembers(json);
        json.WriteEndObject();
    }

    private static string Summary(Verdict verdict, bool isRaw)
    {
        string[] skipped = [.. verdict.NotChecked.Select(factor => factor.Name.Value)];
        return (isRaw ? "authentic" : "accepted") + (skipped.Length == 0 ? "" : $"; not checked: {string.Join(", ", skipped)}");
    }

    private static string ToJson(Verdict verdict, ReadOnlyMemory<byte> evidence, Policy policy, Action<Utf8JsonWriter> writeEvidence, VerifiedThing thing)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            writer.WriteStartObject();
            verdict.WriteMembers(writer);
            writer.WriteString($"{thing.Name}_sha256", Shown.Hex(SHA256.HashData(evidence.Span)));
            writer.WriteString("policy_sha256", Shown.Hex(SHA256.HashData(Encoding.UTF8.GetBytes(policy.ToToml()))));
            writeEvidence(writer);
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }
}

/// <summary>What a verdict is on, for the lines around it.</summary>
/// <param name="Name">One word.</param>
/// <param name="Specification">The page that explains the checks.</param>
internal sealed record VerifiedThing(string Name, string Specification)
{
    public static VerifiedThing Evidence { get; } = new("evidence", "spec/attestation.md");
}
