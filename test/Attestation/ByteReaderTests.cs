namespace ConfidentialChat.Attestation.Tests;

/// <summary>spec/attestation.md section 5: every size is filled exactly, and what is missing reads as nothing from there on.</summary>
public sealed class ByteReaderTests
{
    [Fact]
    public void Fields_are_little_endian_and_taken_to_the_last_byte()
    {
        var reader = new ByteReader(new byte[] { 1, 2, 3, 4, 5, 6, 7 });
        (reader.UInt8(), reader.UInt16(), reader.Remaining, reader.UInt32()).ShouldBe(((byte)1, (ushort)0x0302, 4, 0x07060504u));
        (reader.Remaining, reader.Take(0).Length, reader.HasFailed).ShouldBe((0, 0, false));
        (reader.UInt8(), reader.HasFailed).ShouldBe(((byte)0, true));
    }

    [Fact]
    public void After_a_field_that_is_missing_nothing_is_read()
    {
        var reader = new ByteReader(new byte[] { 1, 2, 3 });
        (reader.UInt32(), reader.HasFailed).ShouldBe((0u, true));
        (reader.UInt8(), reader.UInt16(), reader.Take(1).Length, reader.Take(0).Length).ShouldBe(((byte)0, (ushort)0, 0, 0));
        reader.HasFailed.ShouldBeTrue();
        foreach (var count in new[] { -1L, 4L, uint.MaxValue, long.MinValue })
        {
            var other = new ByteReader(new byte[] { 1, 2, 3 });
            (other.Take(count).Length, other.HasFailed).ShouldBe((0, true), $"{count}");
        }
    }
}
