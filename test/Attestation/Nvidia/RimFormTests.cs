using System.Text;
using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 20 at the edges of each of its rules: files of our own, signed as they stand.</summary>
public sealed class RimFormTests
{
    private const string First = "<r:Resource active=\"True\" alternatives=\"1\" index=\"21\"";
    private static readonly EmulatedDevice Device = new();

    [Fact]
    public void A_file_is_read_as_it_stands()
    {
        using var rim = Read(text => text
            .Replace(First, First.Replace("True", "False", StringComparison.Ordinal), StringComparison.Ordinal)
            .Replace(
                "</r:Payload>", EmulatedDevice.Minimum(37, ulong.MaxValue) + EmulatedDevice.Minimum(65_535, 1, "B") + "</r:Payload>",
                StringComparison.Ordinal));
        (rim.Product, rim.Edition, rim.Version, rim.IsVbios).ShouldBe(("GH100", "GPU", "570.124.06", false));
        rim.Measurements.Select(item => item.Index).ShouldBe(Enumerable.Range(22, 19)); // the first does not count
        rim.Measurements[0].Alternatives.Single().Length.ShouldBe(48);
        rim.MinimumSvns.ShouldBe([new RimMinimumSvn(37, "FSP_UCODE_SVN", ulong.MaxValue), new RimMinimumSvn(65_535, "B", 1)]);
        rim.SignatureFault().ShouldBeNull();
        rim.Certificates.Count.ShouldBe(4);
    }

    [Fact]
    public void Each_alternative_is_kept_and_of_either_case()
    {
        var (one, two) = (Enumerable.Repeat((byte)0xAB, 48).ToArray(), Enumerable.Repeat((byte)0xCD, 48).ToArray());
        using var rim = Read(text => text.Replace(
            "</r:Payload>", EmulatedDevice.Line(63, one, two).Replace("abab", "ABAB", StringComparison.Ordinal) + "</r:Payload>", StringComparison.Ordinal));
        rim.Measurements[^1].Index.ShouldBe(63);
        rim.Measurements[^1].Alternatives.ShouldBe([one, two]);
    }

    [Theory]
    [InlineData("product=\"GH100\"", "product=\"\"", true)]
    [InlineData("product=\"GH100\"", "product=\"12345678901234567890123456789012\"", true)]
    [InlineData("product=\"GH100\"", "product=\"123456789012345678901234567890123\"", false)]
    [InlineData(" product=\"GH100\"", "", false)]
    [InlineData("edition=\"GPU\"", "edition=\"SWITCH\"", true)]
    [InlineData("edition=\"GPU\"", "edition=\"gpu\"", false)]
    [InlineData(" edition=\"GPU\"", "", false)]
    [InlineData("colloquialVersion=\"570.124.06\"", "colloquialVersion=\"96.00.9F.00.01\"", true)]
    [InlineData("colloquialVersion=\"570.124.06\"", "colloquialVersion=\"570\"", false)]
    [InlineData("colloquialVersion=\"570.124.06\" ", "", false)]
    [InlineData("index=\"21\"", "index=\"0\"", true)]
    [InlineData("index=\"21\"", "index=\"63\"", true)]
    [InlineData("index=\"21\"", "index=\"64\"", false)]
    [InlineData("index=\"21\"", "index=\"4095\"", false)]
    [InlineData("index=\"21\"", "index=\"-1\"", false)]
    [InlineData("index=\"21\"", "index=\"+1\"", false)]
    [InlineData("index=\"21\"", "index=\" 1\"", false)]
    [InlineData("index=\"21\"", "index=\"22\"", false)]
    [InlineData(" index=\"21\"", "", false)]
    [InlineData("active=\"True\" alternatives=\"1\" index=\"21\"", "active=\"TRUE\" alternatives=\"1\" index=\"21\"", false)]
    [InlineData("active=\"True\" alternatives=\"1\" index=\"21\"", "alternatives=\"1\" index=\"21\"", false)]
    [InlineData("alternatives=\"1\" index=\"21\"", "alternatives=\"2\" index=\"21\"", false)]
    [InlineData("alternatives=\"1\" index=\"21\"", "alternatives=\"01\" index=\"21\"", false)]
    [InlineData("alternatives=\"1\" index=\"21\"", "index=\"21\"", false)]
    [InlineData("name=\"Measurement_21\" size=\"48\"", "name=\"Measurement_21\" size=\"47\"", false)]
    [InlineData("name=\"Measurement_21\" size=\"48\"", "name=\"Measurement_21\"", false)]
    [InlineData("name=\"Measurement_21\" ", "", false)]
    [InlineData("name=\"Measurement_21\" size=\"48\" type=\"Measurement\"", "name=\"Measurement_21\" size=\"48\" type=\"Other\"", false)]
    [InlineData("name=\"Measurement_21\" size=\"48\" type=\"Measurement\" h:Hash0", "name=\"Measurement_21\" size=\"48\" type=\"Measurement\" h:Hash1", false)]
    [InlineData("name=\"Measurement_21\" size=\"48\" type=\"Measurement\" h:Hash0=\"", "name=\"Measurement_21\" size=\"48\" type=\"Measurement\" h:Hash0=\"0", false)]
    [InlineData("name=\"Measurement_21\" size=\"48\" type=\"Measurement\" h:Hash0", "name=\"Measurement_21\" size=\"48\" type=\"Measurement\" Hash0", false)]
    [InlineData("</r:Payload>", "<r:Other></r:Other></r:Payload>", false)]
    [InlineData("</r:Payload>", "<ds:Resource xmlns:ds=\"urn:x\" type=\"Measurement\"></ds:Resource></r:Payload>", false)]
    [InlineData("</r:Payload>", "x</r:Payload>", true)] // beside the measurements, where nobody reads it, and signed
    [InlineData("</r:Payload>", "</r:Payload>x", false)]
    [InlineData("<r:Payload>", "<Payload xmlns=\"urn:x\"></Payload><r:Payload>", true)]
    [InlineData("<r:Meta ", "<r:Meta edition=\"GPU\" product=\"GH100\"></r:Meta><r:Meta ", false)]
    [InlineData("<r:Payload>", "<r:Payload></r:Payload><r:Payload>", false)]
    [InlineData("<r:Meta ", "<r:meta ", false)]
    [InlineData("<r:Payload>", "<r:Payload xml:lang=\"en\">", false)]
    [InlineData("<r:Payload>", "<r:Payload \u00e9=\"en\">", false)]
    [InlineData("<r:Payload>", "<r:Payload xmlns:x=\"urn:\u00e9\">", false)]
    [InlineData("<r:Payload>", "<r:Payload xmlns:\u00e9=\"urn:x\">", false)]
    public void A_file_in_another_form_is_refused_and_no_other(string from, string to, bool isRead)
    {
        var rejection = Parse(
            text =>
            {
                text.ShouldContain(from);
                var changed = text.Replace(from, to, StringComparison.Ordinal);
                return from.StartsWith("<r:Meta", StringComparison.Ordinal) && to.StartsWith("<r:meta", StringComparison.Ordinal)
                    ? changed.Replace("</r:Meta>", "</r:meta>", StringComparison.Ordinal) : changed;
            },
            out var rim);
        using (rim)
        {
            (rejection is null).ShouldBe(isRead, rejection?.Expected);
            (rejection?.Code ?? RejectionCode.Malformed).ShouldBe(RejectionCode.Malformed);
        }
    }

    [Theory]
    [InlineData("index=\"4096\"", "o:minSvn=\"7\"", true)]
    [InlineData("index=\"69631\"", "o:minSvn=\"18446744073709551615\"", true)]
    [InlineData("index=\"69632\"", "o:minSvn=\"7\"", false)]
    [InlineData("index=\"4096\"", "o:minSvn=\"18446744073709551616\"", false)]
    [InlineData("index=\"4096\"", "o:minSvn=\"-1\"", false)]
    [InlineData("index=\"4096\"", "o:minSvn=\"+1\"", false)]
    [InlineData("index=\"4096\"", "o:minSvn=\"\"", false)]
    [InlineData("index=\"4096\"", "minSvn=\"7\"", false)]
    [InlineData("index=\"4096\"", "h:Hash0=\"00\" o:minSvn=\"7\"", false)]
    [InlineData("index=\"4096\"", "active=\"x\" o:minSvn=\"7\"", false)]
    public void A_minimum_is_a_number_at_the_index_of_an_entry(string index, string minimum, bool isRead)
    {
        var active = minimum.StartsWith("active", StringComparison.Ordinal) ? "" : "active=\"True\" ";
        var line = $"<r:Resource {active}{index} name=\"A\" type=\"Measurement\" {minimum}></r:Resource>";
        var rejection = Parse(text => text.Replace("</r:Payload>", line + "</r:Payload>", StringComparison.Ordinal), out var rim);
        using (rim)
            (rejection is null).ShouldBe(isRead, rejection?.Expected);
    }

    [Fact]
    public void Names_and_children_of_a_measurement_are_bounded()
    {
        foreach (var (length, isRead) in new[] { (256, true), (257, false) })
        {
            var rejection = Parse(
                text => text.Replace("name=\"Measurement_21\"", $"name=\"{new string('n', length)}\"", StringComparison.Ordinal), out var rim);
            rim?.Dispose();
            (rejection is null).ShouldBe(isRead);
        }

        foreach (var within in new[] { "x", "<r:a></r:a>" })
        {
            var rejection = Parse(
                text => text.Replace(
                    "</r:Payload>",
                    EmulatedDevice.Line(5, new byte[48]).Replace("></r:", $">{within}</r:", StringComparison.Ordinal) + "</r:Payload>",
                    StringComparison.Ordinal),
                out var rim);
            rim.ShouldBeNull();
            rejection!.Code.ShouldBe(RejectionCode.Malformed);
        }
    }

    [Theory]
    [InlineData(0xBF, RejectionCode.Malformed)]
    [InlineData(0xC0, RejectionCode.Unsupported)]
    [InlineData(0xDB, RejectionCode.Unsupported)]
    [InlineData(0xDC, RejectionCode.Malformed)]
    public void A_CoRIM_is_told_by_its_tag(int first, RejectionCode code) => RimFile.TryParse([(byte)first, 0, 0], out _)!.Code.ShouldBe(code);

    [Fact]
    public void Canonical_XML_is_written_as_the_recommendation_has_it()
    {
        // White space, escapes, the order of attributes by namespace then name, declarations where they first hold, and nothing else.
        Canonical("<?xml version=\"1.0\"?>\n<a  b = 'x'\tc=\"y\" />\n").ShouldBe("<a b=\"x\" c=\"y\"></a>");
        Canonical("<a>&amp;&lt;&gt;&#13;\"'</a>").ShouldBe("<a>&amp;&lt;&gt;&#xD;\"'</a>");
        Canonical("<a b=\"&amp;&lt;>&quot;&#9;&#10;&#13;'\"/>").ShouldBe("<a b=\"&amp;&lt;>&quot;&#x9;&#xA;&#xD;'\"></a>");
        Canonical("<a xmlns:z=\"urn:a\" xmlns:y=\"urn:b\" y:c=\"1\" z:d=\"2\" z:b=\"3\" e=\"4\"/>")
            .ShouldBe("<a xmlns:y=\"urn:b\" xmlns:z=\"urn:a\" e=\"4\" z:b=\"3\" z:d=\"2\" y:c=\"1\"></a>");
        Canonical("<a xmlns=\"urn:a\"><b xmlns=\"urn:a\"/><c xmlns=\"\"><d xmlns=\"\"/></c></a>")
            .ShouldBe("<a xmlns=\"urn:a\"><b></b><c xmlns=\"\"><d></d></c></a>");
        Canonical("<a xmlns=\"\"/>").ShouldBe("<a></a>");
        Canonical("<x:a xmlns:x=\"urn:a\"><x:b xmlns:x=\"urn:b\"/><x:c/></x:a>")
            .ShouldBe("<x:a xmlns:x=\"urn:a\"><x:b xmlns:x=\"urn:b\"></x:b><x:c></x:c></x:a>");
        XmlPart.TryParse("<a xmlns=\"urn:a\" xmlns:b=\"urn:b\"><c d=\"1\">e<f/></c></a>"u8, out var root).ShouldBeNull();
        var child = root!.Elements.Single();
        Encoding.UTF8.GetString(child.Canonical()).ShouldBe("<c xmlns=\"urn:a\" xmlns:b=\"urn:b\" d=\"1\">e<f></f></c>");
        Encoding.UTF8.GetString(root.Canonical(child)).ShouldBe("<a xmlns=\"urn:a\" xmlns:b=\"urn:b\"></a>");
        (child.Text, child.HasLooseText, root.HasLooseText, child.Elements.Single().Text).ShouldBe((null, true, false, ""));
        (child.Attribute("d"), child.Attribute("d", "urn:b"), child.Attribute("e")).ShouldBe(("1", null, null));

        static string Canonical(string text)
        {
            XmlPart.TryParse(Encoding.UTF8.GetBytes(text), out var root).ShouldBeNull(text);
            return Encoding.UTF8.GetString(root!.Canonical());
        }
    }

    [Fact]
    public void A_text_at_its_bounds_is_read_and_beyond_them_refused()
    {
        Fault($"<a>{string.Concat(Enumerable.Repeat("<b/>", Bounds.RimElements - 1))}</a>").ShouldBeNull();
        Fault($"<a>{string.Concat(Enumerable.Repeat("<b/>", Bounds.RimElements))}</a>").ShouldNotBeNull();
        Fault(string.Concat(Enumerable.Repeat("<a>", Bounds.RimDepth)) + string.Concat(Enumerable.Repeat("</a>", Bounds.RimDepth))).ShouldBeNull();
        Fault(string.Concat(Enumerable.Repeat("<a>", Bounds.RimDepth + 1)) + string.Concat(Enumerable.Repeat("</a>", Bounds.RimDepth + 1))).ShouldNotBeNull();
        Fault($"<a {string.Concat(Enumerable.Range(0, Bounds.RimAttributes).Select(i => $"a{i}=\"\" "))}/>").ShouldBeNull();
        Fault($"<a {string.Concat(Enumerable.Range(0, Bounds.RimAttributes + 1).Select(i => $"a{i}=\"\" "))}/>").ShouldNotBeNull();
        foreach (var text in new[] { "", " ", "<a>", "<a/><a/>", "<a/>x", "<a b=\"&#xD800;\"/>", "<a>\u0001</a>", "<x:a/>" })
            Fault(text).ShouldNotBeNull(text);
        XmlPart.TryParse([(byte)'<', (byte)'a', (byte)'>', 0xFF, (byte)'<', (byte)'/', (byte)'a', (byte)'>'], out _).ShouldNotBeNull();

        static Rejection? Fault(string text) => XmlPart.TryParse(Encoding.UTF8.GetBytes(text), out _);
    }

    private static RimFile Read(Func<string, string> change)
    {
        var rejection = Parse(change, out var rim);
        rejection.ShouldBeNull();
        return rim!;
    }

    private static Rejection? Parse(Func<string, string> change, out RimFile? rim)
    {
        var plan = Device.Rim(vbios: false);
        plan.ChangeText = change;
        return RimFile.TryParse(plan.ToBytes(), out rim);
    }
}
