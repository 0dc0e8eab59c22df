// spec/attestation.md section 20. ISO/IEC 19770-2 (SWID); TCG Reference Integrity Manifest Information Model.
using System.Globalization;
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>A measurement that NVIDIA published.</summary>
/// <param name="Index">Of the file, 0 to 63; a report has the same measurement at the next index.</param>
/// <param name="Alternatives">Any of these, 48 bytes each.</param>
public sealed record RimMeasurement(int Index, IReadOnlyList<byte[]> Alternatives);

/// <summary>The least security version of an entry of the opaque data.</summary>
/// <param name="Type">The entry's.</param>
/// <param name="Name">As NVIDIA calls it: a stranger's text until the file's signature stands.</param>
/// <param name="Least">An equal one passes.</param>
public sealed record RimMinimumSvn(int Type, string Name, ulong Least);

/// <summary>
/// A file of reference values, SWID in XML with the signature of its publisher. Parsed, not verified. Immutable.
/// </summary>
public sealed class RimFile : IDisposable
{
    private const string Swid = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
    private const string HashNamespace = "http://www.w3.org/2001/04/xmlenc#sha384";
    private const string OpaqueNamespace = "https://docs.nvidia.com/attestation/specs/latest/opaque-data.html";
    private const string Dsig = "http://www.w3.org/2000/09/xmldsig#";
    private const string C14N11 = "http://www.w3.org/2006/12/xml-c14n11";
    private const string Enveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
    private const string EcdsaSha384 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
    private const string DsigSha384 = "http://www.w3.org/2001/04/xmldsig-more#sha384";
    private const int MeasurementCount = 64;
    private const int FirstOpaqueIndex = 0x1000;
    private const int DigestSize = 48;

    private readonly byte[] digest;
    private readonly byte[] signedInfo;
    private readonly byte[] signedDigest;
    private readonly byte[] signature;
    private readonly CertificateList certificates;

    private RimFile(byte[] digest, XmlSignature signed, CertificateList certificates)
    {
        this.digest = digest;
        signedInfo = signed.SignedInfo;
        signedDigest = signed.Digest;
        signature = signed.Value;
        this.certificates = certificates;
    }

    /// <summary>GH100, LS10 ...</summary>
    public required string Product { get; init; }

    /// <summary>GPU or SWITCH.</summary>
    public required string Edition { get; init; }

    /// <summary>Of the driver or of the VBIOS.</summary>
    public required string Version { get; init; }

    /// <summary>The version is one of a VBIOS, and not of a driver.</summary>
    public bool IsVbios => FirmwareVersion.IsVbios(Version);

    /// <summary>Those that count; no index twice.</summary>
    public required IReadOnlyList<RimMeasurement> Measurements { get; init; }

    /// <summary>Those that count; no type twice.</summary>
    public required IReadOnlyList<RimMinimumSvn> MinimumSvns { get; init; }

    /// <summary>Leaf first, as they stand in the file.</summary>
    internal IReadOnlyList<Certificate> Certificates => certificates.Items;

    /// <summary>Reads a file; CoRIM and other signatures are refused by name.</summary>
    /// <param name="bytes">At most 256 KiB.</param>
    /// <param name="rim">Null where it is refused. Whoever parses it disposes it.</param>
    public static Rejection? TryParse(ReadOnlySpan<byte> bytes, out RimFile? rim)
    {
        rim = null;
        if (bytes.Length > Bounds.Rim)
            return Rejection.TooLarge(Bounds.Rim, bytes.Length);
        // CBOR's tags: a signed or unsigned CoRIM begins with one.
        if (!bytes.IsEmpty && bytes[0] is >= 0xC0 and <= 0xDB)
            return new Rejection(RejectionCode.Unsupported, "a RIM file of SWID in XML", "CoRIM");
        if (XmlPart.TryParse(bytes, out var root) is { } rejection)
            return rejection;
        if (root!.Name != "SoftwareIdentity" || root.Namespace != Swid)
            return Rejection.Malformed("SoftwareIdentity of ISO/IEC 19770-2", Shown.Text(root.Name));
        // Anywhere: one that is moved aside could be the one that is verified, and another the one that is read.
        var signatures = All(root).Where(part => part.Namespace == Dsig && part.Name == "Signature").ToList();
        if (signatures.Count != 1 || !root.Elements.Contains(signatures[0]))
            return Rejection.Malformed("one signature, right below the root", $"{signatures.Count}");
        var metas = root.Elements.Where(part => part.Namespace == Swid && part.Name == "Meta").ToList();
        var payloads = root.Elements.Where(part => part.Namespace == Swid && part.Name == "Payload").ToList();
        if (metas.Count != 1 || payloads.Count != 1 || root.HasLooseText)
            return Rejection.Malformed("one Meta and one Payload", $"{metas.Count} and {payloads.Count}");
        if (XmlSignature.Read(signatures[0], out var signed, out var certificates) is { } unsigned)
            return unsigned;
        return Read(root, metas[0], payloads[0], SHA384.HashData(root.Canonical(signatures[0])), signed!, certificates!, out rim);
    }

    public void Dispose() => certificates.Dispose();

    /// <summary>Null where the file is what was signed, by the key of the first certificate.</summary>
    internal Rejection? SignatureFault()
    {
        if (!CryptographicOperations.FixedTimeEquals(digest, signedDigest))
            return new Rejection(RejectionCode.BadSignature, $"a file of the digest {Shown.Hex(signedDigest)}", Shown.Hex(digest));
        if (VerificationKey.TryTake(Certificates[0], KeyKind.EcdsaP384, out var key) is { } rejection)
            return rejection;
        using (key)
            return key!.Verify(signedInfo, signature) ? null : new Rejection(RejectionCode.BadSignature, $"signed by {Certificates[0]}", "another signature");
    }

    private static IEnumerable<XmlPart> All(XmlPart part) => part.Elements.SelectMany(All).Prepend(part);

    private static Rejection? Read(
        XmlPart root, XmlPart meta, XmlPart payload, byte[] digest, XmlSignature signed, CertificateList certificates, out RimFile? rim)
    {
        rim = null;
        var measurements = new List<RimMeasurement>();
        var minimums = new List<RimMinimumSvn>();
        var indices = new HashSet<int>();
        Rejection? fault = null;
        var (product, edition, version) = (meta.Attribute("product"), meta.Attribute("edition"), meta.Attribute("colloquialVersion"));
        if (product is null or { Length: > 32 } || edition is not ("GPU" or "SWITCH") || version is null
            || !(FirmwareVersion.IsVbios(version) || FirmwareVersion.IsDriver(version)))
            fault = Rejection.Malformed("a product, its edition and a version", $"{Shown.Text(product)}, {Shown.Text(edition)}, {Shown.Text(version)}");
        foreach (var resource in payload.Elements)
        {
            fault ??= resource.Name == "Resource" && resource.Namespace == Swid && resource.Attribute("type") == "Measurement"
                ? ReadResource(resource, indices, measurements, minimums)
                : Rejection.Malformed("measurements", Shown.Text(resource.Name));
        }

        if (fault is not null)
        {
            certificates.Dispose();
            return fault;
        }

        rim = new RimFile(digest, signed, certificates)
        {
            Product = product!,
            Edition = edition!,
            Version = version!,
            Measurements = measurements,
            MinimumSvns = minimums,
        };
        return null;
    }

    private static Rejection? ReadResource(XmlPart resource, HashSet<int> indices, List<RimMeasurement> measurements, List<RimMinimumSvn> minimums)
    {
        if (!int.TryParse(resource.Attribute("index"), NumberStyles.None, CultureInfo.InvariantCulture, out var index)
            || index is not ((>= 0 and < MeasurementCount) or (>= FirstOpaqueIndex and <= FirstOpaqueIndex + ushort.MaxValue)))
            return Rejection.Malformed("an index from 0 to 63, or from 4096", Shown.Text(resource.Attribute("index")));
        if (!indices.Add(index))
            return Rejection.Malformed("each index once", $"{index} twice");
        if (resource.Attribute("active") is not ("True" or "False") || resource.Elements.Any() || resource.HasLooseText)
            return Rejection.Malformed($"active, True or False, and nothing within, at index {index}", "something else");
        var isActive = resource.Attribute("active") == "True";
        var hashes = resource.Attributes.Where(attribute => attribute.Namespace == HashNamespace).ToList();
        var name = resource.Attribute("name");
        if (name is null or { Length: > 256 })
            return Rejection.Malformed($"a name at index {index}", "none");

        if (index >= FirstOpaqueIndex)
        {
            if (hashes.Count > 0
                || !ulong.TryParse(resource.Attribute("minSvn", OpaqueNamespace), NumberStyles.None, CultureInfo.InvariantCulture, out var least))
                return Rejection.Malformed($"minSvn and no hash at index {index}", "something else");
            if (isActive)
                minimums.Add(new RimMinimumSvn(index - FirstOpaqueIndex, name, least));
            return null;
        }

        var alternatives = new List<byte[]>();
        for (var i = 0; i < hashes.Count; i++)
        {
            var value = new byte[DigestSize];
            if (resource.Attribute($"Hash{i}", HashNamespace) is not { Length: 2 * DigestSize } hex
                || Convert.FromHexString(hex, value, out _, out _) != System.Buffers.OperationStatus.Done)
                return Rejection.Malformed($"Hash0 and on, each 96 hexadecimal digits, at index {index}", "something else");
            alternatives.Add(value);
        }

        if (alternatives.Count == 0 || resource.Attribute("alternatives") != $"{alternatives.Count}" || resource.Attribute("size") != $"{DigestSize}")
            return Rejection.Malformed($"as many hashes of 48 bytes as alternatives at index {index}", $"{alternatives.Count}");
        if (isActive)
            measurements.Add(new RimMeasurement(index, alternatives));
        return null;
    }

    /// <summary>The one form of XML signature that these files have.</summary>
    private sealed record XmlSignature(byte[] SignedInfo, byte[] Digest, byte[] Value)
    {
        private static readonly string[] Parts = ["SignedInfo", "SignatureValue", "KeyInfo"];
        private static readonly string[] SignedParts = ["CanonicalizationMethod", "SignatureMethod", "Reference"];
        private static readonly string[] ReferenceParts = ["Transforms", "DigestMethod", "DigestValue"];

        public static Rejection? Read(XmlPart signature, out XmlSignature? signed, out CertificateList? certificates)
        {
            (signed, certificates) = (null, null);
            // Names first: which parts there are, and no more. Then what they say.
            if (Children(signature, Parts) is not [var info, var value, var key] || Children(info, SignedParts) is not [var c14n, var method, var reference]
                || Children(reference, ReferenceParts) is not [var transforms, var digestMethod, var digestValue] || transforms.HasLooseText)
                return Rejection.Malformed("a signature with one reference", "another form");
            string?[] algorithms = [Algorithm(c14n), Algorithm(method), Algorithm(digestMethod), .. transforms.Elements.Select(Algorithm)];
            if (!algorithms.SequenceEqual([C14N11, EcdsaSha384, DsigSha384, Enveloped, C14N11]) || transforms.Elements.Any(part => part.Name != "Transform"))
                return new Rejection(
                    RejectionCode.Unsupported, "ecdsa-sha384 over C14N 1.1, enveloped", Shown.List(algorithms.Select(name => name ?? "another form")));
            if (reference.Attributes is not [{ Name: "URI", Namespace: "", Value: "" }])
                return Rejection.Malformed("a reference to the root", "another");
            if (Base64(digestValue) is not { Length: DigestSize } digest || Base64(value) is not { Length: MeasurementReport.SignatureSize } bytes)
                return Rejection.Malformed("a digest of 48 bytes and a signature of 96", "others");
            if (key.Elements.ToList() is not [{ Name: "X509Data", Namespace: Dsig } data] || key.HasLooseText || data.HasLooseText
                || data.Elements.Any(part => part.Name != "X509Certificate" || part.Namespace != Dsig))
                return Rejection.Malformed("certificates in X509Data", "something else");
            var ders = data.Elements.Select(Base64).ToList();
            if (ders.Count is 0 or > Bounds.RimCertificates || ders.Contains(null))
                return Rejection.Malformed($"one to {Bounds.RimCertificates} certificates in base64", $"{ders.Count}");
            var parsed = new List<Certificate>();
            foreach (var der in ders)
            {
                if (Certificate.TryParse(der, out var certificate) is { } rejection)
                {
                    parsed.ForEach(item => item.Dispose());
                    return rejection;
                }

                parsed.Add(certificate!);
            }

            certificates = CertificateList.Of([.. parsed]);
            signed = new XmlSignature(info.Canonical(), digest, bytes);
            return null;
        }

        private static List<XmlPart>? Children(XmlPart part, string[] names)
        {
            var children = part.Elements.ToList();
            return children.Select(child => child.Name).SequenceEqual(names) && children.TrueForAll(child => child.Namespace == Dsig) && !part.HasLooseText
                && (part.Name == "Reference" || part.Attributes.Count == 0)
                ? children
                : null;
        }

        private static string? Algorithm(XmlPart part) =>
            part is { Namespace: Dsig, Text: "", Attributes: [{ Name: "Algorithm", Namespace: "" } only] } ? only.Value : null;

        // Line breaks between the digits are usual.
        private static byte[]? Base64(XmlPart part) =>
            part is { Attributes.Count: 0, Text: { } text }
                ? JsonFields.StrictBase64(string.Concat(text.Where(c => c is not (' ' or '\n' or '\r' or '\t'))))
                : null;
    }
}
