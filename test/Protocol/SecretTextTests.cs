namespace ConfidentialChat.Protocol.Tests;

/// <summary>docs/operating.md, "Secrets": what is forgiven a secret that comes from a file or a variable, and what is not.</summary>
public sealed class SecretTextTests
{
    [Theory]
    [InlineData("cce_a", "cce_a")]
    [InlineData("cce_a\n", "cce_a")]
    [InlineData("cce_a\r\n", "cce_a")]
    [InlineData("cce_a\n\n", "cce_a\n")]
    [InlineData("cce_a\r", "cce_a\r")]
    [InlineData("\ncce_a", "\ncce_a")]
    [InlineData("cce_a ", "cce_a ")]
    [InlineData("\n", "")]
    [InlineData("", "")]
    public void One_line_break_at_the_end_is_no_part_of_a_secret(string text, string secret) => SecretText.WithoutLineEnd(text).ShouldBe(secret);

    [Theory]
    [InlineData("cc_abc~!", true)]
    [InlineData("", false)]
    [InlineData(" cc_a", false)]
    [InlineData("cc_a\n", false)]
    [InlineData("cc_a\r\nX-Other: 1", false)]
    [InlineData("cc_\u00e4", false)]
    [InlineData("cc_\u200b", false)]
    [InlineData("cc_\u007f", false)]
    public void What_could_split_a_header_is_no_secret(string text, bool isPlain) => SecretText.IsPlain(text).ShouldBe(isPlain);
}
