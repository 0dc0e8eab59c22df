using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Tests.Certificates;

/// <summary>spec/attestation.md section 4 rules 2 to 4: leaf, intermediate and pinned root, and no other way from one to the other.</summary>
public sealed class CertificatePathTests : IDisposable
{
    private static readonly DateTimeOffset Now = Evidence.Time("2026-06-01T00:00:00Z");
    private static readonly PathRules Rules = new()
    {
        LeafNames = ["leaf"],
        LeafKey = KeyKind.EcdsaP256,
        IntermediateNames = ["middle"],
        AuthorityKey = KeyKind.EcdsaP256,
    };

    private static readonly PathRules WithoutMiddle = Rules with { IntermediateNames = [] };
    private static readonly X509Extension UnknownAndCritical = new("1.2.3.4", [5, 0], critical: true);

    private readonly List<IDisposable> made = [];
    private readonly Issued root;
    private readonly Issued middle;

    public CertificatePathTests()
    {
        root = Authority("root", null);
        middle = Authority("middle", root);
    }

    public void Dispose() => made.ForEach(item => item.Dispose());

    [Fact]
    public void A_path_stands_with_its_root_and_without()
    {
        var leaf = Leaf(middle);
        Fault(Rules, leaf, middle).ShouldBeNull();
        Fault(Rules, leaf, middle, root).ShouldBeNull();
        Fault(WithoutMiddle, Leaf(root)).ShouldBeNull();
        Fault(WithoutMiddle, Leaf(root), root).ShouldBeNull();
    }

    [Fact]
    public void Another_root_is_named_and_so_is_another_number_of_certificates()
    {
        var leaf = Leaf(middle);
        Fault(Rules, leaf, middle, Authority("root", null)).ShouldBe(new Rejection(RejectionCode.Untrusted, "the pinned root", "another root, named root"));
        Fault(Rules, leaf).ShouldBe(new Rejection(RejectionCode.Untrusted, "2 certificates below the root", "1 certificates"));
        Fault(WithoutMiddle, leaf, middle, root).ShouldBe(new Rejection(RejectionCode.Untrusted, "1 certificates below the root", "3 certificates"));
    }

    [Fact]
    public void A_leaf_of_the_root_does_not_stand_below_an_intermediate_that_did_not_sign_it()
    {
        // Its own path to the root stands, and it is not the one that was given.
        var expected = new Rejection(RejectionCode.Untrusted, "leaf issued by middle", "root");
        Fault(Rules, Leaf(root), middle).ShouldBe(expected);
        Fault(Rules, Leaf(root, UnknownAndCritical), middle).ShouldBe(expected, "whatever else is wrong with it");
    }

    [Fact]
    public void An_authority_of_the_right_name_and_another_key_signs_nothing()
    {
        var other = Authority("middle", root);
        var expected = new Rejection(RejectionCode.Untrusted, "leaf signed by middle", "another signature");
        Fault(Rules, Leaf(other), middle).ShouldBe(expected);
        Fault(Rules, Leaf(other, UnknownAndCritical), middle).ShouldBe(expected, "whatever else is wrong with it");
        Fault(Rules, Leaf(middle), Authority("middle", Authority("root", null)))!.Code.ShouldBe(RejectionCode.Untrusted);
    }

    [Fact]
    public void What_lies_in_the_stores_of_the_machine_changes_nothing()
    {
        // dotnet/runtime 98921: a chain of the framework's takes the other certificate of the same authority, and does not reach the root.
        var name = $"middle {Guid.NewGuid()}";
        var given = Authority(name, root);
        Issued[] issuers = [Authority("stranger", null), root];
        X509Certificate2[] others = [.. issuers.Select(issuer => Issue(new Wanted(name, issuer) { Key = given.Key }).Certificate)
            .Select(certificate => X509CertificateLoader.LoadCertificate(certificate.Der.Span))];
        made.AddRange(others);
        using var store = new X509Store(StoreName.CertificateAuthority, StoreLocation.CurrentUser);
        store.Open(OpenFlags.ReadWrite);
        foreach (var other in others)
        {
            store.Add(other);
            try
            {
                Fault(Rules with { IntermediateNames = [name] }, Leaf(given), given).ShouldBeNull();
            }
            finally
            {
                store.Remove(other);
            }
        }
    }

    [Fact]
    public void Each_certificate_is_signed_by_the_next_with_the_algorithm_of_its_key()
    {
        var other = Issue("leaf", middle, HashAlgorithmName.SHA384);
        Fault(Rules, other, middle).ShouldBe(new Rejection(RejectionCode.BadCertificate, "a certificate signed with ECDSA and SHA-256", "leaf"));
        var der = Leaf(middle).Certificate.Der.ToArray();
        var serialNumber = der.AsSpan().IndexOf((byte[])[2, 2, 1]) + 3;
        foreach (var changed in new[] { Changed(der, ^1, 1), Changed(der, serialNumber, 0x40) }) // in the signature, in what it signs
        {
            Certificate.TryParse(changed, out var leaf).ShouldBeNull();
            using (leaf)
                FaultBelow(root, Rules, leaf!, middle.Certificate)
                    .ShouldBe(new Rejection(RejectionCode.Untrusted, "leaf signed by middle", "another signature"));
        }

        // dotnet/runtime 127903: a root whose own signature is altered is another root.
        Certificate.TryParse(Changed(root.Certificate.Der.ToArray(), ^1, 1), out var altered).ShouldBeNull();
        using (altered)
            FaultBelow(root, Rules, Leaf(middle).Certificate, middle.Certificate, altered!)!.Code.ShouldBe(RejectionCode.Untrusted);

        static byte[] Changed(byte[] bytes, Index at, byte bits)
        {
            var changed = bytes.ToArray();
            changed[at] ^= bits;
            return changed;
        }
    }

    [Fact]
    public void The_algorithm_is_the_same_within_and_beside_what_is_signed()
    {
        VerificationKey.TryTake(middle.Certificate, KeyKind.EcdsaP256, out var taken).ShouldBeNull();
        using (taken)
        {
            // The signature is over the first part alone, and holds.
            foreach (var (version, inner, beside, holds) in new[]
            {
                (2, "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.2", true), (2, "1.2.840.10045.4.3.3", "1.2.840.10045.4.3.2", false),
                (2, "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3", false), (0, "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.2", true),
            })
            {
                Certificate.TryParse(Written(version, inner, beside), out var certificate).ShouldBeNull();
                using (certificate)
                    certificate!.IsSignedBy(taken!).ShouldBe(holds, $"{inner} beside {beside}");
            }
        }

        byte[] Written(int version, string inner, string beside)
        {
            var reader = new AsnReader(Leaf(middle).Certificate.Der, AsnEncodingRules.DER).ReadSequence().ReadSequence();
            reader.ReadEncodedValue(); // version
            var serial = reader.ReadEncodedValue();
            reader.ReadEncodedValue(); // algorithm
            var signed = new AsnWriter(AsnEncodingRules.DER);
            using (signed.PushSequence())
            {
                if (version != 0)
                    using (signed.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 0)))
                        signed.WriteInteger(version);
                signed.WriteEncodedValue(serial.Span);
                using (signed.PushSequence())
                    signed.WriteObjectIdentifier(inner);
                while (reader.HasData)
                    signed.WriteEncodedValue(reader.ReadEncodedValue().Span);
            }

            var whole = new AsnWriter(AsnEncodingRules.DER);
            using (whole.PushSequence())
            {
                whole.WriteEncodedValue(signed.Encode());
                using (whole.PushSequence())
                    whole.WriteObjectIdentifier(beside);
                whole.WriteBitString(middle.Key.SignData(signed.Encode(), HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence));
            }

            return whole.Encode();
        }
    }

    [Fact]
    public void Certificates_of_another_use_are_told_apart_from_a_path_that_does_not_stand()
    {
        Fault(Rules, Leaf(middle, UnknownAndCritical), middle)
            .ShouldBe(new Rejection(RejectionCode.BadCertificate, "certificates of the right use", "1.2.3.4 of leaf is not understood"));
        Fault(Rules, Leaf(middle, new X509Extension("2.5.29.30", [0x30, 0], critical: false)), middle)!.Code.ShouldBe(RejectionCode.BadCertificate);
        var noAuthority = Issue("middle", root, Usage(X509KeyUsageFlags.KeyCertSign));
        Fault(Rules, Leaf(noAuthority), noAuthority)!.Code.ShouldBe(RejectionCode.BadCertificate);
        var signsNone = Issue("middle", root, Constraints(null), Usage(X509KeyUsageFlags.CrlSign));
        Fault(Rules, Leaf(signsNone), signsNone)!.Code.ShouldBe(RejectionCode.BadCertificate);
    }

    [Fact]
    public void An_authority_that_may_have_none_below_it_has_none()
    {
        var low = Issue("root", null, Constraints(0), Usage(X509KeyUsageFlags.KeyCertSign));
        var below = Authority("middle", low);
        FaultBelow(low, Rules, Leaf(below).Certificate, below.Certificate)!.Code.ShouldBe(RejectionCode.BadCertificate);
        FaultBelow(low, WithoutMiddle, Leaf(low).Certificate).ShouldBeNull();
    }

    [Fact]
    public void Names_and_uses_of_a_leaf_are_told_before_its_dates()
    {
        Fault(Rules, Issue("stranger", middle, Now.AddDays(-1)), middle).ShouldBe(new Rejection(RejectionCode.BadCertificate, "leaf", "stranger"));
        Fault(Rules, Issue("leaf", middle, Now.AddDays(-1)), middle)!.Code.ShouldBe(RejectionCode.Expired);
        var stranger = Authority("stranger", root);
        Fault(Rules, Leaf(stranger), stranger).ShouldBe(new Rejection(RejectionCode.BadCertificate, "middle", "stranger"));
        Fault(Rules, Authority("leaf", middle), middle).ShouldBe(new Rejection(RejectionCode.BadCertificate, "a leaf", "a CA"));
        Fault(Rules, Issue("leaf", middle, Usage(X509KeyUsageFlags.NonRepudiation)), middle)
            .ShouldBe(new Rejection(RejectionCode.BadCertificate, "a leaf that may sign", "another usage"));
    }

    [Fact]
    public void A_key_of_another_kind_is_refused_before_any_signature()
    {
        Fault(Rules with { LeafKey = KeyKind.EcdsaP384 }, Leaf(middle), middle)!.Code.ShouldBe(RejectionCode.BadCertificate);
        Fault(Rules with { AuthorityKey = KeyKind.EcdsaP384 }, Leaf(root), middle)!.Code.ShouldBe(RejectionCode.BadCertificate, "and not untrusted");
    }

    [Fact]
    public void Nothing_is_checked_of_nothing()
    {
        var findings = new Findings(Now, new HashSet<string>());
        Should.Throw<ArgumentNullException>(() => CertificatePath.Fault(null!, root.Certificate, Rules, findings)).ParamName.ShouldBe("given");
        Should.Throw<ArgumentNullException>(() => CertificatePath.Fault([], null!, Rules, findings)).ParamName.ShouldBe("root");
        Should.Throw<ArgumentNullException>(() => CertificatePath.Fault([], root.Certificate, null!, findings)).ParamName.ShouldBe("rules");
        Should.Throw<ArgumentNullException>(() => CertificatePath.Fault([], root.Certificate, Rules, null!)).ParamName.ShouldBe("findings");
    }

    private Rejection? Fault(PathRules rules, params Issued[] given) => FaultBelow(root, rules, [.. given.Select(item => item.Certificate)]);

    private static Rejection? FaultBelow(Issued pinned, PathRules rules, params Certificate[] given) =>
        CertificatePath.Fault(given, pinned.Certificate, rules, new Findings(Now, new HashSet<string>()));

    private Issued Authority(string name, Issued? issuer) => Issue(name, issuer, Constraints(null), Usage(X509KeyUsageFlags.KeyCertSign));

    private Issued Leaf(Issued issuer, params X509Extension[] extensions) => Issue("leaf", issuer, extensions);

    private Issued Issue(string name, Issued? issuer, params X509Extension[] extensions) => Issue(new Wanted(name, issuer), extensions);

    private Issued Issue(string name, Issued issuer, DateTimeOffset until) => Issue(new Wanted(name, issuer) { Until = until });

    private Issued Issue(string name, Issued issuer, HashAlgorithmName hash) => Issue(new Wanted(name, issuer) { Hash = hash });

    private Issued Issue(Wanted wanted, params X509Extension[] extensions)
    {
        var key = wanted.Key ?? ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={wanted.Name}", key, wanted.Hash);
        foreach (var extension in extensions)
            request.CertificateExtensions.Add(extension);
        using var x509 = request.Create(
            wanted.Issuer?.Name ?? request.SubjectName, X509SignatureGenerator.CreateForECDsa(wanted.Issuer?.Key ?? key), Now.AddYears(-1), wanted.Until,
            [1, (byte)made.Count]);
        Certificate.TryParse(x509.RawData, out var certificate).ShouldBeNull();
        made.Add(key);
        made.Add(certificate!);
        return new Issued(request.SubjectName, key, certificate!);
    }

    private static X509BasicConstraintsExtension Constraints(int? length) =>
        new(certificateAuthority: true, length is not null, length ?? 0, critical: true);

    private static X509KeyUsageExtension Usage(X509KeyUsageFlags flags) => new(flags, critical: true);

    private sealed record Issued(X500DistinguishedName Name, ECDsa Key, Certificate Certificate);

    private sealed record Wanted(string Name, Issued? Issuer)
    {
        public ECDsa? Key { get; init; }

        public DateTimeOffset Until { get; init; } = Now.AddYears(1);

        public HashAlgorithmName Hash { get; init; } = HashAlgorithmName.SHA256;
    }
}
