using System.Buffers.Binary;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>What a refused quote is told to be: whoever reads it has nothing else to go by.</summary>
public sealed class QuoteTextTests
{
    private static readonly byte[] Old = new IntelPlatform().Quote();
    private static readonly byte[] Young = new IntelPlatform { Version = 5 }.Quote();

    [Theory]
    [InlineData(0, 3, "quote version 4 or 5", "3, which is SGX's")]
    [InlineData(0, 9, "quote version 4 or 5", "9")]
    [InlineData(2, 3, "attestation_key_type 2, ECDSA P-256", "3, ECDSA P-384")]
    [InlineData(2, 4, "attestation_key_type 2, ECDSA P-256", "4")]
    [InlineData(4, 0, "tee_type 0x81, TDX", "0x00, SGX")]
    [InlineData(4, 0x82, "tee_type 0x81, TDX", "0x82")]
    public void A_header_of_another_kind_is_named(int offset, byte value, string expected, string found)
    {
        var quote = (byte[])Old.Clone();
        quote[offset] = value;
        TdxQuote.TryParse(quote, out _).ShouldBe(new Rejection(RejectionCode.Unsupported, expected, found));
    }

    [Theory]
    [InlineData(1, "1, an SGX enclave")]
    [InlineData(4, "4")]
    public void A_body_of_another_kind_is_named(byte type, string found)
    {
        var quote = (byte[])Young.Clone();
        quote[48] = type;
        TdxQuote.TryParse(quote, out _).ShouldBe(new Rejection(RejectionCode.Unsupported, "body type 2 or 3, TD 1.0 or TD 1.5", found));
    }

    [Theory]
    [InlineData(2, "584 bytes of body")]
    [InlineData(3, "648 bytes of body")]
    public void A_body_of_another_size_is_refused_with_the_right_one(byte type, string expected)
    {
        var quote = (byte[])Young.Clone();
        quote[48] = type;
        BinaryPrimitives.WriteUInt32LittleEndian(quote.AsSpan(50), 99);
        TdxQuote.TryParse(quote, out _).ShouldBe(Rejection.Malformed(expected, "99"));
    }

    [Theory]
    [InlineData(47, "a quote's header")]
    [InlineData(48, "body and signature data")]
    [InlineData(700, "body and signature data")]
    public void A_quote_that_ends_early_is_told_where(int length, string expected) =>
        TdxQuote.TryParse(Old.AsSpan(0, length), out _).ShouldBe(Rejection.Malformed(expected, "a size that does not fit"));

    [Fact]
    public void A_quote_is_read_up_to_its_bound_and_no_byte_beyond()
    {
        TdxQuote.TryParse([.. Old, .. new byte[Bounds.TdxQuote - Old.Length]], out var quote).ShouldBeNull();
        quote.ShouldNotBeNull();
        TdxQuote.TryParse([.. Old, .. new byte[Bounds.TdxQuote - Old.Length + 1]], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        Should.Throw<ArgumentOutOfRangeException>(() => quote.Report.Rtmr(-1));
        Should.Throw<ArgumentOutOfRangeException>(() => quote.Report.Rtmr(4));
    }

    [Fact]
    public void What_a_policy_demands_is_shown_beside_what_is_there()
    {
        var platform = new IntelPlatform
        {
            Policy = Policy.Parse("version = 1\n[tdx]\nxfam = [0, 1]\nrequire_sept_ve_disable = true\nadvisories = [\"INTEL-SA-00001\"]"),
        };
        Found("tdx.xfam").ShouldBe(("bits 0, 1, and only bits 0, 1, 2, 5, 6, 7, 8, 9, 11, 12, 14, 15, 17, 18", "bits 0, 1"));
        Found("tdx.sept_ve_disable").ShouldBe(("SEPT_VE_DISABLE 1", "SEPT_VE_DISABLE 1"));
        Found("tdx.perfmon").ShouldBe(("PERFMON 0", "PERFMON 0"));
        Found("tdx.migratable").ShouldBe(("MIGRATABLE 0, no service TD but a known one", "MIGRATABLE 0, no service TD"));
        Found("tdx.debug").ShouldBe(("no bit of 0 to 7", "no bit"));
        Found("tdx.td_attributes").ShouldBe(("only bits 0, 27, 28, 29, 30, 31, 63", "bit 28"));
        Found("tdx.advisories").ShouldBe(("none open but INTEL-SA-00001", "none"));
        Found("tdx.platform").ShouldBe(("", "07828474603e7019dc930775ffe8cdd2 (any is accepted)"));
        platform.Verify().Verdict.Refusals().ShouldBeEmpty();
        platform.Body[127] |= 0x80;
        platform.Body[123] |= 0x20;
        Found("tdx.perfmon").Found.ShouldBe("PERFMON 1");
        Found("tdx.migratable").Found.ShouldBe("MIGRATABLE 1, no service TD");

        (string Expected, string Found) Found(string name)
        {
            var factor = platform.Verify().Verdict.Factors.Single(factor => factor.Name.Value == name);
            return (factor.Expected, factor.Found);
        }
    }
}
