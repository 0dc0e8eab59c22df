using System.Security.Cryptography;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Tdx;
using ConfidentialChat.Attestation.Tests.Tdx;

namespace ConfidentialChat.Attestation.Tests.Certificates;

/// <summary>spec/attestation.md section 4 rules 6 and 7: lists of which one part is another, or stands where nobody expects it.</summary>
public sealed class RevocationListTests
{
    private static readonly byte[] Null = [5, 0];

    [Fact]
    public void A_list_is_read_with_either_kind_of_time_and_with_extensions_that_are_not_critical()
    {
        foreach (var isGeneralized in new[] { false, true })
        {
            var list = Read(Writer(list =>
            {
                list.HasGeneralizedTimes = isGeneralized;
                (list.Extension, list.EntryExtension) = (("2.5.29.20", false), ("2.5.29.21", false));
                list.SerialNumbers.AddRange([[1], [2, 3]]);
            }));
            (list.Count, list.ThisUpdate, list.NextUpdate).ShouldBe((2, IntelPlatform.Now.AddDays(-10), IntelPlatform.Now.AddDays(20)));
        }

        Read(Writer(_ => { })).Count.ShouldBe(0);
        Read(Writer(list => list.Extension = ("2.5.29.20", false))).Count.ShouldBe(0);
    }

    [Fact]
    public void What_stands_where_nobody_expects_it_is_refused()
    {
        foreach (var more in new (byte[]?, byte[]?, byte[]?, byte[]?)[]
        {
            (Null, null, null, null), (null, Null, null, null), (null, null, Null, null), (null, null, null, Null),
        })
            Refused(list =>
            {
                list.More = more;
                (list.Extension, list.EntryExtension) = (("2.5.29.20", false), ("2.5.29.21", false));
            }).ShouldBe(RejectionCode.Malformed);
        foreach (var more in new (byte[]?, byte[]?)[] { (Null, null), (null, Null) })
            Refused(list => (list.Extension, list.MoreExtended) = (("2.5.29.20", false), more)).ShouldBe(RejectionCode.Malformed);
        Refused(list => (list.EntryExtension, list.MoreExtended) = (("2.5.29.21", false), (Null, null))).ShouldBe(RejectionCode.Malformed);
        Refused(list => list.More = (null, Null, null, null)).ShouldBe(RejectionCode.Malformed);
        Refused(list => list.UnusedBits = 1).ShouldBe(RejectionCode.Malformed);
        Refused(list => list.NextUpdate = null).ShouldBe(RejectionCode.Malformed);
        foreach (var version in new[] { -1, 0, 2 })
            Refused(list => list.Version = version).ShouldBe(RejectionCode.Unsupported);
    }

    [Theory]
    [InlineData("2.5.29.27", false)] // a delta list
    [InlineData("2.5.29.28", false)] // a partial one
    [InlineData("2.5.29.29", false)] // entries of other issuers
    [InlineData("2.5.29.20", true)]
    public void An_extension_that_hides_entries_or_is_critical_is_refused(string oid, bool critical)
    {
        Refused(list => list.Extension = (oid, critical)).ShouldBe(RejectionCode.Unsupported);
        Refused(list => list.EntryExtension = (oid, critical)).ShouldBe(RejectionCode.Unsupported);
    }

    [Fact]
    public void The_algorithm_is_named_twice_and_is_the_keys()
    {
        const string sha256 = "1.2.840.10045.4.3.2", sha384 = "1.2.840.10045.4.3.3";
        Refused(list => list.Algorithms = (sha384, sha256)).ShouldBe(RejectionCode.Malformed);
        Refused(list => list.Algorithms = (sha256, sha384)).ShouldBe(RejectionCode.Malformed);
        var platform = new IntelPlatform { ChangePckList = list => list.Algorithms = (sha384, sha384) };
        Evidence.Only(platform.Verify().Verdict, TdxFactors.PckCrl, RejectionCode.BadSignature);
    }

    [Fact]
    public void A_list_of_any_size_within_its_bound_is_looked_at()
    {
        RevocationList.TryParse(new byte[Bounds.RevocationList], out _)!.Code.ShouldBe(RejectionCode.Malformed);
        RevocationList.TryParse(new byte[Bounds.RevocationList + 1], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        Read(Writer(list => list.SerialNumbers.AddRange(Enumerable.Range(0, Bounds.RevocationCount).Select(i => (byte[])[1, (byte)(i >> 8), (byte)i]))))
            .Count.ShouldBe(Bounds.RevocationCount);
        Refused(list => list.SerialNumbers.AddRange(Enumerable.Range(0, Bounds.RevocationCount).Select(i => (byte[])[1, (byte)(i >> 8), (byte)i])))
            .ShouldBe(RejectionCode.TooLarge);
    }

    [Fact]
    public void An_age_ends_at_the_last_date_there_is()
    {
        RevocationList.Later(IntelPlatform.Now, TimeSpan.FromDays(1)).ShouldBe(IntelPlatform.Now.AddDays(1));
        RevocationList.Later(DateTimeOffset.MaxValue.AddDays(-1), TimeSpan.FromDays(1)).ShouldBe(DateTimeOffset.MaxValue);
        RevocationList.Later(DateTimeOffset.MaxValue.AddDays(-1), TimeSpan.FromDays(2)).ShouldBe(DateTimeOffset.MaxValue);
    }

    private static RevocationListWriter Writer(Action<RevocationListWriter> change)
    {
        var writer = new RevocationListWriter
        {
            IssuerName = new IntelPlatform().X509Root().SubjectName.RawData,
            Key = ECDsa.Create(ECCurve.NamedCurves.nistP256),
            ThisUpdate = IntelPlatform.Now.AddDays(-10),
            NextUpdate = IntelPlatform.Now.AddDays(20),
        };
        change(writer);
        return writer;
    }

    private static RevocationList Read(RevocationListWriter writer)
    {
        RevocationList.TryParse(writer.Write(), out var list).ShouldBeNull();
        return list.ShouldNotBeNull();
    }

    private static RejectionCode? Refused(Action<RevocationListWriter> change)
    {
        var writer = Writer(list =>
        {
            list.SerialNumbers.Add([1]);
            change(list);
        });
        var rejection = RevocationList.TryParse(writer.Write(), out var list);
        list.ShouldBeNull();
        return rejection?.Code;
    }
}
