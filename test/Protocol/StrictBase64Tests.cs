using System.Text;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests;

/// <summary>spec/README.md, notation: every byte string has one spelling, and every other is refused.</summary>
public sealed class StrictBase64Tests
{
    [Fact]
    public void The_one_spelling_of_any_bytes_decodes_to_them() => Gen.Byte.Array[0, 500].Sample(
        bytes => StrictBase64.TryDecode(Convert.ToBase64String(bytes), out var decoded) && decoded.AsSpan().SequenceEqual(bytes));

    [Fact]
    public void Every_text_of_four_signs_decodes_only_if_it_is_what_those_bytes_encode_to()
    {
        const string signs = "AQgwZ/+=9 _-";
        foreach (var text in from a in signs from b in signs from c in signs from d in signs select $"{a}{b}{c}{d}")
        {
            var taken = StrictBase64.TryDecode(text, out var decoded);
            taken.ShouldBe(Canonical(text), text);
            if (taken)
                Convert.ToBase64String(decoded).ShouldBe(text);
        }

        static bool Canonical(string text)
        {
            var buffer = new byte[3];
            return !text.Contains(' ', StringComparison.Ordinal)
                && Convert.TryFromBase64String(text, buffer, out var written)
                && Convert.ToBase64String(buffer.AsSpan(0, written)) == text;
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("====")]
    [InlineData("A===")]
    [InlineData("=AAA")]
    [InlineData("AA=A")]
    [InlineData("AAAA\n")]
    [InlineData("AAA\0")]
    [InlineData("AAAé")]
    [InlineData("AAA\ud800")]
    [InlineData("AA==AA==")]
    public void Loose_spellings_are_refused(string? text) => StrictBase64.TryDecode(text, out _).ShouldBeFalse();

    [Fact]
    public void Nothing_encodes_to_nothing()
    {
        StrictBase64.TryDecode("", out var decoded).ShouldBeTrue();
        decoded.ShouldBeEmpty();
        StrictBase64.TryDecode(Encoding.UTF8.GetBytes("YQ=="), out decoded).ShouldBeTrue();
        decoded.ShouldBe("a"u8.ToArray());
    }
}
