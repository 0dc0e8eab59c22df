using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 21: answers of which one part is another, and those whom an issuer lets answer.</summary>
public sealed class OcspTests
{
    private const string OcspSigning = "1.3.6.1.5.5.7.3.9", ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    private const string NonceOid = "1.3.6.1.5.5.7.48.1.2", OtherOid = "1.2.3.4";

    // An INTEGER: nowhere in an answer may one more stand.
    private static readonly byte[] More = [0x02, 0x01, 0x07];
    private static readonly byte[] Null = [0x05, 0x00];

    private readonly EmulatedDevice device = new();

    [Fact]
    public void An_answer_is_read()
    {
        using var answer = Read(Plan(plan => (plan.Nonce, plan.Delegate) = ([1, 2, 3], Responder())));
        answer.Nonce!.Value.ToArray().ShouldBe([1, 2, 3]);
        Status(Plan()).ShouldBe(OcspStatus.Good);
        Status(Plan(plan => plan.Reason = 1)).ShouldBe(OcspStatus.Revoked);
        Status(Plan(plan => plan.Reason = 6)).ShouldBe(OcspStatus.Held);
        Status(Plan(plan => plan.Reason = 8)).ShouldBe(OcspStatus.Unknown);
        Status(Plan(plan => plan.Reason = -1)).ShouldBe(OcspStatus.Unknown);
        Status(Changed(plan => plan.Reason = 1, Single, status => status.Children[1].Children.RemoveAt(1))).ShouldBe(OcspStatus.Revoked); // for no reason
    }

    [Fact]
    public void What_stands_where_nobody_expects_it_is_refused()
    {
        var plan = Plan(plan => (plan.Reason, plan.Nonce, plan.Delegate) = (1, [1, 2, 3], Responder()));
        var (count, refused) = (DerNode.Parse(plan.ToBytes()).Within().Count(), 0);
        for (var place = 0; place < count; place++)
        {
            var whole = DerNode.Parse(plan.ToBytes());
            var node = whole.Within().ElementAt(place);
            if (node == Data(whole).Children[0] || Basic(whole).Children[3].Children[0].Children[0].Within().Contains(node))
                continue; // whose key it is, the signature tells; and what is in a certificate is looked at where that counts
            node.Children.Add(DerNode.Parse(More));
            OcspAnswer.TryParse(whole.ToBytes(), out var answer).ShouldNotBeNull($"{place}");
            answer.ShouldBeNull();
            refused++;
        }

        refused.ShouldBeGreaterThan(15);
        Refused([.. plan.ToBytes(), .. More]).ShouldBe(RejectionCode.Malformed);
    }

    [Fact]
    public void An_answer_within_its_bound_is_looked_at()
    {
        Refused(new byte[Bounds.Ocsp]).ShouldBe(RejectionCode.Malformed);
        Refused(new byte[Bounds.Ocsp + 1]).ShouldBe(RejectionCode.TooLarge);
        var subjects = Enumerable.Range(0, Bounds.OcspAnswers + 1).Select(_ => new DevicePlan("CN=chip", device.Brom.Key)).ToArray();
        Read(new OcspPlan(device.Provisioner, device.Identity, subjects[1..]).ToBytes()).Dispose();
        Refused(new OcspPlan(device.Provisioner, device.Identity, subjects).ToBytes()).ShouldBe(RejectionCode.TooLarge);
        Refused(new OcspPlan(device.Provisioner, device.Identity).ToBytes()).ShouldBe(RejectionCode.Malformed); // about none
    }

    [Fact]
    public void The_responder_is_named_by_name_or_key_in_version_1()
    {
        Named(0xA1).ShouldBeNull();
        Named(0xA2).ShouldBeNull();
        Named(0xA0).ShouldBe(RejectionCode.Unsupported); // another version
        Named(0xA3).ShouldBe(RejectionCode.Malformed);
        Named(0x02).ShouldBe(RejectionCode.Malformed);

        RejectionCode? Named(byte tag) => Refused(Changed(whole => Data(whole).Children[0].Tag = tag));
    }

    [Fact]
    public void Algorithms_are_those_that_are_known()
    {
        Refused(Changed(whole => Basic(whole).Children[1].Children[0] = Oid("1.2.840.10045.4.3.2"))).ShouldBe(RejectionCode.Unsupported); // SHA-256
        Refused(Changed(whole => Hash(whole).Children[0] = Oid("2.16.840.1.101.3.4.2.3"))).ShouldBe(RejectionCode.Unsupported); // SHA-512
        Refused(Changed(whole => Hash(whole).Children.Add(DerNode.Parse(Null)))).ShouldBeNull();
        Refused(Changed(whole => Hash(whole).Children.AddRange([DerNode.Parse(Null), DerNode.Parse(Null)]))).ShouldBe(RejectionCode.Malformed);
        Status(Changed(whole =>
        {
            using var issuer = Issuer();
            Hash(whole).Children[0] = Oid("2.16.840.1.101.3.4.2.2");
            Id(whole).Children[1].Content = SHA384.HashData(issuer.Subject);
            Id(whole).Children[2].Content = SHA384.HashData(issuer.X509.PublicKey.EncodedKeyValue.RawData);
        })).ShouldBe(OcspStatus.Good);

        static DerNode Hash(DerNode whole) => Id(whole).Children[0];
    }

    [Fact]
    public void A_next_update_is_there()
    {
        Missing(whole => Single(whole).Children.RemoveAt(3)).ShouldBe("a next update");
        Missing(whole => Single(whole).Children[3] = Extensions((OtherOid, false, Null))).ShouldBe("a next update");

        string? Missing(Action<DerNode> change) => OcspAnswer.TryParse(Changed(change), out _)?.Expected;
    }

    [Fact]
    public void An_answer_is_about_the_certificate_of_which_it_has_serial_number_and_both_hashes_of_its_issuer()
    {
        Status(Plan()).ShouldBe(OcspStatus.Good);
        for (var part = 1; part <= 3; part++)
            Status(Changed(whole => Id(whole).Children[part].Content[^1] ^= 1)).ShouldBeNull();
    }

    [Fact]
    public void A_certificate_is_named_once()
    {
        Refused(new OcspPlan(device.Provisioner, device.Identity, device.Brom, device.Brom).ToBytes()).ShouldBe(RejectionCode.Malformed);
        for (var part = 1; part <= 3; part++)
            Twice(second => second.Children[part].Content[^1] ^= 1).ShouldBeNull();
        Twice(second => second.Children[0].Children[0] = Oid("2.16.840.1.101.3.4.2.2")).ShouldBeNull();

        RejectionCode? Twice(Action<DerNode> change)
        {
            var whole = DerNode.Parse(new OcspPlan(device.Provisioner, device.Identity, device.Brom, device.Brom).ToBytes());
            change(Data(whole).Children[2].Children[1].Children[0]);
            return Refused(whole.ToBytes());
        }
    }

    [Fact]
    public void A_nonce_is_read_in_either_form_and_once()
    {
        NonceOf((NonceOid, false, [4, 1, 7])).ShouldBe([7]);
        NonceOf((NonceOid, true, [4, 1, 7])).ShouldBe([7]);
        NonceOf((NonceOid, false, [7, 7, 7])).ShouldBe([7, 7, 7]); // as responders before RFC 8954 wrote it
        NonceOf((NonceOid, false, [4, 1, 7, 7])).ShouldBe([4, 1, 7, 7]);
        NonceOf((OtherOid, false, [4, 1, 7])).ShouldBeNull();
        NonceOf((OtherOid, false, [4, 1, 7]), (NonceOid, false, [4, 1, 8])).ShouldBe([8]);
        Extended((NonceOid, false, [4, 1, 7]), (NonceOid, false, [4, 1, 7])).ShouldBe(RejectionCode.Malformed);

        byte[]? NonceOf(params (string, bool, byte[])[] extensions)
        {
            using var answer = Read(Changed(whole => Data(whole).Children.Add(Extensions(extensions))));
            return answer.Nonce?.ToArray();
        }
    }

    [Fact]
    public void A_critical_extension_of_a_response_or_of_one_answer_is_refused()
    {
        Extended((OtherOid, true, Null)).ShouldBe(RejectionCode.Unsupported);
        Extended((NonceOid, false, [4, 1, 7]), (OtherOid, true, Null)).ShouldBe(RejectionCode.Unsupported);
        Refused(Changed(whole => Single(whole).Children.Add(Extensions((OtherOid, false, Null))))).ShouldBeNull();
        Refused(Changed(whole => Single(whole).Children.Add(Extensions((OtherOid, true, Null))))).ShouldBe(RejectionCode.Unsupported);
        using var answer = Read(Changed(whole => Single(whole).Children.Add(Extensions((NonceOid, false, [4, 1, 7])))));
        answer.Nonce.ShouldBeNull(); // of one answer it is none
    }

    [Fact]
    public void Who_answers_in_an_issuers_place_was_certified_for_it_by_the_same_issuer()
    {
        Answered().ShouldBeNull();
        Answered(responder => Purposes(responder, ClientAuthentication, OcspSigning)).ShouldBeNull();
        Answered(responder => Purposes(responder, ClientAuthentication)).ShouldBe(RejectionCode.BadSignature);
        Answered(responder => responder.MoreExtensions.Clear()).ShouldBe(RejectionCode.BadSignature);
        Answered(responder => responder.MoreExtensions[0] = new X509Extension("2.5.29.37", Null, critical: false)).ShouldBe(RejectionCode.BadSignature);
        Answered(responder => (responder.IsAuthority, responder.Usages) = (true, X509KeyUsageFlags.DigitalSignature)).ShouldBe(RejectionCode.BadSignature);
        Answered(responder => responder.Usages = X509KeyUsageFlags.KeyEncipherment).ShouldBe(RejectionCode.BadSignature);
        Answered(responder => responder.MoreExtensions.Add(new X509Extension(OtherOid, Null, critical: false))).ShouldBeNull();
        Answered(responder => responder.MoreExtensions.Add(new X509Extension("1.3.6.1.5.5.7.48.1.5", Null, critical: true))).ShouldBeNull(); // no check
        Answered(responder => responder.MoreExtensions.Add(new X509Extension(OtherOid, Null, critical: true))).ShouldBe(RejectionCode.BadSignature);
        Answered(responder => responder.ForeignSigner = EmulatedDevice.NewKey()).ShouldBe(RejectionCode.BadSignature);
        Answered(responder => responder.Key = ECDsa.Create(ECCurve.NamedCurves.nistP256)).ShouldBe(RejectionCode.BadSignature);
        Answered(change: plan => plan.ForeignSigner = EmulatedDevice.NewKey()).ShouldBe(RejectionCode.BadSignature);
    }

    [Fact]
    public void Both_the_answer_and_who_gives_it_are_in_date()
    {
        Answered(responder => responder.NotAfter = EmulatedDevice.Now.AddDays(-1)).ShouldBe(RejectionCode.Expired);
        Answered(responder => responder.NotBefore = EmulatedDevice.Now.AddDays(1)).ShouldBe(RejectionCode.NotYetValid);
        Answered(change: plan => plan.NextUpdate = EmulatedDevice.Now.AddHours(-1)).ShouldBe(RejectionCode.Expired);
        Answered(change: plan => plan.ThisUpdate = EmulatedDevice.Now.AddHours(1)).ShouldBe(RejectionCode.NotYetValid);
    }

    private static DevicePlan Responder()
    {
        var responder = new DevicePlan("CN=Responder", EmulatedDevice.NewKey());
        Purposes(responder, OcspSigning);
        return responder;
    }

    private static void Purposes(DevicePlan responder, params string[] purposes)
    {
        responder.MoreExtensions.Clear();
        responder.MoreExtensions.Add(new X509EnhancedKeyUsageExtension([.. purposes.Select(purpose => new Oid(purpose))], critical: true));
    }

    private static DerNode Oid(string oid)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        writer.WriteObjectIdentifier(oid);
        return DerNode.Parse(writer.Encode());
    }

    private static DerNode Extensions(params (string Oid, bool IsCritical, byte[] Value)[] extensions)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 1)))
        using (writer.PushSequence())
        {
            foreach (var (oid, isCritical, value) in extensions)
            {
                using (writer.PushSequence())
                {
                    writer.WriteObjectIdentifier(oid);
                    if (isCritical)
                        writer.WriteBoolean(true);
                    writer.WriteOctetString(value);
                }
            }
        }

        return DerNode.Parse(writer.Encode());
    }

    private static DerNode Basic(DerNode whole) => whole.Children[1].Children[0].Children[1].Children[0];

    private static DerNode Data(DerNode whole) => Basic(whole).Children[0];

    /// <summary>Id, status, this update, next update.</summary>
    private static DerNode Single(DerNode whole) => Data(whole).Children[2].Children[0];

    /// <summary>Hash algorithm, hash of the issuer's name, of its key, serial number.</summary>
    private static DerNode Id(DerNode whole) => Single(whole).Children[0];

    private static OcspAnswer Read(byte[] bytes)
    {
        OcspAnswer.TryParse(bytes, out var answer).ShouldBeNull();
        return answer.ShouldNotBeNull();
    }

    private static OcspAnswer Read(OcspPlan plan) => Read(plan.ToBytes());

    private static RejectionCode? Refused(byte[] bytes)
    {
        var rejection = OcspAnswer.TryParse(bytes, out var answer);
        answer?.Dispose();
        return rejection?.Code;
    }

    private OcspPlan Plan(Action<OcspPlan>? change = null)
    {
        var plan = new OcspPlan(device.Provisioner, device.Identity, device.Brom);
        change?.Invoke(plan);
        return plan;
    }

    private byte[] Changed(Action<DerNode> change) => Changed(_ => { }, whole => whole, change);

    private byte[] Changed(Action<OcspPlan> plan, Func<DerNode, DerNode> place, Action<DerNode> change)
    {
        var whole = DerNode.Parse(Plan(plan).ToBytes());
        change(place(whole));
        return whole.ToBytes();
    }

    private RejectionCode? Extended(params (string, bool, byte[])[] extensions) =>
        Refused(Changed(whole => Data(whole).Children.Add(Extensions(extensions))));

    private OcspStatus? Status(OcspPlan plan) => Status(plan.ToBytes());

    private OcspStatus? Status(byte[] bytes)
    {
        using var answer = Read(bytes);
        using var issuer = Issuer();
        using var subject = Made(device.Brom.Make(device.Provisioner));
        return answer.Of(subject, issuer);
    }

    private Certificate Issuer() => Made(device.Provisioner.Make(device.Identity));

    private static Certificate Made(X509Certificate2 certificate) =>
        Certificate.TryParse(certificate.RawData, out var made) is null ? made! : throw new InvalidOperationException();

    private RejectionCode? Answered(Action<DevicePlan>? responder = null, Action<OcspPlan>? change = null)
    {
        var plan = Plan(plan => plan.Delegate = Responder());
        responder?.Invoke(plan.Delegate!);
        change?.Invoke(plan);
        using var answer = Read(plan);
        using var issuer = Issuer();
        using var subject = Made(device.Brom.Make(device.Provisioner));
        using var paths = new VendorPath();
        return answer.Fault(subject, issuer, TimeSpan.Zero, paths, new Findings(EmulatedDevice.Now, new HashSet<string>()))?.Code;
    }
}
