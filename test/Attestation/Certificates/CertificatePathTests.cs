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
        Fault(Rules, Leaf(root), middle).ShouldBe(new Rejection(RejectionCode.Untrusted, "a path to the pinned root", "another path"));
        var marked = Fault(Rules, Leaf(root, UnknownAndCritical), middle);
        (marked!.Code, marked.Found).ShouldBe((RejectionCode.Untrusted, "HasNotSupportedCriticalExtension"));
    }

    [Fact]
    public void An_authority_of_the_right_name_and_another_key_signs_nothing()
    {
        var other = Authority("middle", root);
        Fault(Rules, Leaf(other), middle)!.Code.ShouldBe(RejectionCode.Untrusted);
        Fault(Rules, Leaf(other, UnknownAndCritical), middle)!.Code.ShouldBe(RejectionCode.Untrusted, "whatever else is wrong with it");
        Fault(Rules, Leaf(middle), Authority("middle", Authority("root", null)))!.Code.ShouldBe(RejectionCode.Untrusted);
    }

    [Fact]
    public void Certificates_of_another_use_are_told_apart_from_a_path_that_does_not_stand()
    {
        Fault(Rules, Leaf(middle, UnknownAndCritical), middle)
            .ShouldBe(new Rejection(RejectionCode.BadCertificate, "certificates of the right use", "HasNotSupportedCriticalExtension"));
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
        FaultBelow(low, Rules, Leaf(below), below)!.Code.ShouldBe(RejectionCode.BadCertificate);
        FaultBelow(low, WithoutMiddle, Leaf(low)).ShouldBeNull();
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

    private Rejection? Fault(PathRules rules, params Issued[] given) => FaultBelow(root, rules, given);

    private static Rejection? FaultBelow(Issued pinned, PathRules rules, params Issued[] given) =>
        CertificatePath.Fault([.. given.Select(item => item.Certificate)], pinned.Certificate, rules, new Findings(Now, new HashSet<string>()));

    private Issued Authority(string name, Issued? issuer) => Issue(name, issuer, Constraints(null), Usage(X509KeyUsageFlags.KeyCertSign));

    private Issued Leaf(Issued issuer, params X509Extension[] extensions) => Issue("leaf", issuer, extensions);

    private Issued Issue(string name, Issued? issuer, params X509Extension[] extensions) => Issue(name, issuer, Now.AddYears(1), extensions);

    private Issued Issue(string name, Issued? issuer, DateTimeOffset until, params X509Extension[] extensions)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        foreach (var extension in extensions)
            request.CertificateExtensions.Add(extension);
        using var x509 = request.Create(
            issuer?.Name ?? request.SubjectName, X509SignatureGenerator.CreateForECDsa(issuer?.Key ?? key), Now.AddYears(-1), until, [1, (byte)made.Count]);
        Certificate.TryParse(x509.RawData, out var certificate).ShouldBeNull();
        made.Add(key);
        made.Add(certificate!);
        return new Issued(request.SubjectName, key, certificate!);
    }

    private static X509BasicConstraintsExtension Constraints(int? length) =>
        new(certificateAuthority: true, length is not null, length ?? 0, critical: true);

    private static X509KeyUsageExtension Usage(X509KeyUsageFlags flags) => new(flags, critical: true);

    private sealed record Issued(X500DistinguishedName Name, ECDsa Key, Certificate Certificate);
}
