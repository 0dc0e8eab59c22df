using System.Buffers.Binary;
using System.Text;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;
using ConfidentialChat.Attestation.Tests.Bundles;
using CsCheck;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>
/// Cut at every byte, turned at every signed bit, and mutated at random: what comes out is a verdict that refuses, and nothing else.
/// A part a day in the fast run; all of it with CONFIDENTIALCHAT_SLOW=1.
/// </summary>
public sealed class FuzzTests
{
    private static readonly int Rounds = Tree.Slow ? 20_000 : 200;

    [Theory]
    [InlineData("tdx/01-v4-uptodate-b0c06f")]
    [InlineData("tdx/03-v5-uptodate-90c06f")]
    public void A_quote_cut_at_any_byte_is_refused(string set)
    {
        var (quote, end) = Quote(set);
        var (collateral, at) = Evidence.First(set);
        // Behind the signature data is padding, which may be cut.
        foreach (var length in Daily.Of(end, 5))
        {
            var verdict = TdxVerifier.Verify(quote.AsSpan(0, length), collateral, Policy.Default, at).Verdict;
            verdict.Refusals().ShouldBe(["tdx.quote"], $"{length} bytes");
        }

        TdxVerifier.Verify(quote.AsSpan(0, end), collateral, Policy.Default, at).Verdict.IsAccepted.ShouldBeTrue();
    }

    [Theory]
    [InlineData("tdx/01-v4-uptodate-b0c06f")]
    [InlineData("tdx/03-v5-uptodate-90c06f")]
    public void A_quote_with_one_bit_turned_is_refused(string set)
    {
        var (quote, end) = Quote(set);
        var (collateral, at) = Evidence.First(set);
        var path = PathStart(quote);
        foreach (var bit in Daily.Of(end * 8, 60))
        {
            var flipped = (byte[])quote.Clone();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            var verdict = TdxVerifier.Verify(flipped, collateral, Policy.Default, at).Verdict;
            // PEM has bits that no signature covers: the ends of lines, and a letter more or less of white space.
            if (verdict.IsAccepted && bit / 8 >= path)
                SamePath(quote, flipped).ShouldBeTrue($"bit {bit}");
            else
                verdict.IsAccepted.ShouldBeFalse($"bit {bit}");
        }
    }

    [Fact]
    public void Collateral_with_one_bit_turned_is_refused()
    {
        const string set = "tdx/01-v4-uptodate-b0c06f";
        var (quote, _) = Quote(set);
        var (collateral, at) = Evidence.First(set);
        foreach (var (bytes, with, factor) in new (ReadOnlyMemory<byte>, Func<byte[], TdxCollateral>, FactorName)[]
        {
            (collateral.TcbInfo!.Value, flipped => collateral with { TcbInfo = flipped }, TdxFactors.TcbInfo),
            (collateral.QeIdentity!.Value, flipped => collateral with { QeIdentity = flipped }, TdxFactors.QeIdentity),
            (collateral.PckCrl!.Value, flipped => collateral with { PckCrl = flipped }, TdxFactors.PckCrl),
            (collateral.RootCaCrl!.Value, flipped => collateral with { RootCaCrl = flipped }, TdxFactors.RootCrl),
        })
        {
            foreach (var bit in Daily.Of(bytes.Length * 8, 100))
            {
                var flipped = bytes.ToArray();
                flipped[bit / 8] ^= (byte)(1 << (bit % 8));
                var verdict = TdxVerifier.Verify(quote, with(flipped), Policy.Default, at).Verdict;
                // The signature is hexadecimal, in which a letter's case is one bit and no other value.
                if (verdict.IsAccepted)
                    Encoding.ASCII.GetString(flipped).ShouldBe(Encoding.ASCII.GetString(bytes.Span), StringCompareShould.IgnoreCase);
                else
                    verdict.Refusals().ShouldContain(factor.Value, $"bit {bit} of {factor}");
            }
        }
    }

    [Fact]
    public void A_TCB_signing_chain_with_one_bit_turned_is_refused()
    {
        var (quote, _) = Quote("tdx/01-v4-uptodate-b0c06f");
        var (collateral, at) = Evidence.First("tdx/01-v4-uptodate-b0c06f");
        var chain = collateral.TcbSigningChain!.Value;
        foreach (var bit in Daily.Of(chain.Length * 8, 40))
        {
            var flipped = chain.ToArray();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            var verdict = TdxVerifier.Verify(quote, collateral with { TcbSigningChain = flipped }, Policy.Default, at).Verdict;
            // PEM has bits that no signature covers: the ends of lines.
            if (verdict.IsAccepted)
                Certificates(flipped).ShouldBe(Certificates(chain), $"bit {bit}");
            else
                verdict.Refusals().ShouldContain("tdx.tcb_signing_path", $"bit {bit}");
        }
    }

    [Fact]
    public void Collateral_cut_at_any_byte_is_refused()
    {
        var (quote, _) = Quote("tdx/01-v4-uptodate-b0c06f");
        var (collateral, at) = Evidence.First("tdx/01-v4-uptodate-b0c06f");
        var whole = Certificates(collateral.TcbSigningChain!.Value);
        foreach (var (bytes, with, factor) in new (ReadOnlyMemory<byte>, Func<ReadOnlyMemory<byte>, TdxCollateral>, FactorName)[]
        {
            (collateral.TcbInfo!.Value, cut => collateral with { TcbInfo = cut }, TdxFactors.TcbInfo),
            (collateral.QeIdentity!.Value, cut => collateral with { QeIdentity = cut }, TdxFactors.QeIdentity),
            (collateral.TcbSigningChain!.Value, cut => collateral with { TcbSigningChain = cut }, TdxFactors.TcbSigningPath),
            (collateral.PckCrl!.Value, cut => collateral with { PckCrl = cut }, TdxFactors.PckCrl),
            (collateral.RootCaCrl!.Value, cut => collateral with { RootCaCrl = cut }, TdxFactors.RootCrl),
        })
        {
            foreach (var length in Daily.Of(bytes.Length, 20))
            {
                var verdict = TdxVerifier.Verify(quote, with(bytes[..length]), Policy.Default, at).Verdict;
                // Without its last line end, or without the root that is pinned anyway, a chain is the same.
                if (verdict.IsAccepted && factor == TdxFactors.TcbSigningPath)
                    whole.Take(Certificates(bytes[..length]).Count).ShouldBe(Certificates(bytes[..length]), $"{length} bytes");
                else
                    verdict.Refusals().ShouldContain(factor.Value, $"{length} bytes of {factor}");
            }
        }
    }

    [Fact]
    public void A_bundle_cut_at_any_byte_is_refused_by_its_format()
    {
        var node = new BundleTests.NodeBundle();
        var (bytes, policy, verifier) = (node.ToBytes(), node.Policy(), new BundleVerifier());
        foreach (var length in Daily.Of(bytes.Length, 20))
            verifier.Verify(bytes.AsMemory(0, length), policy, node.At, node.Challenge).Verdict.Refusals().ShouldBe(["bundle.format"], $"{length} bytes");
        verifier.Verify(bytes, policy, node.At, node.Challenge).Verified.ShouldNotBeNull();
    }

    [Fact]
    public void A_bundle_with_one_bit_turned_is_refused_or_says_the_same()
    {
        var node = new BundleTests.NodeBundle();
        var (bytes, policy, verifier) = (node.ToBytes(), node.Policy(), new BundleVerifier());
        var whole = verifier.Verify(bytes, policy, node.At, node.Challenge).Verified.ShouldNotBeNull();
        foreach (var bit in Daily.Of(bytes.Length * 8, 400))
        {
            var flipped = (byte[])bytes.Clone();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            // What no signature covers are ends of lines within PEM, and the case of hexadecimal digits.
            if (verifier.Verify(flipped, policy, node.At, node.Challenge).Verified is not { } verified)
                continue;
            verified.Statement.ToBytes().ShouldBe(whole.Statement.ToBytes(), $"bit {bit}");
            verified.Type.ShouldBe(whole.Type, $"bit {bit}");
            foreach (var (name, value) in whole.Claims.Measurements)
                verified.Claims.Measurements[name].ToArray().ShouldBe(value.ToArray(), $"bit {bit}");
        }
    }

    [Fact]
    public void A_mutated_quote_is_never_accepted_and_breaks_nothing()
    {
        const string set = "tdx/03-v5-uptodate-90c06f";
        var (quote, end) = Quote(set);
        var (collateral, at) = Evidence.First(set);
        Mutants(quote).Sample(
            mutant =>
            {
                var verdict = TdxVerifier.Verify(mutant, collateral, Policy.Default, at).Verdict;
                return !verdict.IsAccepted || mutant.AsSpan().StartsWith(quote.AsSpan(0, PathStart(quote)));
            },
            iter: Rounds);
        end.ShouldBeGreaterThan(0);
    }

    [Fact]
    public void A_mutated_bundle_breaks_nothing_and_is_never_accepted_with_another_statement()
    {
        var node = new BundleTests.NodeBundle();
        var (bytes, policy, verifier) = (node.ToBytes(), node.Policy(), new BundleVerifier());
        Mutants(bytes).Sample(
            mutant =>
            {
                var verification = verifier.Verify(mutant, policy, node.At);
                return (verification.Verified is null) != verification.Verdict.IsAccepted
                    && (verification.Verified is null || verification.Verified.Statement.ToBytes().AsSpan().SequenceEqual(node.Statement.ToBytes()));
            },
            iter: Rounds);
    }

    [Fact]
    public void Mutated_documents_and_arbitrary_bytes_break_no_parser()
    {
        var platform = new IntelPlatform();
        platform.RevokedByIntermediate.AddRange([[1], [2, 3]]);
        var collateral = platform.Collateral();
        foreach (var valid in new[]
        {
            collateral.TcbInfo!.Value.ToArray(), collateral.QeIdentity!.Value.ToArray(), collateral.PckCrl!.Value.ToArray(),
            collateral.TcbSigningChain!.Value.ToArray(), platform.PckCertificate().RawData,
            "[{\"imr\":3,\"event_type\":134217729,\"digest\":\"00\",\"event\":\"a\",\"event_payload\":\"\"}]"u8.ToArray(),
        })
            Mutants(valid).Sample(Survives, iter: Rounds * 5);
        Gen.Byte.Array[0, 300].Sample(Survives, iter: Rounds * 5);
    }

    private static void Survives(byte[] bytes)
    {
        Demand(TdxQuote.TryParse(bytes, out var quote) is null == (quote is not null));
        Demand(RevocationList.TryParse(bytes, out var list) is null == (list is not null));
        Demand(CertificateList.TryParse(bytes, out var certificates) is null == (certificates is not null));
        Demand(EventLog.TryParse(bytes, out var log) is null == (log is not null));
        Demand(EvidenceBundle.TryParse(bytes, out var bundle) is null == (bundle is not null));
        Demand(BundleStatement.TryParse(bytes, out var statement) is null == (statement is not null));
        Demand(IntelDocument<TcbInfo>.TryParse(bytes, "tcbInfo", fields => TcbInfo.Read(fields)!, out var info) is null == (info is not null));
        var rejected = IntelDocument<QeIdentity>.TryParse(bytes, "enclaveIdentity", fields => QeIdentity.Read(fields)!, out var identity);
        Demand(rejected is null == (identity is not null));
        if (certificates is null)
            return;
        using (certificates)
        {
            _ = PckExtension.TryRead(certificates.Items[0], out _);
            foreach (var kind in Enum.GetValues<KeyKind>())
            {
                _ = VerificationKey.TryTake(certificates.Items[0], kind, out var key);
                key?.Dispose();
            }
        }
    }

    private static void Demand(bool holds)
    {
        if (!holds)
            throw new InvalidOperationException("either something is read or it is refused");
    }

    // The quote, and where its signature data ends.
    private static (byte[] Quote, int End) Quote(string set)
    {
        var quote = Evidence.Bytes($"{set}/quote.bin");
        var signature = SignatureStart(quote);
        return (quote, signature + 4 + BinaryPrimitives.ReadInt32LittleEndian(quote.AsSpan(signature)));
    }

    private static int SignatureStart(byte[] quote) => quote[0] == 4 ? 632 : 54 + BinaryPrimitives.ReadInt32LittleEndian(quote.AsSpan(50));

    private static int PathStart(byte[] quote)
    {
        TdxQuote.TryParse(quote, out var parsed).ShouldBeNull();
        return quote.AsSpan().IndexOf(parsed!.PckPath.Span);
    }

    // Whether both have the same certificates, however they are written.
    private static bool SamePath(byte[] quote, byte[] flipped)
    {
        TdxQuote.TryParse(quote, out var left).ShouldBeNull();
        TdxQuote.TryParse(flipped, out var right).ShouldBeNull();
        CertificateList.TryParse(left!.PckPath.Span, out var leftPath).ShouldBeNull();
        CertificateList.TryParse(right!.PckPath.Span, out var rightPath).ShouldBeNull();
        using (leftPath)
        using (rightPath)
            return leftPath!.Items.Select(item => Convert.ToHexString(item.Der.Span))
                .SequenceEqual(rightPath!.Items.Select(item => Convert.ToHexString(item.Der.Span)));
    }

    private static List<string> Certificates(ReadOnlyMemory<byte> chain)
    {
        CertificateList.TryParse(chain.Span, out var list).ShouldBeNull();
        using (list)
            return [.. list!.Items.Select(item => Convert.ToHexString(item.Der.Span))];
    }

    // One to four edits: a byte is changed, removed, doubled; a stretch is repeated or cut out.
    private static Gen<byte[]> Mutants(byte[] valid) =>
        Gen.Select(Gen.Int[0, 4], Gen.Int[0, int.MaxValue], Gen.Int[0, int.MaxValue], Gen.Byte).Array[1, 4].Select(edits =>
        {
            var bytes = valid.ToList();
            foreach (var (kind, first, second, value) in edits)
            {
                if (bytes.Count == 0)
                    break;
                var at = first % bytes.Count;
                var length = 1 + (second % Math.Min(64, bytes.Count - at));
                switch (kind)
                {
                    case 0: bytes[at] = value; break;
                    case 1: bytes.RemoveAt(at); break;
                    case 2: bytes.Insert(at, bytes[at]); break;
                    case 3: bytes.InsertRange(at, bytes.GetRange(at, length)); break;
                    default: bytes.RemoveRange(at, length); break;
                }
            }

            return bytes.ToArray();
        });
}
