using System.Formats.Cbor;
using ConfidentialChat.Protocol.Cose;

namespace ConfidentialChat.Protocol.Tests.Cose;

/// <summary>spec/receipts.md section 1; RFC 8949 sections 3 and 4.2.1: items one by one, at the edges of each of their rules.</summary>
public sealed class CborItemsTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(23)]
    [InlineData(24)]
    [InlineData(255)]
    [InlineData(256)]
    [InlineData(65_535)]
    [InlineData(65_536)]
    [InlineData(4_294_967_295)]
    [InlineData(4_294_967_296)]
    [InlineData(long.MaxValue)]
    [InlineData(-1)]
    [InlineData(-24)]
    [InlineData(-25)]
    [InlineData(-257)]
    [InlineData(long.MinValue)]
    public void An_integer_is_read_from_its_one_form_and_every_beginning_of_it_is_truncated(long value)
    {
        var writer = new CborWriter(CborConformanceMode.Canonical);
        writer.WriteInt64(value);
        var bytes = writer.Encode();
        var items = new CborItems(bytes);
        items.TryReadInteger(out var read).ShouldBeTrue();
        read.ShouldBe(value);
        items.TryEnd().ShouldBeTrue();
        for (var length = 0; length < bytes.Length; length++)
        {
            items = new CborItems(bytes.AsSpan(0, length));
            items.TryReadInteger(out read).ShouldBeFalse();
            (items.Fault, read).ShouldBe((CoseError.Truncated, 0));
        }
    }

    [Theory]
    [InlineData("1817")] // 23 in two bytes
    [InlineData("1900FF")]
    [InlineData("1A0000FFFF")]
    [InlineData("1B00000000FFFFFFFF")]
    [InlineData("3817")]
    [InlineData("5F")] // of no length
    [InlineData("7F")]
    [InlineData("9F")]
    [InlineData("BF")]
    public void A_longer_form_and_one_without_a_length_are_not_deterministic(string hex) => Fault(hex).ShouldBe(CoseError.NotDeterministic);

    [Theory]
    [InlineData("1C")] // reserved
    [InlineData("1D")]
    [InlineData("1E")]
    [InlineData("1F")] // an integer without a length
    [InlineData("3F")]
    [InlineData("DF")] // a tag
    [InlineData("FF")] // a break
    [InlineData("5C")]
    public void A_reserved_form_is_no_CBOR(string hex) => Fault(hex).ShouldBe(CoseError.Malformed);

    [Theory]
    [InlineData("1B8000000000000000", CoseError.WrongValue)] // beyond 64 bits with their sign
    [InlineData("3BFFFFFFFFFFFFFFFF", CoseError.WrongValue)]
    [InlineData("40", CoseError.WrongType)]
    [InlineData("60", CoseError.WrongType)]
    [InlineData("F6", CoseError.WrongType)]
    public void What_is_no_integer_of_ours_is_refused(string hex, CoseError expected) => Fault(hex).ShouldBe(expected);

    [Fact]
    public void Arrays_and_maps_have_the_sizes_that_are_due()
    {
        var items = new CborItems([0x82, 0x01, 0x02]);
        items.TryReadArray(2).ShouldBeTrue();
        items = new CborItems([0x82, 0x01, 0x02]);
        items.TryReadArray(3).ShouldBeFalse();
        items.Fault.ShouldBe(CoseError.WrongType);
        items = new CborItems([0x82, 0x01, 0x02]);
        items.TryReadArray(2, out var count).ShouldBeTrue();
        count.ShouldBe(2);
        items = new CborItems([0x83, 0x01, 0x02, 0x03]);
        items.TryReadArray(2, out count).ShouldBeFalse();
        (items.Fault, count).ShouldBe((CoseError.WrongValue, 0));
        items = new CborItems([0xA1, 0x01]);
        items.TryReadArray(2, out count).ShouldBeFalse();
        (items.Fault, count).ShouldBe((CoseError.WrongType, 0));
        items = new CborItems([0xA1, 0x01, 0x02]);
        items.TryReadMap(out count).ShouldBeTrue();
        count.ShouldBe(1);
        items = new CborItems([0xA2, 0x01, 0x02, 0x03]); // half a pair
        items.TryReadMap(out count).ShouldBeFalse();
        (items.Fault, count).ShouldBe((CoseError.Truncated, 0));
        items = new CborItems([0x80]);
        items.TryReadMap(out count).ShouldBeFalse();
        (items.Fault, count).ShouldBe((CoseError.WrongType, 0));
    }

    [Fact]
    public void Labels_rise_as_their_bytes_do()
    {
        Labels(0x00, 0x01, 0x17, 0x20, 0x21).ShouldBe(CoseError.None); // 0, 1, 23, -1, -2
        Labels(0x01, 0x01).ShouldBe(CoseError.RepeatedLabel);
        Labels(0x20, 0x20).ShouldBe(CoseError.RepeatedLabel);
        Labels(0x01, 0x00).ShouldBe(CoseError.NotDeterministic);
        Labels(0x20, 0x00).ShouldBe(CoseError.NotDeterministic);
        Labels(0x20, 0x17).ShouldBe(CoseError.NotDeterministic);
        Labels(0x21, 0x20).ShouldBe(CoseError.NotDeterministic);
        Labels(0x61).ShouldBe(CoseError.UnknownLabel);
        Labels(0x41).ShouldBe(CoseError.WrongType);
        Labels().ShouldBe(CoseError.None);

        static CoseError Labels(params byte[] bytes)
        {
            var items = new CborItems(bytes);
            long? last = null;
            foreach (var _ in bytes)
            {
                if (!items.TryReadLabel(ref last))
                    return items.Fault;
            }

            items.TryReadLabel(ref last).ShouldBeFalse();
            items.Fault.ShouldBe(CoseError.Truncated);
            return CoseError.None;
        }
    }

    [Fact]
    public void Strings_are_as_long_as_they_say()
    {
        var items = new CborItems([0x42, 1, 2, 0x62, (byte)'a', (byte)'b', 0xD2]);
        items.TryReadBytes(2, out var bytes).ShouldBeTrue();
        bytes.ToArray().ShouldBe([1, 2]);
        items.TryReadText(out var text).ShouldBeTrue();
        text.ShouldBe("ab");
        items.TryReadTag(18).ShouldBeTrue();
        items.TryEnd().ShouldBeTrue();
        items = new CborItems([0x42, 1, 2]);
        items.TryReadBytes(1, out bytes).ShouldBeFalse();
        items.Fault.ShouldBe(CoseError.WrongValue);
        items = new CborItems([0x42, 1]);
        items.TryReadBytes(out bytes).ShouldBeFalse();
        (items.Fault, bytes.Length).ShouldBe((CoseError.Truncated, 0));
        items = new CborItems([0x42, 1, 2]);
        items.TryReadText(out text).ShouldBeFalse();
        (items.Fault, text).ShouldBe((CoseError.WrongType, ""));
        items = new CborItems([0x62, 0xC3, 0x28]);
        items.TryReadText(out text).ShouldBeFalse();
        (items.Fault, text).ShouldBe((CoseError.Malformed, ""));
        items = new CborItems([0xD3]);
        items.TryReadTag(18).ShouldBeFalse();
        items.Fault.ShouldBe(CoseError.WrongType);
    }

    [Fact]
    public void A_null_is_taken_where_one_stands_and_nothing_else_is()
    {
        var items = new CborItems([0xF6, 0x01]);
        items.TryReadNull().ShouldBeTrue();
        items.TryReadNull().ShouldBeFalse();
        items.Fault.ShouldBe(CoseError.None);
        items.TryReadInteger(out var left).ShouldBeTrue();
        left.ShouldBe(1);
        items.TryReadNull().ShouldBeFalse();
        items.TryPassNull().ShouldBeFalse();
        items.Fault.ShouldBe(CoseError.Truncated);
        items = new CborItems([0xF7]);
        items.TryPassNull().ShouldBeFalse();
        items.Fault.ShouldBe(CoseError.WrongType);
        items = new CborItems([0xF6]);
        items.TryPassNull().ShouldBeTrue();
    }

    [Fact]
    public void The_first_fault_stays_and_nothing_is_read_after_it()
    {
        var items = new CborItems([0x01, 0x02, 0xF6]);
        items.TryReadText(out _).ShouldBeFalse();
        items.Fail(CoseError.WrongValue).ShouldBeFalse();
        items.Fault.ShouldBe(CoseError.WrongType);
        items.TryReadInteger(out var value).ShouldBeFalse();
        items.TryReadNull().ShouldBeFalse();
        items.TryEnd().ShouldBeFalse();
        (items.Fault, value).ShouldBe((CoseError.WrongType, 0));
        items = new CborItems([0x01]);
        items.TryEnd().ShouldBeFalse();
        items.Fault.ShouldBe(CoseError.TrailingBytes);
    }

    private static CoseError Fault(string hex)
    {
        var items = new CborItems(Convert.FromHexString(hex));
        items.TryReadInteger(out var value).ShouldBeFalse();
        value.ShouldBe(0);
        return items.Fault;
    }
}
