using System.Text;
using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 20, over every recorded RIM file, and over texts that are made to deceive.</summary>
public sealed class RimTests
{
    private const string Rim550 = "rim/driver_GH100_550.144.03.xml";
    private const string VbiosRim = "gpu/02-hopper-535.86.09-with-rims/vbios_rim_96005E0001.swidtag";

    /// <summary>The set, the file, when, which factors refuse, which measurements differ: as the manifest has them.</summary>
    public static TheoryData<string, string, string, string, int> Recordings => new()
    {
        { Devices.Hopper, "driver_rim_545.00_other_version.swidtag", "2024-06-01T00:00:00Z", "nvidia.driver_rim nvidia.measurements", 15 },
        { Devices.WithRims, "vbios_rim_96005E0001.swidtag", "2024-06-01T00:00:00Z", "", 0 },
        { Devices.WithRims, "vbios_rim_96005E0001.swidtag", "2025-06-22T09:30:33Z", "", 0 },
        { Devices.WithRims, "vbios_rim_96005E0001.swidtag", "2025-06-22T09:30:34Z", "nvidia.rim_path", 0 },
        { Devices.WithRims, "vbios_rim_96005E0001.swidtag", "2023-06-23T09:30:32Z", "nvidia.rim_path", 0 },
        { Devices.WithRims, "vbios_rim_mismatch.xml", "2024-06-01T00:00:00Z", "nvidia.measurements", 1 },
        { Devices.WithRims, "driver_rim_mismatch_and_tampered.xml", "2025-07-01T00:00:00Z", "nvidia.rim_signature nvidia.measurements", 15 },
        { Devices.Hopper580, "vbios_rim_9600740020.swidtag", "2024-06-01T00:00:00Z", "nvidia.measurements", 1 },
        { Devices.Switch, "switch_bios_rim_9610550001.xml", "2026-11-22T00:00:00Z", "", 0 },
        { Devices.Switch, "switch_bios_rim_mismatch.xml", "2024-06-01T00:00:00Z", "nvidia.rim_signature nvidia.vbios_rim nvidia.measurements", 11 },
        // Of other devices than those of the sets: product and version differ, and with them the measurements.
        { Devices.Hopper, Rim550, "2026-11-22T00:00:00Z", "nvidia.driver_rim nvidia.measurements", -1 },
        {
            Devices.Hopper, "rim/driver_GH100_550.144.03_bad_signature.xml", "2026-11-22T00:00:00Z",
            "nvidia.rim_signature nvidia.driver_rim nvidia.measurements", -1
        },
        { Devices.Hopper, "rim/vbios_GH100_96005E0003.swidtag", "2024-06-01T00:00:00Z", "nvidia.vbios_rim nvidia.measurements", -1 },
        { Devices.Hopper, "rim/vbios_GH100_96005E0003.swidtag", "2026-11-22T00:00:00Z", "nvidia.rim_path nvidia.vbios_rim nvidia.measurements", -1 },
        { Devices.Blackwell, "rim/wrong_root_GB100_debug_ca.xml", "2026-11-22T00:00:00Z", "nvidia.rim_path nvidia.vbios_rim nvidia.measurements", -1 },
    };

    public static TheoryData<string> Deceptions => [.. Deceiving.Keys];

    // Of a file that is right as it is: what is changed after it was signed.
    private static Dictionary<string, (Func<string, string> Change, FactorName Factor, RejectionCode Code)> Deceiving => new()
    {
        ["a document type"] = (text => "<!DOCTYPE SoftwareIdentity>" + text, NvidiaFactors.Rim, RejectionCode.Malformed),
        ["an entity that grows"] = (
            text =>
                "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]>"
                    + text.Replace("name=\"GH100\"", "name=\"&b;\"", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["an entity of a file"] = (text => "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>" + text, NvidiaFactors.Rim, RejectionCode.Malformed),
        ["an entity that nobody defined"] = (
            text => text.Replace("name=\"GH100\"", "name=\"&a;\"", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a comment"] = (
            text => text.Replace("</SoftwareIdentity>", "<!-- x --></SoftwareIdentity>", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["an instruction"] = (
            text => text.Replace("</SoftwareIdentity>", "<?x y?></SoftwareIdentity>", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a section of CDATA"] = (
            text => text.Replace("</SoftwareIdentity>", "<![CDATA[ ]]></SoftwareIdentity>", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["another encoding"] = (
            text => "<?xml version=\"1.0\" encoding=\"utf-7\"?>" + text.Replace("GH100", "GH100\uFFFF", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["two signatures"] = (
            text => text.Replace("</SoftwareIdentity>", text[text.IndexOf("<ds:Signature ", StringComparison.Ordinal)..], StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a signature that is moved into the payload"] = (
            text => Moved(text, "</ns0:Payload>"), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["the signed file within another"] = (
            text => "<SoftwareIdentity xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\">" + text + "</SoftwareIdentity>",
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a second payload"] = (
            text => text.Replace("<ds:Signature ", "<ns0:Payload></ns0:Payload><ds:Signature ", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a second Meta"] = (
            text =>
                text.Replace("<ds:Signature ", "<ns0:Meta colloquialVersion=\"1.0\" edition=\"GPU\" product=\"GH100\"/><ds:Signature ", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a reference to an id"] = (
            text => text.Replace("<ds:Reference URI=\"\">", "<ds:Reference URI=\"#a\">", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["an id beside the reference"] = (
            text => text.Replace("<ds:Reference URI=\"\">", "<ds:Reference Id=\"a\" URI=\"\">", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["two references"] = (
            text => text.Replace("</ds:SignedInfo>", "<ds:Reference URI=\"\"></ds:Reference></ds:SignedInfo>", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a transform that chooses"] = (
            text =>
                text.Replace("http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xpath-19991116", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Unsupported),
        ["a transform more"] = (
            text =>
                text.Replace(
                    "</ds:Transforms>", "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#base64\"/></ds:Transforms>", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Unsupported),
        ["a signature of HMAC"] = (
            text =>
                text.Replace("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", "http://www.w3.org/2000/09/xmldsig#hmac-sha1", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Unsupported),
        ["a key that is no certificate's"] = (
            text => text.Replace("<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName>a</ds:KeyName>", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["an object within the signature"] = (
            text => text.Replace("</ds:Signature>", "<ds:Object></ds:Object></ds:Signature>", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["an index twice"] = (text => text.Replace("index=\"1\"", "index=\"0\"", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["an index of nothing"] = (text => text.Replace("index=\"63\"", "index=\"64\"", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["an attribute twice"] = (
            text => text.Replace("index=\"1\"", "index=\"1\" index=\"1\"", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["active in another spelling"] = (
            text => text.Replace("index=\"0\" active=\"True\"", "index=\"0\" active=\"true\"", StringComparison.Ordinal),
            NvidiaFactors.Rim, RejectionCode.Malformed),
        ["fewer hashes than alternatives"] = (
            text => text.Replace("alternatives=\"4\"", "alternatives=\"5\"", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a hash of another size"] = (text => text.Replace("size=\"48\"", "size=\"32\"", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a minimum with a hash"] = (
            text => text.Replace("index=\"63\"", "index=\"4133\"", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
        ["a measurement that is switched off"] = (
            text => text.Replace("index=\"9\" active=\"True\"", "index=\"9\" active=\"False\"", StringComparison.Ordinal),
            NvidiaFactors.RimSignature, RejectionCode.BadSignature),
        ["white space that nobody sees"] = (
            text => text.Replace("<ns0:Payload ", " <ns0:Payload ", StringComparison.Ordinal), NvidiaFactors.RimSignature, RejectionCode.BadSignature),
        ["a namespace that is declared and not used"] = (
            text => text.Replace("<ns0:Payload ", "<ns0:Payload xmlns:x=\"urn:x\" ", StringComparison.Ordinal),
            NvidiaFactors.RimSignature, RejectionCode.BadSignature),
        ["a digest that fits a changed file"] = (
            text => text.Replace("<ds:DigestValue>", "<ds:DigestValue>AAAA", StringComparison.Ordinal), NvidiaFactors.Rim, RejectionCode.Malformed),
    };

    [Theory]
    [MemberData(nameof(Recordings))]
    public void A_recorded_RIM_file_has_the_expected_verdict(string set, string file, string at, string refusals, int mismatches)
    {
        var verdict = Devices.Verify(Devices.Of(set, file), Evidence.Time(at));
        verdict.Refusals().ShouldBe(refusals.Split(' ', StringSplitOptions.RemoveEmptyEntries), verdict.ToText());
        if (mismatches < 0)
            return;
        var recorded = Devices.Expected(set).GetProperty("rim_comparison").EnumerateArray().Single(item => item.String("file") == file);
        var others = recorded.GetProperty("mismatching_rim_indices").EnumerateArray().Select(index => $"{index.GetInt32()}").ToArray();
        others.Length.ShouldBe(mismatches);
        recorded.GetProperty("xml_signature_valid").GetBoolean().ShouldBe(!refusals.Contains("rim_signature", StringComparison.Ordinal));
        var found = verdict.Factor(NvidiaFactors.Measurements).Found;
        if (mismatches > 0)
            found.ShouldStartWith($"{mismatches} others, at {Shown.List(others)}");
        else
            found.ShouldBe($"{recorded.GetProperty("active_measurements").GetInt32()} measurements as published");
    }

    [Fact]
    public void No_recorded_RIM_file_is_left_out()
    {
        var known = Recordings.Select(row => row.Data.Item2)
            .Where(file => file.StartsWith("rim/", StringComparison.Ordinal)).Select(file => file["rim/".Length..]);
        Vectors.Json("rim/expected.json").EnumerateObject().Select(item => item.Name).ShouldBe(known.Distinct(), ignoreOrder: true);
    }

    [Fact]
    public void What_is_read_of_a_RIM_file_is_what_an_independent_checker_read()
    {
        foreach (var item in Vectors.Json("rim/expected.json").EnumerateObject())
        {
            RimFile.TryParse(Evidence.Bytes($"rim/{item.Name}"), out var rim).ShouldBeNull(item.Name);
            using (rim)
            {
                (rim!.Product, rim.Version, rim.Measurements.Count)
                    .ShouldBe((item.Value.String("name"), item.Value.String("version"), item.Value.GetProperty("active").GetInt32()));
                (rim.SignatureFault() is null).ShouldBe(item.Value.GetProperty("xml_signature_valid").GetBoolean(), item.Name);
                rim.Certificates[0].NotBefore.ShouldBe(Evidence.Time(item.Value.String("signer_not_before")));
                rim.Certificates[0].NotAfter.ShouldBe(Evidence.Time(item.Value.String("signer_not_after")));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Deceptions))]
    public void A_file_that_is_made_to_deceive_is_refused(string name)
    {
        var (change, factor, code) = Deceiving[name];
        var original = Vectors.Text(VbiosRim);
        var text = change(original);
        text.ShouldNotBe(original);
        var verdict = Devices.Verify([Devices.Of(Devices.WithRims)[0] with { Documents = [Encoding.UTF8.GetBytes(text)] }]);
        verdict.Failures.First().Name.ShouldBe(factor, verdict.ToText());
        verdict.CodeOf(factor).ShouldBe(code);
        verdict.IsAccepted.ShouldBeFalse();
    }

    [Fact]
    public void Large_and_deep_texts_are_refused_quickly()
    {
        string[] texts =
        [
            string.Concat(Enumerable.Repeat("<a>", 60_000)), $"<a>{string.Concat(Enumerable.Repeat("<b/>", 60_000))}</a>",
            $"<a {string.Concat(Enumerable.Range(0, 20_000).Select(i => $"a{i}=\"\" "))}/>", $"<a>{new string('x', 250_000)}</a>",
            new string(' ', 250_000) + "<a/>", $"<a {string.Concat(Enumerable.Range(0, 10_000).Select(i => $"xmlns:a{i}=\"u\" "))}/>",
        ];
        var clock = System.Diagnostics.Stopwatch.StartNew();
        foreach (var text in texts)
            RimFile.TryParse(Encoding.UTF8.GetBytes(text), out _).ShouldNotBeNull();
        RimFile.TryParse(new byte[Bounds.Rim + 1], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        clock.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(5));
    }

    [Fact]
    [TimeLimit(300)]
    public void A_file_with_one_byte_turned_is_never_accepted()
    {
        var device = Devices.Of(Devices.WithRims)[0];
        var bytes = Evidence.Bytes(VbiosRim);
        // What follows the root is signed by nobody and read by nobody.
        foreach (var i in Daily.Of(Vectors.Text(VbiosRim).TrimEnd().Length, 200))
        {
            var copy = bytes.ToArray();
            copy[i] ^= (byte)(1 << (i % 7));
            if (RimFile.TryParse(copy, out var rim) is not null)
                continue;
            using (rim)
            {
                if (rim!.SignatureFault() is not null)
                    continue;
            }

            // Its path is the rest.
            var verdict = Devices.Verify([device with { Documents = [copy] }]);
            verdict.Refusals().ShouldBe(["nvidia.rim_path"], $"byte {i}: {verdict.ToText()}");
        }
    }

    [Fact]
    public void A_file_cut_at_any_byte_is_refused()
    {
        var bytes = Evidence.Bytes(VbiosRim);
        var end = Vectors.Text(VbiosRim).TrimEnd().Length;
        foreach (var length in Daily.Of(end, 100))
            RimFile.TryParse(bytes.AsSpan(0, length), out _).ShouldNotBeNull($"{length} bytes");
    }

    private static string Moved(string text, string before)
    {
        var start = text.IndexOf("<ds:Signature ", StringComparison.Ordinal);
        var end = text.IndexOf("</ds:Signature>", StringComparison.Ordinal) + "</ds:Signature>".Length;
        return text.Remove(start, end - start).Replace(before, text[start..end] + before, StringComparison.Ordinal);
    }
}
