using System.Formats.Cbor;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Tests.Cose;

/// <summary>spec/receipts.md section 1, spec/vouchers.md section 3: what is within a bound is read, and what only looks alike is not.</summary>
public sealed class CoseEdgeTests : IDisposable
{
    private const string Type = "application/vnd.example+cbor";

    private static readonly CoseHeader Header = new()
    {
        ContentType = Type,
        KeySet = new KeySetDigest(new byte[32]),
        Request = new RequestId(Guid.Parse("7f0c2b54-3f0c-4c7e-9a53-0d5a2d3c4b5a")),
        Time = DateTimeOffset.FromUnixTimeSeconds(1_800_000_000),
    };

    private readonly Ed25519PrivateKey key = Ed25519PrivateKey.Generate(out _);

    public void Dispose() => key.Dispose();

    [Theory]
    [InlineData(0)]
    [InlineData(253_402_300_799)]
    public void The_first_and_the_last_second_are_read(long seconds)
    {
        var header = Header with { Time = DateTimeOffset.FromUnixTimeSeconds(seconds) };
        CoseSign1.TryParse(CoseSign1.Sign(header, [1], key), Type, out var parsed).ShouldBe(CoseError.None);
        parsed!.Header.Time.ShouldBe(header.Time);
    }

    [Fact]
    public void What_is_as_large_as_it_may_be_is_signed_and_read()
    {
        var around = CoseSign1.Sign(Header, new byte[256], key).Length - 256; // a payload of this size and of the largest has a length of three bytes
        var signed = CoseSign1.Sign(Header, new byte[CoseSign1.MaxSize - around], key);
        signed.Length.ShouldBe(CoseSign1.MaxSize);
        CoseSign1.TryParse(signed, Type, out _).ShouldBe(CoseError.None);
        Should.Throw<ArgumentException>(() => CoseSign1.Sign(Header, new byte[CoseSign1.MaxSize - around + 1], key));

        var rooted = Rooted(new byte[256]).Length - 256;
        var included = Rooted(new byte[CoseSign1.MaxSize - rooted]);
        included.Length.ShouldBe(CoseSign1.MaxSize);
        CoseInclusion.TryParse(included, Type, out _).ShouldBe(CoseError.None);
        CoseInclusion.TryParse(Rooted(new byte[CoseSign1.MaxSize - rooted + 1]), Type, out _).ShouldBe(CoseError.TooLarge);

        byte[] Rooted(byte[] entry) => Entry([entry, [2]]);
    }

    [Fact]
    public void The_largest_tree_is_read_and_numbers_that_become_small_ones_are_not()
    {
        ReadOnlyMemory<byte>[] entries = [.. Enumerable.Repeat((ReadOnlyMemory<byte>)new byte[1], MerkleTree.MaxSize)];
        var tree = new MerkleTree(entries);
        CoseInclusion.TryParse(CoseInclusion.Write(Root(), new byte[64], new byte[1], tree, 0), Type, out var parsed).ShouldBe(CoseError.None);
        parsed!.Root.ShouldBe(tree.Root.ToArray());

        var pair = new MerkleTree([new byte[] { 1 }, new byte[] { 2 }]);
        Proven(2, 1, pair.Path(1)).ShouldBe(CoseError.None);
        Proven(2 + (1L << 32), 1, pair.Path(1)).ShouldBe(CoseError.WrongValue);
        Proven(2, 1 - (1L << 32), pair.Path(1)).ShouldBe(CoseError.WrongValue);
        Proven(2, 1 + (1L << 32), pair.Path(1)).ShouldBe(CoseError.WrongValue);
        Proven(2 - (1L << 32), 1, pair.Path(1)).ShouldBe(CoseError.WrongValue);
        Proven(2, 2, pair.Path(1)).ShouldBe(CoseError.WrongValue);

        CoseError Proven(long size, long index, IReadOnlyList<byte[]> path)
        {
            var writer = new CborWriter(CborConformanceMode.Canonical);
            writer.WriteStartArray(3);
            writer.WriteInt64(size);
            writer.WriteInt64(index);
            writer.WriteStartArray(path.Count);
            foreach (var hash in path)
                writer.WriteByteString(hash);
            writer.WriteEndArray();
            writer.WriteEndArray();
            var proof = writer.Encode();
            var right = CoseInclusion.Write(Root(), new byte[64], [2], pair, 1);
            return CoseInclusion.TryParse(Replaced(right, Proof(pair, 1), proof), Type, out _);
        }
    }

    [Fact]
    public void A_signature_is_good_for_another_where_root_header_and_signature_are_its_own()
    {
        var one = Parsed(Entry([[1], [2]]));
        one.IsSignedLike(Parsed(Entry([[1], [2]], index: 1))).ShouldBeTrue();
        one.IsSignedLike(Parsed(Entry([[1], [3]]))).ShouldBeFalse();
        one.IsSignedLike(Parsed(Entry([[1], [2]], signature: 1))).ShouldBeFalse();
        one.IsSignedLike(Parsed(Entry([[1], [2]], audience: "a"))).ShouldBeFalse();
        one.Entry.ShouldBe([1]);
        one.Root.ShouldBe(new MerkleTree([new byte[] { 1 }, new byte[] { 2 }]).Root.ToArray());
        one.ProtectedHeader.ShouldBe(Root());

        static CoseInclusion Parsed(byte[] bytes)
        {
            CoseInclusion.TryParse(bytes, Type, out var parsed).ShouldBe(CoseError.None);
            return parsed!;
        }
    }

    [Fact]
    public void What_is_not_given_is_the_callers_mistake()
    {
        Should.Throw<ArgumentNullException>(() => CoseSign1.Sign(null!, [], key)).ParamName.ShouldBe("header");
        Should.Throw<ArgumentNullException>(() => CoseSign1.Sign(Header, [], null!)).ParamName.ShouldBe("key");
        CoseSign1.TryParse(CoseSign1.Sign(Header, [1], key), Type, out var parsed).ShouldBe(CoseError.None);
        Should.Throw<ArgumentNullException>(() => parsed!.IsSignedBy(null!)).ParamName.ShouldBe("key");
    }

    private static byte[] Root(string? audience = null) => (Header with { IsOfRoot = true, Audience = audience }).Write();

    private static byte[] Entry(byte[][] entries, int index = 0, byte signature = 0, string? audience = null)
    {
        var tree = new MerkleTree([.. entries.Select(entry => (ReadOnlyMemory<byte>)entry)]);
        return CoseInclusion.Write(Root(audience), [.. Enumerable.Repeat(signature, 64)], entries[index], tree, index);
    }

    private static byte[] Proof(MerkleTree tree, int index)
    {
        var writer = new CborWriter(CborConformanceMode.Canonical);
        writer.WriteStartArray(3);
        writer.WriteInt32(tree.Size);
        writer.WriteInt32(index);
        writer.WriteStartArray(tree.Path(index).Count);
        foreach (var hash in tree.Path(index))
            writer.WriteByteString(hash);
        writer.WriteEndArray();
        writer.WriteEndArray();
        return writer.Encode();
    }

    // Both as byte strings, with their lengths before them.
    private static byte[] Replaced(byte[] bytes, byte[] proof, byte[] other)
    {
        byte[] Encoded(byte[] value)
        {
            var writer = new CborWriter(CborConformanceMode.Canonical);
            writer.WriteByteString(value);
            return writer.Encode();
        }

        var (from, to) = (Encoded(proof), Encoded(other));
        var at = bytes.AsSpan().IndexOf(from);
        at.ShouldBePositive();
        return [.. bytes[..at], .. to, .. bytes[(at + from.Length)..]];
    }
}
