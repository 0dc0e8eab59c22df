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
        ["a header that one has to understand"] = (
            service => service.HeaderMore = ",\"crit\":[\"b64\"]", NrasFactors.Tokens, RejectionCode.Malformed),
        ["a header without a key's name"] = (service => service.KeyId = "", NrasFactors.Tokens, RejectionCode.Malformed),
        ["a key's name that is too long"] = (service => service.KeyId = new string('k', 257), NrasFactors.Tokens, RejectionCode.Malformed),
        ["a signature that is cut"] = (service => service.ChangeToken = token => token[..^4], NrasFactors.Tokens, RejectionCode.Malformed),
        ["a token of two parts"] = (
            service => service.ChangeToken = token => token[..token.LastIndexOf('.')], NrasFactors.Tokens, RejectionCode.Malformed),
        ["a token in the other alphabet"] = (service => service.ChangeToken = token => token + "=", NrasFactors.Tokens, RejectionCode.Malformed),
        ["a beginning that is a text"] = (service => service.ChangeClaims = claims => claims["nbf"] = "1", NrasFactors.Time, RejectionCode.Malformed),
        ["an end that is a fraction"] = (service => service.ChangeClaims = claims => claims["exp"] = 1.5, NrasFactors.Time, RejectionCode.Malformed),
        ["an end beyond all years"] = (service => service.ChangeClaims = claims => claims["exp"] = 253_402_300_800, NrasFactors.Time, RejectionCode.Malformed),
        ["a beginning before all years"] = (service => service.ChangeClaims = claims => claims["nbf"] = -1, NrasFactors.Time, RejectionCode.Malformed),
        ["no beginning"] = (service => service.ChangeClaims = claims => claims.Remove("nbf"), NrasFactors.Time, RejectionCode.Malformed),
        ["no end"] = (service => service.ChangeClaims = claims => claims.Remove("exp"), NrasFactors.Time, RejectionCode.Malformed),
        ["no issuer"] = (service => service.ChangeClaims = claims => claims.Remove("iss"), NrasFactors.Time, RejectionCode.Untrusted),
        ["no nonce"] = (service => service.ChangeClaims = claims => claims.Remove("eat_nonce"), NrasFactors.Nonce, RejectionCode.Mismatch),
        ["no digests"] = (service => service.ChangeSubmodules = _ => null, NrasFactors.Submodules, RejectionCode.Missing),
        ["digests that are a list"] = (service => service.ChangeSubmodules = _ => new JsonArray(), NrasFactors.Submodules, RejectionCode.Missing),
        ["a digest of another name"] = (
            service => service.ChangeSubmodules = all =>
            {
                all["GPU-2"] = all["GPU-1"]!.DeepClone();
                all.Remove("GPU-1");
                return all;
            },
            NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a digest more"] = (
            service => service.ChangeSubmodules = all =>
            {
                all["GPU-2"] = all["GPU-1"]!.DeepClone();
                return all;
            },
            NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a digest that is a text"] = (service => service.ChangeDigest(_ => "x"), NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a digest of another kind"] = (
            service => service.ChangeDigest(pair => new JsonArray("digest", pair[1]!.DeepClone())), NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a digest of three parts"] = (
            service => service.ChangeDigest(pair => new JsonArray("DIGEST", pair[1]!.DeepClone(), 1)), NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a digest that is no pair"] = (service => service.ChangeDigest(_ => new JsonArray("DIGEST", "x")), NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a digest of another algorithm"] = (
            service => service.ChangeDigest(pair => new JsonArray("DIGEST", new JsonArray("SHA-384", pair[1]![1]!.DeepClone()))),
            NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a digest with more behind it"] = (
            service => service.ChangeDigest(pair => new JsonArray("DIGEST", new JsonArray("SHA-256", pair[1]![1]!.DeepClone(), 1))),
            NrasFactors.Submodules, RejectionCode.Mismatch),
        ["a digest of another token"] = (
            service => service.ChangeDigest(_ => new JsonArray("DIGEST", new JsonArray("SHA-256", new string('0', 64)))),
            NrasFactors.Submodules, RejectionCode.Mismatch),
        ["measurements of another kind"] = (service => service.Device["measres"] = 1, NrasFactors.Devices, RejectionCode.Forbidden),
        ["a device that does not say whether it is debugged"] = (service => service.Device.Remove("dbgstat"), NrasFactors.Devices, RejectionCode.Forbidden),
        ["a device that does not say how it was booted"] = (service => service.Device.Remove("secboot"), NrasFactors.Devices, RejectionCode.Forbidden),
        ["a boot that is a text"] = (service => service.Device["secboot"] = "true", NrasFactors.Devices, RejectionCode.Forbidden),
        ["a report whose nonce nobody compared"] = (
            service => service.Device.Remove("x-nvidia-gpu-attestation-report-nonce-match"), NrasFactors.Devices, RejectionCode.Forbidden),
        ["a report whose signature nobody verified"] = (
            service => service.Device.Remove("x-nvidia-gpu-attestation-report-signature-verified"), NrasFactors.Devices, RejectionCode.Forbidden),
        ["a nonce that matches in words"] = (
            service => service.Device["x-nvidia-gpu-attestation-report-nonce-match"] = "true", NrasFactors.Devices, RejectionCode.Forbidden),
        ["a chain that nobody verified"] = (
            service => service.Device.Remove("x-nvidia-gpu-attestation-report-cert-chain"), NrasFactors.Devices, RejectionCode.Forbidden),
        ["a chain that is a text"] = (
            service => service.Device["x-nvidia-gpu-attestation-report-cert-chain"] = "valid", NrasFactors.Devices, RejectionCode.Forbidden),
        ["a chain that was validated in words"] = (
            service =>
            {
                service.Device.Remove("x-nvidia-gpu-attestation-report-cert-chain");
                service.Device["x-nvidia-gpu-attestation-report-cert-chain-validated"] = "true";
            },
            NrasFactors.Devices, RejectionCode.Forbidden),
        ["an error in words"] = (service => service.Device["x-nvidia-error-details"] = "X", NrasFactors.Devices, RejectionCode.Forbidden),
        ["security versions that are no list"] = (
            service => service.Device["x-nvidia-mismatch-opaque-data-records"] = new JsonObject(), NrasFactors.Devices, RejectionCode.OutOfDate),
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
        service.Device["x-nvidia-mismatch-opaque-data-records"] = null;
        service.Device["x-nvidia-error-details"] = null;
        service.Device["others-check"] = false; // none of NVIDIA's
        service.KeyId = new string('k', 256);
        service.Verify().IsAccepted.ShouldBeTrue();
        // A switch's claims are named for it, and a chain is right in either spelling.
        service.Device.Remove("x-nvidia-gpu-attestation-report-cert-chain");
        service.Device["x-nvidia-switch-attestation-report-cert-chain-validated"] = true;
        foreach (var check in new[] { "nonce-match", "signature-verified" })
        {
            service.Device.Remove($"x-nvidia-gpu-attestation-report-{check}");
            service.Device[$"x-nvidia-switch-attestation-report-{check}"] = true;
        }

        service.Verify().IsAccepted.ShouldBeTrue(service.Verify().ToText());
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
        foreach (var text in (string[])
        [
            "[[\"JWT\",\"a.b.c\"],[]]", "[{},{}]", "[[1,\"a.b.c\"],{}]", "[[\"JWS\",\"a.b.c\"],{}]", "[[\"JWT\",\"a.b.c\",1],{}]",
            "[[\"JWT\",\"a.b.c\"],{},{}]",
            "[[\"JWT\",\"W10.W10.AA\"],{}]", "{\"a\":1,\"a\":1}",
        ])
        {
            var verdict = NrasVerifier.Verify(Encoding.UTF8.GetBytes(text), keys, At);
            Evidence.Only(verdict, NrasFactors.Tokens, RejectionCode.Malformed);
        }

        NrasVerifier.Verify(new byte[Bounds.NrasAnswer + 1], keys, At).CodeOf(NrasFactors.Tokens).ShouldBe(RejectionCode.TooLarge);
        NrasKeys.TryParse(new byte[Bounds.IntelJson + 1], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        foreach (var text in (string[])["", "[]", "{\"keys\":1}", "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"a\",\"x\":\"AA\",\"y\":\"AA\"}]}"])
            NrasKeys.TryParse(Encoding.UTF8.GetBytes(text), out _).ShouldNotBeNull(text);
    }

    [Fact]
    public void A_set_of_keys_names_each_of_its_P384_once()
    {
        var point = ECDsa.Create(ECCurve.NamedCurves.nistP384).ExportParameters(false).Q;
        var (x, y) = (Base64Url.EncodeToString(point.X), Base64Url.EncodeToString(point.Y));
        var right = $"{{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"a\",\"x\":\"{x}\",\"y\":\"{y}\"}}";
        Fault(right).ShouldBeNull();
        Fault($"{right},{right.Replace("\"a\"", "\"b\"", StringComparison.Ordinal)}").ShouldBeNull();
        Fault($"{right},{right}")!.Expected.ShouldBe("each kid once");
        foreach (var member in new[] { "\"kid\":\"a\",", $"\"x\":\"{x}\"," })
            Fault(right.Replace(member, "", StringComparison.Ordinal))!.Expected.ShouldBe("keys with kid, x and y");
        Fault(right.Replace($",\"y\":\"{y}\"", "", StringComparison.Ordinal))!.Expected.ShouldBe("keys with kid, x and y");
        Fault(right.Replace(y, y[..^4], StringComparison.Ordinal))!.Expected.ShouldBe("keys with kid, x and y");
        Fault(right.Replace(x, x[..^4], StringComparison.Ordinal))!.Expected.ShouldBe("keys with kid, x and y");
        foreach (var other in new[]
        {
            "1", "{}", right.Replace("EC", "OKP", StringComparison.Ordinal), right.Replace("P-384", "P-256", StringComparison.Ordinal),
        })
            Fault($"{other},{other},{right}").ShouldBeNull(other);
        Fault(string.Join(',', Enumerable.Repeat("{}", 256))).ShouldBeNull();
        Fault(string.Join(',', Enumerable.Repeat("{}", 257)))!.Expected.ShouldBe("a set of at most 256 keys");

        static Rejection? Fault(string keys) => NrasKeys.TryParse(Encoding.ASCII.GetBytes($"{{\"keys\":[{keys}]}}"), out _);
    }

    [Fact]
    public void An_answer_of_no_device_is_missing_one_and_of_seventeen_refused()
    {
        var service = new Service { Count = 0 };
        Evidence.Only(service.Verify(), NrasFactors.Devices, RejectionCode.Missing);
        service = new Service { Count = Bounds.DeviceCount };
        service.Verify().IsAccepted.ShouldBeTrue();
        service = new Service { Count = Bounds.DeviceCount + 1 };
        Evidence.Only(service.Verify(), NrasFactors.Tokens, RejectionCode.Malformed);
        service = new Service { IsNonceGiven = false };
        service.Verify().Factor(NrasFactors.Nonce).Found.ShouldBe($"{Convert.ToHexStringLower(Nonce)} (nothing expected)");
    }

    [Fact]
    public void The_first_fault_is_said_and_whose_it_is()
    {
        var service = new Service();
        service.Device["measres"] = "fail";
        var factor = service.Verify().Factor(NrasFactors.Devices);
        (factor.Expected, factor.Found).ShouldBe(("measres success", "GPU-0: fail"));
        service = new Service { Nonce = new byte[32] };
        service.Verify().Factor(NrasFactors.Nonce).Found.ShouldBe($"platform: {new string('0', 64)}");
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

        public string HeaderMore { get; set; } = "";

        public int Count { get; set; } = 2;

        public bool IsNonceGiven { get; set; } = true;

        public Action<JsonObject> ChangeClaims { get; set; } = _ => { };

        public Func<string, string> ChangeToken { get; set; } = token => token;

        public Func<JsonObject, JsonNode?> ChangeSubmodules { get; set; } = all => all;

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

        public void ChangeDigest(Func<JsonArray, JsonNode> change) => ChangeSubmodules = all =>
        {
            all["GPU-1"] = change(all["GPU-1"]!.AsArray());
            return all;
        };

        public Verdict Verify()
        {
            var point = Own.ExportParameters(false).Q;
            var (id, x, y) = (KeyId.Length > 8 ? KeyId : "ours", Base64Url.EncodeToString(point.X), Base64Url.EncodeToString(point.Y));
            var key = $$"""{"kty":"EC","crv":"P-384","kid":"{{id}}","x":"{{x}}","y":"{{y}}"}""";
            var set = $$"""{"keys":[{"kty":"RSA","kid":"ours"},{{key}}]}""";
            string[] devices = [.. Enumerable.Range(0, Count).Select(i => Token(With($"GPU-{i}")))];
            var submodules = new JsonObject();
            for (var i = 0; i < Count; i++)
                submodules[$"GPU-{i}"] = new JsonArray(
                    "DIGEST", new JsonArray("SHA-256", Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(devices[i])))));
            var platform = Common(Platform.DeepClone().AsObject());
            if (ChangeSubmodules(submodules) is { } changed)
                platform["submods"] = changed;
            var list = new JsonObject();
            for (var i = 0; i < Count - (LeaveOut ? 1 : 0); i++)
                list[$"GPU-{i}"] = devices[Swap ? Count - 1 - i : i];
            var answer = new JsonArray(new JsonArray("JWT", Token(ChangePlatform(platform.ToJsonString()))), list);
            return NrasVerifier.Verify(
                Encoding.UTF8.GetBytes(answer.ToJsonString()), Keys(Encoding.ASCII.GetBytes(set)), At,
                IsNonceGiven ? (ReadOnlyMemory<byte>?)NrasTests.Nonce : null);
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
            ChangeClaims(claims);
            return claims;
        }

        private string Token(string claims)
        {
            var header = Base64Url.EncodeToString(Encoding.UTF8.GetBytes($"{{\"kid\":\"{KeyId}\",\"alg\":\"{Algorithm}\"{HeaderMore}}}"));
            var signed = $"{header}.{Base64Url.EncodeToString(Encoding.UTF8.GetBytes(claims))}";
            return ChangeToken($"{signed}.{Base64Url.EncodeToString(Key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA384))}");
        }
    }
}
