using System.Buffers.Binary;
using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>
/// A platform of our own with the PKI, collateral and quotes of Intel's shape, all of them right until a test says otherwise.
/// Only a policy of the test trusts its root. The keys are made once a run.
/// </summary>
internal sealed class IntelPlatform
{
    public static readonly DateTimeOffset Now = new(2026, 6, 1, 12, 0, 0, TimeSpan.Zero);

    private const string Place = ", O=Intel Corporation, L=Santa Clara, S=CA, C=US";

    private static readonly ECDsa RootKey = NewKey();
    private static readonly ECDsa IntermediateKey = NewKey();
    private static readonly ECDsa PckKey = NewKey();
    private static readonly ECDsa SignerKey = NewKey();
    private static readonly ECDsa AttestationKey = NewKey();
    private static readonly byte[] Vendor = Convert.FromHexString("939a7233f79c4ca9940a0db3957f0607");

    private X509Certificate2? root;

    public IntelPlatform()
    {
        Root = new CertificatePlan("CN=Intel SGX Root CA" + Place, RootKey)
        {
            IsAuthority = true,
            PathLength = 1,
            Usages = X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign,
        };
        Intermediate = new CertificatePlan("CN=Intel SGX PCK Platform CA" + Place, IntermediateKey)
        {
            IsAuthority = true,
            PathLength = 0,
            Usages = X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign,
        };
        Pck = new CertificatePlan("CN=Intel SGX PCK Certificate" + Place, PckKey);
        Signer = new CertificatePlan("CN=Intel SGX TCB Signing" + Place, SignerKey);
        BinaryPrimitives.WriteUInt64LittleEndian(Body.AsSpan(120), 1UL << 28);
        Body[128] = 3; // xfam: x87 and SSE, which every TD has
        Body[0] = 5; // isvsvn of the TDX module
        Body[1] = 1; // its major version
        Body[2] = 2;
        RandomNumberGenerator.Fill(Body.AsSpan(136, 48)); // mr_td
        RandomNumberGenerator.Fill(Body.AsSpan(520, 64)); // report_data
        QeMrSigner.CopyTo(QeReport.AsSpan(128));
        BinaryPrimitives.WriteUInt16LittleEndian(QeReport.AsSpan(256), 2);
        BinaryPrimitives.WriteUInt16LittleEndian(QeReport.AsSpan(258), 4);
        QeReport[48] = 0x11;
        TcbInfo = JsonNode.Parse("""
            {"id":"TDX","version":3,"issueDate":"2026-05-20T00:00:00Z","nextUpdate":"2026-06-20T00:00:00Z","fmspc":"B0C06F000000","pceId":"0000","tcbType":0,
             "tcbEvaluationDataNumber":20,
             "tdxModule":{"mrsigner":"MODULE","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF"},
             "tdxModuleIdentities":[{"id":"TDX_01","mrsigner":"MODULE","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF",
               "tcbLevels":[{"tcb":{"isvsvn":5},"tcbDate":"2026-01-01T00:00:00Z","tcbStatus":"UpToDate"},
                            {"tcb":{"isvsvn":2},"tcbDate":"2024-01-01T00:00:00Z","tcbStatus":"OutOfDate"}]}],
             "tcbLevels":[]}
            """.Replace("MODULE", new string('0', 96), StringComparison.Ordinal))!.AsObject();
        TcbInfo["tcbLevels"] = new JsonArray(Level(pceSvn: 11, firstSgx: 3, "UpToDate"), Level(pceSvn: 5, firstSgx: 2, "OutOfDate"));
        QeIdentity = JsonNode.Parse("""
            {"id":"TD_QE","version":2,"issueDate":"2026-05-20T00:00:00Z","nextUpdate":"2026-06-20T00:00:00Z","tcbEvaluationDataNumber":20,
             "miscselect":"00000000","miscselectMask":"FFFFFFFF","attributes":"11000000000000000000000000000000","attributesMask":"FBFFFFFFFFFFFFFF0000000000000000",
             "mrsigner":"SIGNER","isvprodid":2,
             "tcbLevels":[{"tcb":{"isvsvn":4},"tcbDate":"2026-01-01T00:00:00Z","tcbStatus":"UpToDate"},{"tcb":{"isvsvn":2},"tcbDate":"2024-01-01T00:00:00Z","tcbStatus":"OutOfDate"}]}
            """.Replace("SIGNER", Convert.ToHexString(QeMrSigner), StringComparison.Ordinal))!.AsObject();
    }

    public static byte[] QeMrSigner { get; } = SHA256.HashData("a quoting enclave's signer"u8);

    public int Version { get; set; } = 4;

    /// <summary>The TD report; 64 more bytes make it one of TD 1.5.</summary>
    public byte[] Body { get; set; } = new byte[584];

    public byte[] QeReport { get; } = new byte[384];

    public byte[] QeVendor { get; set; } = [.. Vendor];

    public CertificatePlan Root { get; }

    public CertificatePlan Intermediate { get; }

    public CertificatePlan Pck { get; }

    public CertificatePlan Signer { get; }

    public byte[] Components { get; } = [3, 2, 2, 2, 3, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];

    public int PceSvn { get; set; } = 11;

    public byte[] Fmspc { get; set; } = Convert.FromHexString("b0c06f000000");

    public JsonObject TcbInfo { get; set; }

    public JsonObject QeIdentity { get; set; }

    /// <summary>Serial numbers on the root's list, besides those of plans.</summary>
    public List<byte[]> RevokedByRoot { get; } = [];

    public List<byte[]> RevokedByIntermediate { get; } = [];

    /// <summary>Last changes to the lists.</summary>
    public Action<RevocationListWriter> ChangeRootList { get; set; } = _ => { };

    public Action<RevocationListWriter> ChangePckList { get; set; } = _ => { };

    /// <summary>The extension of the PCK certificate, with a last change.</summary>
    public Func<byte[], byte[]> ChangePckExtension { get; set; } = bytes => bytes;

    /// <summary>Leaves the root out of the path in the quote.</summary>
    public bool OmitRoot { get; set; }

    /// <summary>Leaves the intermediate out of the path in the quote.</summary>
    public bool OmitIntermediate { get; set; }

    /// <summary>Puts a CA of another name in the place of the PCK's issuer.</summary>
    public bool IsIntermediateUnrelated { get; set; }

    public Span<byte> Register(int index) => Body.AsSpan(328 + (index * 48), 48);

    /// <summary>A policy that trusts this root and accepts everything else as the default does.</summary>
    public Policy Policy { get; set; } = Policy.Default;

    public Policy TrustingPolicy() => Policy with { DangerousTestRoots = new TestRoots { Intel = RootCertificate() } };

    public static JsonObject Level(int pceSvn, int firstSgx, string status, params string[] advisories)
    {
        var (sgx, tdx) = (Enumerable.Repeat(0, 16).ToArray(), Enumerable.Repeat(0, 16).ToArray());
        (sgx[0], sgx[1], tdx[0], tdx[2]) = (firstSgx, 2, 5, 2);
        var level = new JsonObject
        {
            ["tcb"] = new JsonObject
            {
                ["sgxtcbcomponents"] = new JsonArray([.. sgx.Select(svn => new JsonObject { ["svn"] = svn })]),
                ["pcesvn"] = pceSvn,
                ["tdxtcbcomponents"] = new JsonArray([.. tdx.Select(svn => new JsonObject { ["svn"] = svn })]),
            },
            ["tcbDate"] = "2026-01-01T00:00:00Z",
            ["tcbStatus"] = status,
        };
        if (advisories.Length > 0)
            level["advisoryIDs"] = new JsonArray([.. advisories.Select(id => JsonValue.Create(id))]);
        return level;
    }

    /// <summary>The whole quote, signed.</summary>
    public byte[] Quote()
    {
        var body = Body;
        var header = new byte[48];
        BinaryPrimitives.WriteUInt16LittleEndian(header, (ushort)Version);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(2), 2);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(4), 0x81);
        QeVendor.CopyTo(header.AsSpan(12));
        byte[] descriptor = Version == 4 ? [] : [.. Little16(body.Length == 584 ? 2 : 3), .. Little32(body.Length)];
        byte[] signed = [.. header, .. descriptor, .. body];
        var point = AttestationKey.ExportParameters(false).Q;
        byte[] attestationKey = [.. point.X!, .. point.Y!];
        byte[] authData = [1, 2, 3, 4];
        SHA256.HashData([.. attestationKey, .. authData]).CopyTo(QeReport.AsSpan(320));
        var path = Encoding.ASCII.GetBytes(Path());
        byte[] certification =
        [
            .. QeReport, .. PckKey.SignData(QeReport, HashAlgorithmName.SHA256), .. Little16(authData.Length), .. authData, .. Little16(5),
            .. Little32(path.Length), .. path,
        ];
        byte[] signatureData =
        [
            .. AttestationKey.SignData(signed, HashAlgorithmName.SHA256), .. attestationKey, .. Little16(6), .. Little32(certification.Length),
            .. certification,
        ];
        return [.. signed, .. Little32(signatureData.Length), .. signatureData];
    }

    public TdxCollateral Collateral() => new()
    {
        TcbInfo = Signed("tcbInfo", TcbInfo),
        QeIdentity = Signed("enclaveIdentity", QeIdentity),
        TcbSigningChain = Encoding.ASCII.GetBytes(SignerCertificate().ExportCertificatePem() + "\n" + X509Root().ExportCertificatePem() + "\n"),
        PckCrl = List(IntermediateCertificate(), IntermediateKey, RevokedByIntermediate, ChangePckList),
        RootCaCrl = List(X509Root(), RootKey, RevokedByRoot, ChangeRootList),
    };

    /// <summary>What Intel signs: the exact bytes of the body.</summary>
    public static byte[] Signed(string name, JsonNode body)
    {
        var text = body.ToJsonString();
        var signature = Convert.ToHexStringLower(SignerKey.SignData(Encoding.UTF8.GetBytes(text), HashAlgorithmName.SHA256));
        return Encoding.UTF8.GetBytes($$"""{"{{name}}":{{text}},"signature":"{{signature}}"}""");
    }

    public TdxVerification Verify(DateTimeOffset? at = null, ReadOnlyMemory<byte>? reportData = null, ReadOnlyMemory<byte>? eventLog = null) =>
        TdxVerifier.Verify(Quote(), Collateral(), TrustingPolicy(), at ?? Now, reportData, eventLog);

    /// <summary>The path in the quote, PEM.</summary>
    public string Path() => string.Concat(
        new[]
        {
            PckCertificate(),
            OmitIntermediate ? null : IsIntermediateUnrelated ? UnrelatedCertificate() : IntermediateCertificate(),
            OmitRoot ? null : X509Root(),
        }
        .Where(certificate => certificate is not null).Select(certificate => certificate!.ExportCertificatePem() + "\n"));

    public X509Certificate2 PckCertificate()
    {
        Pck.Extensions = [new X509Extension("1.2.840.113741.1.13.1", ChangePckExtension(PckExtensionValue()), critical: false), .. Pck.MoreExtensions];
        return Pck.Make(Intermediate);
    }

    public X509Certificate2 IntermediateCertificate() => Intermediate.Make(Root);

    public X509Certificate2 UnrelatedCertificate()
    {
        const X509KeyUsageFlags usages = X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign;
        return new CertificatePlan("CN=Intel SGX PCK Processor CA" + Place, SignerKey) { IsAuthority = true, Usages = usages }.Make(Root);
    }

    public X509Certificate2 SignerCertificate() => Signer.Make(Root);

    /// <summary>Made once, because a path ends in these very bytes and ECDSA signs differently each time.</summary>
    public X509Certificate2 X509Root() => root ??= Root.Make(Root);

    public Certificate RootCertificate()
    {
        Certificate.TryParse(X509Root().RawData, out var certificate).ShouldBeNull();
        return certificate!;
    }

    private byte[] PckExtensionValue()
    {
        const string oid = "1.2.840.113741.1.13.1";
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
        {
            Member(writer, oid + ".1", value => value.WriteOctetString(new byte[16]));
            Member(writer, oid + ".2", value =>
            {
                using (value.PushSequence())
                {
                    for (var i = 0; i < 16; i++)
                    {
                        var svn = Components[i];
                        Member(value, $"{oid}.2.{i + 1}", number => number.WriteInteger(svn));
                    }

                    Member(value, oid + ".2.17", number => number.WriteInteger(PceSvn));
                    Member(value, oid + ".2.18", octets => octets.WriteOctetString(Components));
                }
            });
            Member(writer, oid + ".3", value => value.WriteOctetString(new byte[2]));
            Member(writer, oid + ".4", value => value.WriteOctetString(Fmspc));
            Member(writer, oid + ".6", value => value.WriteOctetString(Convert.FromHexString("07828474603e7019dc930775ffe8cdd2")));
        }

        return writer.Encode();

        static void Member(AsnWriter writer, string oid, Action<AsnWriter> write)
        {
            using (writer.PushSequence())
            {
                writer.WriteObjectIdentifier(oid);
                write(writer);
            }
        }
    }

    private static byte[] List(X509Certificate2 issuer, ECDsa key, IReadOnlyList<byte[]> revoked, Action<RevocationListWriter> change)
    {
        var writer = new RevocationListWriter
        {
            IssuerName = issuer.SubjectName.RawData,
            Key = key,
            ThisUpdate = Now.AddDays(-10),
            NextUpdate = Now.AddDays(20),
        };
        writer.SerialNumbers.AddRange(revoked);
        change(writer);
        return writer.Write();
    }

    private static byte[] Little16(int value) => [(byte)value, (byte)(value >> 8)];

    private static byte[] Little32(int value) => [(byte)value, (byte)(value >> 8), (byte)(value >> 16), (byte)(value >> 24)];

    private static ECDsa NewKey() => ECDsa.Create(ECCurve.NamedCurves.nistP256);
}

/// <summary>A certificate before it is made.</summary>
internal sealed class CertificatePlan(string name, ECDsa key)
{
    public string Name { get; set; } = name;

    public ECDsa Key { get; set; } = key;

    /// <summary>Who signs in the issuer's place.</summary>
    public ECDsa? ForeignSigner { get; set; }

    public bool IsAuthority { get; set; }

    public int PathLength { get; set; }

    public X509KeyUsageFlags Usages { get; set; } = X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.NonRepudiation;

    public DateTimeOffset NotBefore { get; set; } = IntelPlatform.Now.AddYears(-1);

    public DateTimeOffset NotAfter { get; set; } = IntelPlatform.Now.AddYears(5);

    /// <summary>Unsigned, big endian.</summary>
    public byte[] SerialNumber { get; set; } = [0x4A, .. RandomNumberGenerator.GetBytes(18)];

    public IReadOnlyList<X509Extension> Extensions { get; set; } = [];

    public List<X509Extension> MoreExtensions { get; } = [];

    public X509Certificate2 Make(CertificatePlan issuer)
    {
        var request = new CertificateRequest(new X500DistinguishedName(Name), Key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(IsAuthority, IsAuthority, PathLength, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(Usages, critical: true));
        foreach (var extension in Extensions.Count > 0 ? Extensions : MoreExtensions)
            request.CertificateExtensions.Add(extension);
        return request.Create(
            new X500DistinguishedName(issuer.Name), X509SignatureGenerator.CreateForECDsa(ForeignSigner ?? issuer.Key), NotBefore, NotAfter, SerialNumber);
    }
}
