using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 22, over every recorded answer of NVIDIA's service, and over constructed ones.</summary>
public sealed class NrasTests
{
    private static readonly DateTimeOffset At = Evidence.Time("2026-06-01T12:00:00Z");
    private static readonly byte[] Nonce = SHA256.HashData("nonce"u8);

    private static readonly Dictionary<string, (Action<Service> Fault, FactorName Factor, RejectionCode Code)> Faults = new()
    {
        ["no signature at all"] = (service => service.Algorithm = "none", NrasFactors.Tokens, RejectionCode.Unsupported),
        ["another algorithm"] = (service => service.Algorithm = "HS256", NrasFactors.Tokens, RejectionCode.Unsupported),
        ["an algorithm in another case"] = (service => service.Algorithm = "es384", NrasFactors.Tokens, RejectionCode.Unsupported),
        ["a claim that stands twice"] = (
            service => service.ChangePlatform = text => text.Replace("{\"sub\"", "{\"x-nvidia-overall-att-result\":true,\"sub\"", StringComparison.Ordinal),
            NrasFactors.Tokens, RejectionCode.Malformed),
        ["a key that is not in the set"] = (service => service.KeyId = "other", NrasFactors.Signature, RejectionCode.Untrusted),
        ["a signature by another key"] = (
            service => service.Key = ECDsa.Create(ECCurve.NamedCurves.nistP384), NrasFactors.Signature, RejectionCode.BadSignature),
        ["tokens of yesterday"] = (service => service.IssuedAt = At.AddDays(-1), NrasFactors.Time, RejectionCode.Expired),
        ["tokens of tomorrow"] = (service => service.IssuedAt = At.AddDays(1), NrasFactors.Time, RejectionCode.NotYetValid),
        ["another issuer"] = (service => service.Issuer = "https://nras.example", NrasFactors.Time, RejectionCode.Untrusted),
        ["another nonce"] = (service => service.Nonce = new byte[32], NrasFactors.Nonce, RejectionCode.Mismatch),
        ["a device's token in the place of another"] = (service => service.Swap = true, NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a device that was left out"] = (service => service.LeaveOut = true, NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a result that is false"] = (service => service.Platform["x-nvidia-overall-att-result"] = false, NrasFactors.Result, RejectionCode.Forbidden),
        ["a result that is a text"] = (service => service.Platform["x-nvidia-overall-att-result"] = "true", NrasFactors.Result, RejectionCode.Forbidden),
        ["no result"] = (service => service.Platform.Remove("x-nvidia-overall-att-result"), NrasFactors.Result, RejectionCode.Forbidden),
        ["measurements that differ"] = (service => service.Device["measres"] = "fail", NrasFactors.Devices, RejectionCode.Forbidden),
        ["measurements that were not compared"] = (service => service.Device["measres"] = "not-run", NrasFactors.Devices, RejectionCode.Forbidden),
        ["a device that is debugged"] = (service => service.Device["dbgstat"] = "enabled", NrasFactors.Devices, RejectionCode.Forbidden),
        ["a device that was not booted securely"] = (service => service.Device["secboot"] = null, NrasFactors.Devices, RejectionCode.Forbidden),
        ["a report of another nonce"] = (
            service => service.Device["x-nvidia-gpu-attestation-report-nonce-match"] = false, NrasFactors.Devices, RejectionCode.Forbidden),
        ["a chain that was revoked"] = (
            service => service.Device["x-nvidia-gpu-attestation-report-cert-chain"] = new JsonObject { ["x-nvidia-cert-status"] = "revoked" },
            NrasFactors.Devices, RejectionCode.Forbidden),
        ["a RIM file that was not verified"] = (
            service => service.Device["x-nvidia-gpu-driver-rim-signature-verified"] = false, NrasFactors.Devices, RejectionCode.Forbidden),
        ["an error"] = (
            service => service.Device["x-nvidia-error-details"] = new JsonObject { ["message"] = "X" }, NrasFactors.Devices, RejectionCode.Forbidden),
        ["a security version below its minimum"] = (
            service => service.Device["x-nvidia-mismatch-opaque-data-records"] = new JsonArray(new JsonObject { ["id"] = 37, ["goldenValue"] = 7 }),
            NrasFactors.Devices, RejectionCode.OutOfDate),
    };

    public static TheoryData<string> Names => [.. Faults.Keys];

    public static TheoryData<string> Sets =>
        ["01-tinfoil-direct-tdx-1gpu", "02-nearai-direct-tdx-8gpu", "03-phala-chutes-5x-tdx-8gpu", "04-venice-tdx-8gpu", "05-chutes-tdx-8gpu"];

    [Theory]
    [MemberData(nameof(Sets))]
    public void A_recorded_answer_has_the_expected_verdict(string set)
    {
        var expected = Vectors.Json($"bundles/{set}/expected.json");
        var tokens = expected.GetProperty("nras").GetProperty("tokens").EnumerateArray().ToList();
        var (answer, at) = (Evidence.Bytes($"bundles/{set}/nras_response.json"), Evidence.Time(expected.String("captured_at")));
        var keys = Keys(Evidence.Bytes($"bundles/{set}/nras_jwks.json"));
        var verdict = NrasVerifier.Verify(answer, keys, at, Convert.FromHexString(tokens[0].String("eat_nonce")));
        tokens.ShouldAllBe(token => token.GetProperty("signature_valid").GetBoolean());
        var overall = tokens[0].GetProperty("overall").GetBoolean();
        verdict.Refusals().ShouldBe(overall ? [] : ["nras.nonce", "nras.result", "nras.devices"], verdict.ToText());
        if (!overall)
            verdict.Factor(NrasFactors.Devices).Found.ShouldEndWith("NONCE_NOT_MATCHING");
        NrasVerifier.Verify(answer, keys, at, new byte[32]).Factor(NrasFactors.Nonce).Code.ShouldBe(RejectionCode.Mismatch);
        // Today it is past its hour, and under another day's keys it was never signed.
        NrasVerifier.Verify(answer, keys, Devices.Later).Factor(NrasFactors.Time).Code.ShouldBe(RejectionCode.Expired);
        var other = set.StartsWith("01", StringComparison.Ordinal) ? "05-chutes-tdx-8gpu" : "01-tinfoil-direct-tdx-1gpu";
        if (!set.StartsWith("02", StringComparison.Ordinal)) // captured in the same hour as 01
            NrasVerifier.Verify(answer, Keys(Evidence.Bytes($"bundles/{other}/nras_jwks.json")), at).Factor(NrasFactors.Signature).Code
                .ShouldBe(RejectionCode.Untrusted);
    }

    [Fact]
    public void A_recorded_answer_whose_keys_were_never_published_is_refused_by_signature_and_time_alone()
    {
        var keys = Keys(Evidence.Bytes("bundles/01-tinfoil-direct-tdx-1gpu/nras_jwks.json"));
        var verdict = NrasVerifier.Verify(
            Evidence.Bytes("nras/hopper-claims-v3-detached-eat.json"), keys, Devices.Later,
            Convert.FromHexString("931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb"));
        verdict.Refusals().ShouldBe(["nras.signature", "nras.time"], verdict.ToText());
        verdict.CodeOf(NrasFactors.Signature).ShouldBe(RejectionCode.Untrusted);
    }

    [Fact]
    public void A_local_verifiers_tokens_without_a_signature_are_refused_by_name()
    {
        var keys = Keys(Evidence.Bytes("bundles/01-tinfoil-direct-tdx-1gpu/nras_jwks.json"));
        var answer = Encoding.UTF8.GetBytes(Vectors.Json("nras/dstack-local-verifier-claims-alg-none.json").GetProperty("detached_eat").GetRawText());
        var verdict = NrasVerifier.Verify(answer, keys, At);
        Evidence.Only(verdict, NrasFactors.Tokens, RejectionCode.Unsupported);
        verdict.Factor(NrasFactors.Tokens).Found.ShouldBe("none");
    }

    [Fact]
    public void A_constructed_answer_without_a_fault_is_accepted_in_claims_of_version_3_and_4()
    {
        var service = new Service();
        service.Verify().IsAccepted.ShouldBeTrue(service.Verify().ToText());
        service.Device["x-nvidia-mismatch-opaque-data-records"] = new JsonArray();
        service.Device["x-nvidia-attester-claims"] = new JsonObject { ["FSP_UCODE_SVN"] = 7 };
        service.Verify().IsAccepted.ShouldBeTrue();
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void One_fault_is_refused_by_its_factor(string name)
    {
        var (fault, factor, code) = Faults[name];
        var service = new Service();
        fault(service);
        Evidence.Only(service.Verify(), factor, code);
    }

    [Fact]
    public void Every_factor_is_refused_by_some_fault_alone() =>
        Faults.Values.Select(fault => fault.Factor).Distinct().ShouldBe(NrasFactors.All, ignoreOrder: true);

    [Fact]
    public void What_is_no_answer_or_no_key_set_is_refused_by_its_form()
    {
        var keys = Keys("{\"keys\":[]}"u8.ToArray());
        foreach (var text in (string[])
        [
            "", "{}", "[]", "[[\"JWT\",\"a.b.c\"],{}]", "[[\"JWT\"],{}]", "[[\"JWT\",1],{}]", "[[\"JWT\",\"a\"],{},1]", "\"",
            $"[[\"JWT\",\"{new string('a', 70_000)}\"],{{}}]",
        ])
            NrasVerifier.Verify(Encoding.UTF8.GetBytes(text), keys, At).Refusals().ShouldBe(["nras.tokens"]);
        foreach (var text in (string[])["", "[]", "{\"keys\":1}", "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"a\",\"x\":\"AA\",\"y\":\"AA\"}]}"])
            NrasKeys.TryParse(Encoding.UTF8.GetBytes(text), out _).ShouldNotBeNull(text);
    }

    [Fact]
    public void An_answer_with_one_bit_turned_is_refused()
    {
        var set = "bundles/01-tinfoil-direct-tdx-1gpu";
        var (answer, keys) = (Evidence.Bytes($"{set}/nras_response.json"), Keys(Evidence.Bytes($"{set}/nras_jwks.json")));
        var at = Evidence.Time(Vectors.Json($"{set}/expected.json").String("captured_at"));
        var end = Encoding.UTF8.GetString(answer).TrimEnd().Length;
        foreach (var i in Daily.Of(end, 50))
        {
            var copy = answer.ToArray();
            copy[i] ^= (byte)(1 << (i % 7));
            if (copy.AsSpan(0, end).ToArray().Where(b => b is not ((byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t')).SequenceEqual(
                answer.AsSpan(0, end).ToArray().Where(b => b is not ((byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t'))))
                continue; // one white space became another
            NrasVerifier.Verify(copy, keys, at).IsAccepted.ShouldBeFalse($"byte {i}");
        }
    }

    private static NrasKeys Keys(byte[] json)
    {
        NrasKeys.TryParse(json, out var keys).ShouldBeNull();
        return keys!;
    }

    /// <summary>Constructed: the service with a key of ours.</summary>
    private sealed class Service
    {
        private static readonly ECDsa Own = ECDsa.Create(ECCurve.NamedCurves.nistP384);

        public ECDsa Key { get; set; } = Own;

        public string KeyId { get; set; } = "ours";

        public string Algorithm { get; set; } = "ES384";

        public string Issuer { get; set; } = "https://nras.attestation.nvidia.com";

        public DateTimeOffset IssuedAt { get; set; } = At.AddMinutes(-10);

        public byte[] Nonce { get; set; } = NrasTests.Nonce;

        public bool Swap { get; set; }

        public bool LeaveOut { get; set; }

        public Func<string, string> ChangePlatform { get; set; } = text => text;

        public JsonObject Platform { get; } = new() { ["sub"] = "NVIDIA-PLATFORM-ATTESTATION", ["x-nvidia-overall-att-result"] = true };

        public JsonObject Device { get; } = new()
        {
            ["measres"] = "success",
            ["dbgstat"] = "disabled",
            ["secboot"] = true,
            ["x-nvidia-gpu-attestation-report-nonce-match"] = true,
            ["x-nvidia-gpu-attestation-report-signature-verified"] = true,
            ["x-nvidia-gpu-attestation-report-cert-chain"] = new JsonObject { ["x-nvidia-cert-status"] = "valid", ["x-nvidia-cert-ocsp-status"] = "good" },
        };

        public Verdict Verify()
        {
            var point = Own.ExportParameters(false).Q;
            var set = $"{{\"keys\":[{{\"kty\":\"RSA\",\"kid\":\"ours\"}},{{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"ours\",\"x\":\"{Base64Url.EncodeToString(point.X)}\",\"y\":\"{Base64Url.EncodeToString(point.Y)}\"}}]}}";
            var devices = new[] { Token(With("GPU-0")), Token(With("GPU-1")) };
            var submodules = new JsonObject();
            for (var i = 0; i < 2; i++)
                submodules[$"GPU-{i}"] = new JsonArray(
                    "DIGEST", new JsonArray("SHA-256", Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(devices[i])))));
            var platform = Common(Platform.DeepClone().AsObject());
            platform["submods"] = submodules;
            var list = new JsonObject { ["GPU-0"] = devices[Swap ? 1 : 0] };
            if (!LeaveOut)
                list["GPU-1"] = devices[Swap ? 0 : 1];
            var answer = new JsonArray(new JsonArray("JWT", Token(ChangePlatform(platform.ToJsonString()))), list);
            return NrasVerifier.Verify(Encoding.UTF8.GetBytes(answer.ToJsonString()), Keys(Encoding.ASCII.GetBytes(set)), At, NrasTests.Nonce);
        }

        private string With(string name)
        {
            var claims = Common(Device.DeepClone().AsObject());
            claims["name"] = name;
            return claims.ToJsonString();
        }

        private JsonObject Common(JsonObject claims)
        {
            claims["iss"] = Issuer;
            claims["nbf"] = IssuedAt.ToUnixTimeSeconds();
            claims["exp"] = IssuedAt.AddHours(1).ToUnixTimeSeconds();
            claims["eat_nonce"] = Convert.ToHexStringLower(Nonce);
            return claims;
        }

        private string Token(string claims)
        {
            var header = Base64Url.EncodeToString(Encoding.UTF8.GetBytes($"{{\"kid\":\"{KeyId}\",\"alg\":\"{Algorithm}\"}}"));
            var signed = $"{header}.{Base64Url.EncodeToString(Encoding.UTF8.GetBytes(claims))}";
            return $"{signed}.{Base64Url.EncodeToString(Key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA384))}";
        }
    }
}
