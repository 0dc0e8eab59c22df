using System.Formats.Cbor;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.Cose;

/// <summary>spec/receipts.md section 1: what is signed has one spelling, and nothing else passes.</summary>
public sealed class CoseSign1Tests : IDisposable
{
    private const string Type = "application/vnd.example+cbor";

    private static readonly byte[] Payload = [0xA1, 0x01, 0x02];
    private static readonly KeySetDigest KeySet = new(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());

    private static readonly CoseHeader Header = new()
    {
        ContentType = Type,
        KeySet = KeySet,
        Request = new RequestId(Guid.Parse("7f0c2b54-3f0c-4c7e-9a53-0d5a2d3c4b5a")),
        Time = DateTimeOffset.FromUnixTimeSeconds(1_800_000_000),
    };

    private readonly Ed25519PrivateKey key = Ed25519PrivateKey.Generate(out _);

    private byte[] Signed => CoseSign1.Sign(Header, Payload, key);

    [Theory]
    [InlineData(null)]
    [InlineData("urn:confidentialchat:gateway:00")]
    public void What_was_signed_is_read_as_it_was_meant(string? audience)
    {
        var header = Header with { Audience = audience };
        CoseSign1.TryParse(CoseSign1.Sign(header, Payload, key), Type, out var parsed).ShouldBe(CoseError.None);
        parsed!.Header.ShouldBe(header);
        parsed.Payload.ToArray().ShouldBe(Payload);
        parsed.IsSignedBy(key.PublicKey).ShouldBeTrue();
        using var other = Ed25519PrivateKey.Generate(out _);
        parsed.IsSignedBy(other.PublicKey).ShouldBeFalse();
    }

    [Fact]
    public void No_flipped_bit_passes()
    {
        var bytes = Signed;
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            var flipped = bytes.ToArray();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            var passes = CoseSign1.TryParse(flipped, Type, out var parsed) == CoseError.None && parsed!.IsSignedBy(key.PublicKey);
            passes.ShouldBeFalse($"bit {bit}");
        }
    }

    [Fact]
    public void Of_every_beginning_it_is_said_that_the_rest_is_missing()
    {
        var bytes = Signed;
        for (var length = 0; length < bytes.Length; length++)
            CoseSign1.TryParse(bytes.AsSpan(0, length), Type, out _).ShouldBe(CoseError.Truncated, $"{length} bytes");
        CoseSign1.TryParse([.. bytes, 0], Type, out _).ShouldBe(CoseError.TrailingBytes);
    }

    [Fact]
    public void A_voucher_is_no_receipt() =>
        CoseSign1.TryParse(Signed, "application/vnd.confidentialchat.receipt+cbor", out _).ShouldBe(CoseError.WrongContentType);

    [Fact]
    public void What_is_huge_is_refused_before_it_is_read()
    {
        CoseSign1.TryParse(new byte[CoseSign1.MaxSize + 1], Type, out _).ShouldBe(CoseError.TooLarge);
        Should.Throw<ArgumentException>(() => CoseSign1.Sign(Header, new byte[CoseSign1.MaxSize], key));

        // 2^63 - 1 pairs, items and bytes are announced: nothing is made for them.
        CoseSign1.TryParse([0xD2, 0x84, 0x5B, 0x7F, .. Enumerable.Repeat((byte)0xFF, 7)], Type, out _).ShouldBe(CoseError.Truncated);
        Read(header: [0xBB, 0x7F, .. Enumerable.Repeat((byte)0xFF, 7)]).ShouldBe(CoseError.Truncated);
    }

    [Fact]
    public void What_is_nested_is_not_followed()
    {
        var nested = Enumerable.Repeat((byte)0x81, CoseSign1.MaxSize).ToArray(); // arrays of one
        CoseSign1.TryParse(nested, Type, out _).ShouldBe(CoseError.WrongType);
        CoseSign1.TryParse([0xD2, 0x84, .. nested[..^2]], Type, out _).ShouldBe(CoseError.WrongType);
        Read(header: nested[..3000]).ShouldBe(CoseError.WrongType);
        Read(Map(header => header.Write(1, writer => writer.WriteEncodedValue([0x81, 0x81, 0x80])))).ShouldBe(CoseError.WrongType);
        Read(Map(claims: claims => claims.Write(6, writer => writer.WriteEncodedValue([0xA1, 0x01, 0xA0])))).ShouldBe(CoseError.WrongType);
        CoseSign1.TryParse([.. Enumerable.Repeat((byte)0xD2, 4000)], Type, out _).ShouldBe(CoseError.WrongType); // tags
    }

    [Fact]
    public void A_label_that_stands_twice_is_refused()
    {
        Read(Map(header => header.Add(1, writer => writer.WriteInt32(-8)))).ShouldBe(CoseError.RepeatedLabel);
        Read(Map(claims: claims => claims.Add(6, writer => writer.WriteInt32(0)))).ShouldBe(CoseError.RepeatedLabel);
    }

    [Fact]
    public void A_label_that_nobody_knows_is_refused_critical_or_not()
    {
        Read(Map(header => header.Add(2, writer => writer.WriteEncodedValue([0x81, 0x01])))).ShouldBe(CoseError.CriticalLabel);
        Read(Map(header => header.Add(5, writer => writer.WriteInt32(0)))).ShouldBe(CoseError.UnknownLabel);
        Read(Map(header => header.Add(-65537, writer => writer.WriteInt32(0)))).ShouldBe(CoseError.UnknownLabel);
        Read(Map(claims: claims => claims.Add(4, writer => writer.WriteInt32(0)))).ShouldBe(CoseError.UnknownLabel);
        Read(header: [0xA1, 0x63, .. "alg"u8, 0x27]).ShouldBe(CoseError.UnknownLabel);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(15)]
    public void A_header_without_one_of_its_labels_is_refused(int label) => Read(Map(header => header.Remove(label))).ShouldBe(CoseError.MissingLabel);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(6)]
    public void Claims_without_one_of_theirs_are_refused(int label) => Read(Map(claims: claims => claims.Remove(label))).ShouldBe(CoseError.MissingLabel);

    [Fact]
    public void CBOR_in_another_spelling_is_refused()
    {
        var right = Map();
        Read(right).ShouldBe(CoseError.None);
        Read(header: [0xB8, 0x04, .. right[1..]]).ShouldBe(CoseError.NotDeterministic); // a longer count
        Read(header: [0xBF, .. right[1..], 0xFF]).ShouldBe(CoseError.NotDeterministic); // an indefinite length
        Read(Map(header => header.Write(1, writer => writer.WriteEncodedValue([0x38, 0x07])))).ShouldBe(CoseError.NotDeterministic); // -8 in two bytes
        Read(Map(header => header.Write(3, writer => writer.WriteEncodedValue([0x79, 0x00, 0x01, 0x61])))).ShouldBe(CoseError.NotDeterministic);
        Read(Map(claims: claims => claims.Write(6, writer => writer.WriteEncodedValue([0x1B, 0, 0, 0, 0, 0xFF, 0, 0, 0]))))
            .ShouldBe(CoseError.NotDeterministic);
        Read(Map(header => header.Swap(1, 3))).ShouldBe(CoseError.NotDeterministic); // out of order
        Read(Map(header => header.Write(3, writer => writer.WriteEncodedValue([0x62, 0xC3, 0x28])))).ShouldBe(CoseError.Malformed); // no UTF-8
        Read(header: [.. right[..2], 0x1C, .. right[3..]]).ShouldBe(CoseError.Malformed); // a reserved form
    }

    [Fact]
    public void What_stands_outside_the_signature_is_refused()
    {
        CoseSign1.TryParse(Container(Map(), unprotected: [0xA1, 0x04, 0x41, 0x00]), Type, out _).ShouldBe(CoseError.UnprotectedContent);
        Read(header: [.. Map(), 0x00]).ShouldBe(CoseError.TrailingBytes);
        CoseSign1.TryParse(Signed.AsSpan(1), Type, out _).ShouldBe(CoseError.WrongType); // untagged
    }

    [Theory]
    [InlineData(-8, CoseError.None)]
    [InlineData(-19, CoseError.None)]
    [InlineData(-7, CoseError.UnsupportedAlgorithm)] // ES256
    [InlineData(-53, CoseError.UnsupportedAlgorithm)] // Ed448
    [InlineData(5, CoseError.UnsupportedAlgorithm)] // HMAC: the public key as its secret
    public void An_algorithm_is_Ed25519_or_refused(int algorithm, CoseError expected) =>
        Read(Map(header => header.Write(1, writer => writer.WriteInt32(algorithm)))).ShouldBe(expected);

    [Fact]
    public void A_value_that_says_another_thing_than_it_repeats_is_refused()
    {
        Read(Map(header => header.Write(4, writer => writer.WriteByteString(new byte[32])))).ShouldBe(CoseError.WrongValue); // not the issuer
        Read(Map(header => header.Write(4, writer => writer.WriteByteString(new byte[31])))).ShouldBe(CoseError.WrongValue);
        Read(Map(claims: claims => claims.Write(2, writer => writer.WriteTextString($"urn:uuid:{Header.Request.ToString().ToUpperInvariant()}"))))
            .ShouldBe(CoseError.WrongValue);
        Read(Map(claims: claims => claims.Write(6, writer => writer.WriteInt32(-1)))).ShouldBe(CoseError.WrongValue);
        Read(Map(claims: claims => claims.Write(6, writer => writer.WriteInt64(253_402_300_800)))).ShouldBe(CoseError.WrongValue);
        Read(Map(claims: claims => claims.Write(6, writer => writer.WriteUInt64(ulong.MaxValue)))).ShouldBe(CoseError.WrongValue);
    }

    [Fact]
    public void What_is_taken_another_strict_reader_takes_too_and_mutants_break_nothing()
    {
        Mutants.Framed(Signed).Sample(bytes =>
        {
            if (CoseSign1.TryParse(bytes, Type, out var parsed) != CoseError.None)
                return;
            var reader = new CborReader(bytes, CborConformanceMode.Canonical);
            reader.SkipValue();
            reader.BytesRemaining.ShouldBe(0);
            if (parsed!.IsSignedBy(key.PublicKey))
                bytes.ShouldBe(Signed);
        });
        Gen.Byte.Array[0, 300].Sample(bytes => CoseSign1.TryParse(bytes, Type, out _));
    }

    public void Dispose() => key.Dispose();

    private static CoseError Read(byte[] header) => CoseSign1.TryParse(Container(header), Type, out _);

    private static byte[] Container(byte[] header, byte[]? unprotected = null)
    {
        var writer = new CborWriter(CborConformanceMode.Lax);
        writer.WriteTag((CborTag)18);
        writer.WriteStartArray(4);
        writer.WriteByteString(header);
        writer.WriteEncodedValue(unprotected ?? [0xA0]);
        writer.WriteByteString(Payload);
        writer.WriteByteString(new byte[64]);
        writer.WriteEndArray();
        return writer.Encode();
    }

    // The right one, before somebody changes something.
    private static byte[] Map(Action<Pairs>? header = null, Action<Pairs>? claims = null)
    {
        var digest = new byte[32];
        KeySet.CopyTo(digest);
        var inner = new Pairs();
        inner.Add(1, writer => writer.WriteTextString("urn:confidentialchat:keyset:" + Convert.ToHexStringLower(digest)));
        inner.Add(2, writer => writer.WriteTextString($"urn:uuid:{Header.Request}"));
        inner.Add(6, writer => writer.WriteInt64(Header.Time.ToUnixTimeSeconds()));
        claims?.Invoke(inner);
        var outer = new Pairs();
        outer.Add(1, writer => writer.WriteInt32(-8));
        outer.Add(3, writer => writer.WriteTextString(Type));
        outer.Add(4, writer => writer.WriteByteString(digest));
        outer.Add(15, writer => writer.WriteEncodedValue(inner.Encode()));
        header?.Invoke(outer);
        return outer.Encode();
    }

    private sealed class Pairs
    {
        private readonly List<(int Label, Action<CborWriter> Write)> pairs = [];

        // Where it belongs, behind one that is there.
        public void Add(int label, Action<CborWriter> write)
        {
            var at = pairs.FindIndex(pair => Rank(pair.Label) > Rank(label));
            pairs.Insert(at < 0 ? pairs.Count : at, (label, write));
        }

        public void Remove(int label) => pairs.RemoveAll(pair => pair.Label == label);

        public void Write(int label, Action<CborWriter> write) => pairs[pairs.FindIndex(pair => pair.Label == label)] = (label, write);

        public void Swap(int one, int other)
        {
            var (first, second) = (pairs.FindIndex(pair => pair.Label == one), pairs.FindIndex(pair => pair.Label == other));
            (pairs[first], pairs[second]) = (pairs[second], pairs[first]);
        }

        // By hand, because a writer puts no label twice.
        public byte[] Encode() => [(byte)(0xA0 + pairs.Count), .. pairs.SelectMany(pair => Encoded(pair.Label, pair.Write))];

        private static long Rank(int label) => label >= 0 ? label : int.MaxValue - (long)label;

        private static byte[] Encoded(int label, Action<CborWriter> write)
        {
            var writer = new CborWriter(CborConformanceMode.Lax, allowMultipleRootLevelValues: true);
            writer.WriteInt32(label);
            write(writer);
            return writer.Encode();
        }
    }
}
