// spec/attestation.md section 22.
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>Verifies what NVIDIA's attestation service said: a pure function of its answer, keys and time. Safe for several threads.</summary>
public static class NrasVerifier
{
    private const string Issuer = "https://nras.attestation.nvidia.com";

    /// <param name="answer">As the service gave it, at most 1 MiB.</param>
    /// <param name="keys">Whose signatures are believed.</param>
    /// <param name="at">The time of verification.</param>
    /// <param name="nonce">The 32 bytes that were asked with, or null to skip that check.</param>
    public static Verdict Verify(ReadOnlyMemory<byte> answer, NrasKeys keys, DateTimeOffset at, ReadOnlyMemory<byte>? nonce = null)
    {
        ArgumentNullException.ThrowIfNull(keys);
        var findings = new Findings(at, new HashSet<string>(StringComparer.Ordinal));

        // 1. The numbers are those of the specification.
        var rejection = Read(answer, out var platform, out var devices);
        if (!findings.Report(NrasFactors.Tokens, rejection, "tokens of ES384", $"{devices.Count} devices"))
            return findings.ToVerdict();
        (string Whose, NrasToken Token)[] all = [("platform", platform!), .. devices.Select(device => (Shown.Text(device.Name), device.Token))];

        // 2, 3, 4.
        Each(NrasFactors.Signature, keys.Fault, "signed by keys of the set");
        Each(NrasFactors.Time, token => TimeFault(token, findings), "in date, by the service");
        if (nonce is { } expected)
            Each(NrasFactors.Nonce, token => NonceFault(token, Shown.Hex(expected.Span)), Shown.Hex(expected.Span));
        else
            findings.Skip(NrasFactors.Nonce, $"{Shown.Text(NrasToken.String(platform!.Claims, "eat_nonce"))} (nothing expected)");

        // 5, 6.
        findings.Report(NrasFactors.Submodules, SubmoduleFault(platform!, devices), "the device tokens' digests", "the device tokens' digests");
        var isTrue = platform!.Claims.TryGetProperty("x-nvidia-overall-att-result", out var result) && result.ValueKind == JsonValueKind.True;
        findings.Check(NrasFactors.Result, isTrue, RejectionCode.Forbidden, "true", isTrue ? "true" : "not true");

        // 7.
        Rejection? first = null;
        foreach (var (name, token) in devices)
            first ??= DeviceFault(token.Claims) is { } fault ? fault with { Found = $"{Shown.Text(name)}: {fault.Found}" } : null;
        if (devices.Count == 0)
            first = Rejection.Missing("a device's token");
        findings.Report(NrasFactors.Devices, first, "devices in order", $"{devices.Count} devices");
        return findings.ToVerdict();

        void Each(FactorName name, Func<NrasToken, Rejection?> fault, string expected)
        {
            Rejection? found = null;
            foreach (var (whose, token) in all)
            {
                var other = fault(token);
                found ??= other is null ? null : other with { Found = $"{whose}: {other.Found}" };
            }

            findings.Report(name, found, expected, expected);
        }
    }

    private static Rejection? Read(ReadOnlyMemory<byte> answer, out NrasToken? platform, out List<(string Name, NrasToken Token)> devices)
    {
        platform = null;
        devices = [];
        if (answer.Length > Bounds.NrasAnswer)
            return Rejection.TooLarge(Bounds.NrasAnswer, answer.Length);
        if (NrasToken.Parse(answer) is not { ValueKind: JsonValueKind.Array } root || root.GetArrayLength() != 2
            || root[0].ValueKind != JsonValueKind.Array || root[0].GetArrayLength() != 2 || root[0][0].ValueKind != JsonValueKind.String
            || root[0][0].GetString() != "JWT" || root[0][1].ValueKind != JsonValueKind.String || root[1].ValueKind != JsonValueKind.Object)
            return Rejection.Malformed("a platform's token and those of devices", "something else");
        if (NrasToken.TryParse(root[0][1].GetString()!, out platform) is { } rejection)
            return rejection;
        foreach (var member in root[1].EnumerateObject())
        {
            if (devices.Count == Bounds.DeviceCount || member.Value.ValueKind != JsonValueKind.String)
                return Rejection.Malformed($"at most {Bounds.DeviceCount} tokens of devices", "others");
            if (NrasToken.TryParse(member.Value.GetString()!, out var token) is { } unreadable)
                return unreadable;
            devices.Add((member.Name, token!));
        }

        return null;
    }

    private static Rejection? TimeFault(NrasToken token, Findings findings)
    {
        if (Seconds(token.Claims, "nbf") is not { } from || Seconds(token.Claims, "exp") is not { } until)
            return Rejection.Malformed("nbf and exp", "others");
        var dates = findings.DateFault("token", from, until);
        return NrasToken.String(token.Claims, "iss") is not Issuer and var issuer ? new Rejection(RejectionCode.Untrusted, Issuer, Shown.Text(issuer)) : dates;
    }

    private static Rejection? NonceFault(NrasToken token, string expected) =>
        NrasToken.String(token.Claims, "eat_nonce") is var found && string.Equals(found, expected, StringComparison.OrdinalIgnoreCase)
            ? null
            : new Rejection(RejectionCode.Mismatch, expected, Shown.Text(found));

    // {name: ["DIGEST", ["SHA-256", hex]]}
    private static Rejection? SubmoduleFault(NrasToken platform, List<(string Name, NrasToken Token)> devices)
    {
        if (!platform.Claims.TryGetProperty("submods", out var submodules) || submodules.ValueKind != JsonValueKind.Object)
            return Rejection.Missing("submods");
        var names = submodules.EnumerateObject().Select(member => member.Name).ToHashSet(StringComparer.Ordinal);
        if (names.Count != devices.Count || !devices.TrueForAll(device => names.Contains(device.Name)))
            return new Rejection(RejectionCode.Mismatch, Shown.List(names), Shown.List(devices.Select(device => device.Name)));
        foreach (var (name, token) in devices)
        {
            var digest = Shown.Hex(SHA256.HashData(Encoding.ASCII.GetBytes(token.Text)));
            if (submodules.GetProperty(name) is not { ValueKind: JsonValueKind.Array } pair || pair.GetArrayLength() != 2 || !Is(pair[0], "DIGEST")
                || pair[1] is not { ValueKind: JsonValueKind.Array } value || value.GetArrayLength() != 2 || !Is(value[0], "SHA-256") || !Is(value[1], digest))
                return new Rejection(RejectionCode.Mismatch, $"SHA-256 {digest} of {Shown.Text(name)}", "another");
        }

        return null;

        static bool Is(JsonElement element, string text) => element.ValueKind == JsonValueKind.String && element.GetString() == text;
    }

    // Claims of versions 2 and 3, and what version 4 adds. Of each the device's kind stands in the name: x-nvidia-gpu, x-nvidia-switch.
    private static Rejection? DeviceFault(JsonElement claims)
    {
        if (claims.TryGetProperty("x-nvidia-error-details", out var error) && error.ValueKind != JsonValueKind.Null)
            return new Rejection(
                RejectionCode.Forbidden, "no error", error.ValueKind == JsonValueKind.Object ? Shown.Text(NrasToken.String(error, "message")) : "an error");
        foreach (var (name, expected) in ((string, string)[])[("measres", "success"), ("dbgstat", "disabled")])
        {
            if (NrasToken.String(claims, name) is var found && found != expected)
                return new Rejection(RejectionCode.Forbidden, $"{name} {expected}", Shown.Text(found));
        }

        if (!claims.TryGetProperty("secboot", out var boot) || boot.ValueKind != JsonValueKind.True)
            return new Rejection(RejectionCode.Forbidden, "secboot true", "not true");
        foreach (var check in (string[])["nonce-match", "signature-verified"])
        {
            if (!claims.EnumerateObject().Any(claim => IsOf(claim.Name, $"attestation-report-{check}") && claim.Value.ValueKind == JsonValueKind.True))
                return new Rejection(RejectionCode.Forbidden, $"attestation-report-{check} true", "not true");
        }

        if (!claims.EnumerateObject().Any(IsChainRight))
            return new Rejection(RejectionCode.Forbidden, "a certificate chain that is valid", "not valid");
        foreach (var claim in claims.EnumerateObject())
        {
            if (claim.Value.ValueKind == JsonValueKind.False && claim.Name.StartsWith("x-nvidia-", StringComparison.Ordinal))
                return new Rejection(RejectionCode.Forbidden, "no check that failed", Shown.Text(claim.Name));
        }

        var hasNone = !claims.TryGetProperty("x-nvidia-mismatch-opaque-data-records", out var records) || records.ValueKind == JsonValueKind.Null
            || (records.ValueKind == JsonValueKind.Array && records.GetArrayLength() == 0);
        return hasNone ? null : new Rejection(RejectionCode.OutOfDate, "no security version below its minimum", "one or more");
    }

    private static bool IsChainRight(JsonProperty claim) =>
        (IsOf(claim.Name, "attestation-report-cert-chain-validated") && claim.Value.ValueKind == JsonValueKind.True)
        || (IsOf(claim.Name, "attestation-report-cert-chain") && claim.Value.ValueKind == JsonValueKind.Object
            && NrasToken.String(claim.Value, "x-nvidia-cert-status") == "valid");

    private static bool IsOf(string name, string check) => name == $"x-nvidia-gpu-{check}" || name == $"x-nvidia-switch-{check}";

    private static DateTimeOffset? Seconds(JsonElement claims, string name) =>
        claims.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.Number && member.TryGetInt64(out var seconds)
        && seconds is >= 0 and <= 253_402_300_799
            ? DateTimeOffset.FromUnixTimeSeconds(seconds)
            : null;
}
