using System.Buffers.Binary;
using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Tests;

/// <summary>
/// Constructed, not recorded: a device of NVIDIA's shape under a PKI of our own, with RIM files and OCSP answers of ours, all of them right until a
/// test says otherwise. Only a policy of the test trusts its roots.
/// </summary>
internal sealed class EmulatedDevice
{
    public static readonly DateTimeOffset Now = new(2026, 6, 1, 12, 0, 0, TimeSpan.Zero);

    private static readonly ECDsa RootKey = NewKey();
    private static readonly ECDsa IdentityKey = NewKey();
    private static readonly ECDsa ProvisionerKey = NewKey();
    private static readonly ECDsa RimRootKey = NewKey();
    private static readonly ECDsa RimCaKey = NewKey();
    private static readonly ECDsa RimIssuerKey = NewKey();
    private static readonly ECDsa RimSignerKey = NewKey();
    // One root for all devices of a machine.
    private static readonly DevicePlan SharedRoot = new("CN=NVIDIA Device Identity CA, O=NVIDIA", RootKey) { IsAuthority = true };
    private static int made;

    private readonly int number = Interlocked.Increment(ref made);

    public EmulatedDevice(string chip = "GH100", bool isSwitch = false)
    {
        IsSwitch = isSwitch;
        Chip = chip;
        Id = $"{0x1000_0000_0000_0000UL + (ulong)number:x16}";
        var family = isSwitch ? "GH100" : chip;
        Identity = new DevicePlan($"CN=NVIDIA {family} Identity, O=NVIDIA Corporation", IdentityKey) { IsAuthority = true };
        Provisioner = new DevicePlan($"CN=NVIDIA {(chip == "GB20X" ? "GB202" : chip)} Provisioner ICA 1, O=NVIDIA Corporation", ProvisionerKey)
        {
            IsAuthority = true,
        };
        var unit = isSwitch ? "FSP" : "GSP";
        Brom = new DevicePlan($"CN={chip} A01 {unit} BROM, SERIALNUMBER=41{Id.ToUpperInvariant()}, O=NVIDIA Corporation", NewKey()) { IsAuthority = true };
        Leaf = new DevicePlan($"CN={chip} A01 {unit} FMC LF, O=NVIDIA Corporation", NewKey());
        RimRoot = new DevicePlan("CN=NVIDIA CoRIM signing Root CA, O=NVIDIA", RimRootKey) { IsAuthority = true };
        RimCa = new DevicePlan("CN=NVIDIA Reference Value GH100 CA, O=NVIDIA Corporation", RimCaKey) { IsAuthority = true };
        RimIssuer = new DevicePlan("CN=NVIDIA Reference Value L3 GH100 002, O=NVIDIA Corporation", RimIssuerKey) { IsAuthority = true };
        RimSigner = new DevicePlan("CN=HCC RIM L4 Signer, O=NVIDIA Corporation", RimSignerKey);
        for (var i = 1; i <= 64; i++)
            Measurements[i] = Published(i);
        if (isSwitch)
        {
            Opaque.Add((6, 0x86, "96.10.73.00.01"u8.ToArray()));
            Opaque.Add((22, 0x82, Convert.FromHexString(Id)));
            Opaque.Add((25, 0x85, [1, 0]));
        }
        else
        {
            Opaque.Add((6, 0x86, [0x00, 0x9F, 0x00, 0x96, 0x01, 0, 0, 0]));
            Opaque.Add((15, 0x82, "882\0"u8.ToArray()));
            Opaque.Add((17, 0x82, "1010\0"u8.ToArray()));
            Opaque.Add((18, 0x82, "0200\0"u8.ToArray()));
            Opaque.Add((3, 0x86, "570.124.06\0"u8.ToArray()));
            Opaque.Add((11, 0x82, [0xAA]));
            Opaque.Add((20, 0x01, Fwid));
            Opaque.Add((21, 0x85, [0x55]));
            Opaque.Add((36, 0x85, [0, 0]));
        }
    }

    public bool IsSwitch { get; }

    public string Chip { get; }

    /// <summary>The PDI in its certificate.</summary>
    public string Id { get; }

    public DevicePlan Root { get; set; } = SharedRoot;

    public DevicePlan Identity { get; }

    public DevicePlan Provisioner { get; }

    public DevicePlan Brom { get; }

    public DevicePlan Leaf { get; }

    public DevicePlan RimRoot { get; }

    public DevicePlan RimCa { get; }

    public DevicePlan RimIssuer { get; }

    public DevicePlan RimSigner { get; }

    public byte[] Fwid { get; set; } = SHA384.HashData("firmware"u8);

    public byte[] Nonce { get; set; } = SHA256.HashData("nonce"u8);

    /// <summary>By index.</summary>
    public SortedDictionary<int, byte[]> Measurements { get; } = [];

    public List<(int Type, int ValueType, byte[] Value)> Opaque { get; } = [];

    public bool IsVersioned { get; set; }

    public byte[] Flags { get; set; } = [0x80, 0x00, 0x00, 0x01];

    public string? Architecture { get; set; }

    public List<byte[]> Documents { get; } = [];

    public bool OmitRoot { get; set; }

    public Func<byte[], byte[]> ChangeReport { get; set; } = bytes => bytes;

    public Func<byte[], byte[]> ChangeSigned { get; set; } = bytes => bytes;

    public static ECDsa NewKey() => ECDsa.Create(ECCurve.NamedCurves.nistP384);

    public void Replace(int type, byte[] value) =>
        Opaque[Opaque.FindIndex(entry => entry.Type == type)] = (type, Opaque.Find(entry => entry.Type == type).ValueType, value);

    public Policy Trusting(Policy? policy = null) => (policy ?? Policy.Default) with
    {
        DangerousTestRoots = new TestRoots { NvidiaDevice = Loaded(Root.Make(Root).RawData), NvidiaRim = Loaded(RimRoot.Make(RimRoot).RawData) },
    };

    /// <summary>Leaf first.</summary>
    public IReadOnlyList<byte[]> Path()
    {
        Leaf.Extensions = [.. Leaf.MoreExtensions, Chip.StartsWith("GB", StringComparison.Ordinal) ? TcbInfo() : CompositeDeviceId()];
        byte[][] path =
            [Leaf.Make(Brom).RawData, Brom.Make(Provisioner).RawData, Provisioner.Make(Identity).RawData, Identity.Make(Root).RawData, Root.Make(Root).RawData];
        return OmitRoot ? path[..4] : path;
    }

    public byte[] Report()
    {
        var opaque = new List<byte>();
        if (IsVersioned)
            opaque.AddRange([.. "NVDAOD"u8, 0, 0, 2, 0, 0, 0]);
        foreach (var (type, valueType, value) in Opaque)
        {
            opaque.AddRange(UInt16(type));
            if (IsVersioned)
                opaque.AddRange(UInt16(valueType));
            opaque.AddRange([.. UInt16(value.Length), .. value]);
        }

        byte[] record =
            [.. Measurements.SelectMany(item => (byte[])[(byte)item.Key, 1, .. UInt16(item.Value.Length + 3), 1, .. UInt16(item.Value.Length), .. item.Value])];
        byte[] signed =
        [
            0x11, 0xE0, 0x01, 0xFF, .. Nonce, 0, 0x11, 0x60, 0, 0, (byte)Measurements.Count, (byte)record.Length, (byte)(record.Length >> 8),
            (byte)(record.Length >> 16), .. record, .. new byte[32], .. UInt16(opaque.Count), .. opaque,
        ];
        signed = ChangeSigned(signed);
        return ChangeReport([.. signed, .. Leaf.Key.SignData(signed, HashAlgorithmName.SHA384)]);
    }

    public NvidiaEvidence ToEvidence() => new()
    {
        Architecture = Architecture,
        Report = Report(),
        Certificates = (byte[])[.. Path().SelectMany(der => der)],
        Documents = [.. Documents.Select(document => (ReadOnlyMemory<byte>)document)],
    };

    public Verdict Verify(Policy? policy = null, byte[]? nonce = null, byte[]? ocspNonce = null, params EmulatedDevice[] others) =>
        NvidiaVerifier.Verify(
            [ToEvidence(), .. others.Select(other => other.ToEvidence())], Trusting(policy), Now, nonce is null ? null : (ReadOnlyMemory<byte>?)nonce,
            ocspNonce is null ? null : (ReadOnlyMemory<byte>?)ocspNonce).Verdict;

    /// <summary>The RIM file of its driver (indices 21 to 40) or of its VBIOS (0 to 12).</summary>
    public RimPlan Rim(bool vbios) => new(this)
    {
        Product = IsSwitch ? "LS10" : Chip,
        Edition = IsSwitch ? "SWITCH" : "GPU",
        Version = !vbios ? "570.124.06" : IsSwitch ? "96.10.73.00.01" : "96.00.9F.00.01",
        Lines = [.. Enumerable.Range(vbios ? 0 : 21, vbios ? 13 : 20).Select(index => Line(index, Published(index + 1)))],
    };

    public static string Line(int index, params byte[][] hashes) =>
        $"<r:Resource active=\"True\" alternatives=\"{hashes.Length}\" index=\"{index}\" name=\"Measurement_{index}\" size=\"48\" type=\"Measurement\""
        + string.Concat(hashes.Select((hash, i) => $" h:Hash{i}=\"{Convert.ToHexStringLower(hash)}\"")) + "></r:Resource>";

    /// <summary>A minimum as NVIDIA's documentation has it; no file with one was recorded.</summary>
    public static string Minimum(int type, ulong least, string name = "FSP_UCODE_SVN") =>
        $"<r:Resource active=\"True\" index=\"{0x1000 + type}\" name=\"{name}\" type=\"Measurement\" o:minSvn=\"{least}\"></r:Resource>";

    /// <summary>What its RIM files have of the report's index.</summary>
    private static byte[] Published(int index) => SHA384.HashData(Encoding.ASCII.GetBytes($"measurement {index}"));

    private static byte[] UInt16(int value)
    {
        var bytes = new byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, (ushort)value);
        return bytes;
    }

    private static Certificate Loaded(byte[] der) =>
        Certificate.TryParse(der, out var certificate) is null ? certificate! : throw new InvalidOperationException();

    private X509Extension CompositeDeviceId()
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
        {
            writer.WriteInteger(1);
            writer.WriteEncodedValue(Brom.Key.ExportSubjectPublicKeyInfo());
            WriteFwid(writer, Fwid);
        }

        return new X509Extension("2.23.133.5.4.1", writer.Encode(), critical: false);
    }

    private X509Extension TcbInfo()
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
        {
            writer.WriteCharacterString(UniversalTagNumber.UTF8String, "NVIDIA", new Asn1Tag(TagClass.ContextSpecific, 0));
            using (writer.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 6)))
            {
                WriteFwid(writer, Fwid);
                WriteFwid(writer, new byte[48]);
            }

            writer.WriteBitString(Flags, 0, new Asn1Tag(TagClass.ContextSpecific, 7));
        }

        return new X509Extension("2.23.133.5.4.1.1", writer.Encode(), critical: false);
    }

    private static void WriteFwid(AsnWriter writer, byte[] digest)
    {
        using (writer.PushSequence())
        {
            writer.WriteObjectIdentifier("2.16.840.1.101.3.4.2.2");
            writer.WriteOctetString(digest);
        }
    }
}

/// <summary>A certificate of P-384 before it is signed.</summary>
internal sealed class DevicePlan(string name, ECDsa key)
{
    private readonly Dictionary<string, X509Certificate2> madeFor = [];

    public string Name { get; set; } = name;

    public ECDsa Key { get; set; } = key;

    /// <summary>Who signs in the issuer's place.</summary>
    public ECDsa? ForeignSigner { get; set; }

    /// <summary>Of the issuer's signature.</summary>
    public HashAlgorithmName Hash { get; set; } = HashAlgorithmName.SHA384;

    public bool IsAuthority { get; set; }

    public int? PathLength { get; set; }

    public X509KeyUsageFlags? Usages { get; set; }

    public DateTimeOffset NotBefore { get; set; } = EmulatedDevice.Now.AddYears(-1);

    public DateTimeOffset NotAfter { get; set; } = EmulatedDevice.Now.AddYears(5);

    public byte[] SerialNumber { get; set; } = [0x4A, .. RandomNumberGenerator.GetBytes(18)];

    public IReadOnlyList<X509Extension> Extensions { get; set; } = [];

    public List<X509Extension> MoreExtensions { get; } = [];

    /// <summary>Once for each issuer: signing again would make another certificate.</summary>
    public X509Certificate2 Make(DevicePlan issuer)
    {
        if (madeFor.TryGetValue(issuer.Name, out var known) && known.NotBefore.ToUniversalTime() == NotBefore.UtcDateTime)
            return known;
        var request = new CertificateRequest(new X500DistinguishedName(Name), Key, Hash);
        if (IsAuthority)
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, PathLength is not null, PathLength ?? 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(
            Usages ?? (IsAuthority ? X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign : X509KeyUsageFlags.DigitalSignature), critical: true));
        foreach (var extension in Extensions.Count > 0 ? Extensions : MoreExtensions)
            request.CertificateExtensions.Add(extension);
        return madeFor[issuer.Name] = request.Create(
            new X500DistinguishedName(issuer.Name), X509SignatureGenerator.CreateForECDsa(ForeignSigner ?? issuer.Key), NotBefore, NotAfter, SerialNumber);
    }
}

/// <summary>A RIM file before it is signed. Its text is canonical as it is written, so that what is signed is the text itself.</summary>
internal sealed class RimPlan(EmulatedDevice device)
{
    private const string Signature = "<!--signature-->";

    public required string Product { get; set; }

    public required string Edition { get; set; }

    public required string Version { get; set; }

    public required List<string> Lines { get; init; }

    /// <summary>The last change to the signed text, before it is signed.</summary>
    public Func<string, string> ChangeText { get; set; } = text => text;

    /// <summary>The last change to the whole text, after it was signed.</summary>
    public Func<string, string> ChangeSigned { get; set; } = text => text;

    public ECDsa? ForeignSigner { get; set; }

    public byte[] ToBytes()
    {
        const string namespaces = "xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" xmlns:h=\"http://www.w3.org/2001/04/xmlenc#sha384\""
            + " xmlns:o=\"https://docs.nvidia.com/attestation/specs/latest/opaque-data.html\" xmlns:r=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\"";
        var text = ChangeText(
            $"<SoftwareIdentity {namespaces} name=\"{Product}\">\n<r:Meta colloquialVersion=\"{Version}\" edition=\"{Edition}\" product=\"{Product}\"></r:Meta>\n"
            + $"<r:Payload>{string.Concat(Lines)}</r:Payload>\n{Signature}</SoftwareIdentity>");
        var digest = Convert.ToBase64String(SHA384.HashData(Encoding.UTF8.GetBytes(text.Replace(Signature, "", StringComparison.Ordinal))));
        var body = "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"></ds:CanonicalizationMethod>"
            + "<ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384\"></ds:SignatureMethod><ds:Reference URI=\"\"><ds:Transforms>"
            + "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"></ds:Transform>"
            + "<ds:Transform Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"></ds:Transform></ds:Transforms>"
            + $"<ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#sha384\"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>";
        // The namespaces that hold in SignedInfo stand at its beginning, in the order of their prefixes.
        var canonical = "<ds:SignedInfo "
            + namespaces.Replace(" xmlns:h=", " xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" xmlns:h=", StringComparison.Ordinal)
            + $">{body}</ds:SignedInfo>";
        var value = Convert.ToBase64String((ForeignSigner ?? device.RimSigner.Key).SignData(Encoding.UTF8.GetBytes(canonical), HashAlgorithmName.SHA384));
        byte[][] path =
        [
            device.RimSigner.Make(device.RimIssuer).RawData, device.RimIssuer.Make(device.RimCa).RawData, device.RimCa.Make(device.RimRoot).RawData,
            device.RimRoot.Make(device.RimRoot).RawData,
        ];
        var certificates = string.Concat(path.Select(der => $"<ds:X509Certificate>{Convert.ToBase64String(der)}</ds:X509Certificate>"));
        var signature = $"<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo>{body}</ds:SignedInfo><ds:SignatureValue>{value}</ds:SignatureValue>"
            + $"<ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>";
        return Encoding.UTF8.GetBytes(ChangeSigned(text.Replace(Signature, signature, StringComparison.Ordinal)));
    }
}

/// <summary>An OCSP answer before it is signed; none of NVIDIA's was recorded.</summary>
internal sealed class OcspPlan(DevicePlan issuer, DevicePlan issuersIssuer, params DevicePlan[] subjects)
{
    /// <summary>Null is good, -1 unknown, else the reason of a revocation.</summary>
    public int? Reason { get; set; }

    public DateTimeOffset ThisUpdate { get; set; } = EmulatedDevice.Now.AddDays(-1);

    public DateTimeOffset? NextUpdate { get; set; } = EmulatedDevice.Now.AddDays(1);

    public byte[]? Nonce { get; set; }

    /// <summary>Who answers in the issuer's place, with a certificate of its own.</summary>
    public DevicePlan? Delegate { get; set; }

    public ECDsa? ForeignSigner { get; set; }

    public HashAlgorithmName Hash { get; set; } = HashAlgorithmName.SHA256;

    public byte ResponseStatus { get; set; }

    public byte[] ToBytes()
    {
        var authority = issuer.Make(issuersIssuer);
        var data = new AsnWriter(AsnEncodingRules.DER);
        using (data.PushSequence())
        {
            using (data.PushSequence(Tag(2)))
                data.WriteOctetString(SHA256.HashData(authority.PublicKey.EncodedKeyValue.RawData).AsSpan(0, 20)); // nobody reads it: the signature tells
            data.WriteGeneralizedTime(ThisUpdate, omitFractionalSeconds: true);
            using (data.PushSequence())
            {
                foreach (var subject in subjects)
                    WriteSingle(data, subject, authority);
            }

            if (Nonce is not null)
            {
                var inner = new AsnWriter(AsnEncodingRules.DER);
                inner.WriteOctetString(Nonce);
                using (data.PushSequence(Tag(1)))
                using (data.PushSequence())
                using (data.PushSequence())
                {
                    data.WriteObjectIdentifier("1.3.6.1.5.5.7.48.1.2");
                    data.WriteOctetString(inner.Encode());
                }
            }
        }

        var signed = data.Encode();
        var basic = new AsnWriter(AsnEncodingRules.DER);
        using (basic.PushSequence())
        {
            basic.WriteEncodedValue(signed);
            using (basic.PushSequence())
                basic.WriteObjectIdentifier("1.2.840.10045.4.3.3");
            basic.WriteBitString(
                (ForeignSigner ?? Delegate?.Key ?? issuer.Key).SignData(signed, HashAlgorithmName.SHA384, DSASignatureFormat.Rfc3279DerSequence));
            if (Delegate is not null)
            {
                using (basic.PushSequence(Tag(0)))
                using (basic.PushSequence())
                    basic.WriteEncodedValue(Delegate.Make(issuer).RawData);
            }
        }

        var response = new AsnWriter(AsnEncodingRules.DER);
        using (response.PushSequence())
        {
            response.WriteEncodedValue([0x0A, 0x01, ResponseStatus]);
            using (response.PushSequence(Tag(0)))
            using (response.PushSequence())
            {
                response.WriteObjectIdentifier("1.3.6.1.5.5.7.48.1.1");
                response.WriteOctetString(basic.Encode());
            }
        }

        return response.Encode();
    }

    private static Asn1Tag Tag(int value) => new(TagClass.ContextSpecific, value, isConstructed: true);

    private void WriteSingle(AsnWriter data, DevicePlan subject, X509Certificate2 authority)
    {
        using (data.PushSequence())
        {
            using (data.PushSequence())
            {
                using (data.PushSequence())
                    data.WriteObjectIdentifier(Hash == HashAlgorithmName.SHA1 ? "1.3.14.3.2.26" : "2.16.840.1.101.3.4.2.1");
                data.WriteOctetString(CryptographicOperations.HashData(Hash, authority.SubjectName.RawData));
                data.WriteOctetString(CryptographicOperations.HashData(Hash, authority.PublicKey.EncodedKeyValue.RawData));
                data.WriteIntegerUnsigned(subject.SerialNumber);
            }

            if (Reason is null)
                data.WriteNull(new Asn1Tag(TagClass.ContextSpecific, 0));
            else if (Reason < 0)
                data.WriteNull(new Asn1Tag(TagClass.ContextSpecific, 2));
            else
            {
                using (data.PushSequence(Tag(1)))
                {
                    data.WriteGeneralizedTime(ThisUpdate.AddDays(-3), omitFractionalSeconds: true);
                    using (data.PushSequence(Tag(0)))
                        data.WriteEncodedValue([0x0A, 0x01, (byte)Reason.Value]);
                }
            }

            data.WriteGeneralizedTime(ThisUpdate, omitFractionalSeconds: true);
            if (NextUpdate is { } next)
            {
                using (data.PushSequence(Tag(0)))
                    data.WriteGeneralizedTime(next, omitFractionalSeconds: true);
            }
        }
    }
}
