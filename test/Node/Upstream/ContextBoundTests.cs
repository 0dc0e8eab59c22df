using System.Text;
using ConfidentialChat.Node.Inference;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>spec/inference.md section 5: what could fit a context passes, to the last message and value, and one more does not.</summary>
public sealed class ContextBoundTests
{
    [Theory]
    [InlineData(3, true)]
    [InlineData(4, false)]
    public void A_message_for_each_token_fits(int messages, bool fits) =>
        new ContextBound(3, 8).Admits(Encoding.UTF8.GetBytes($"[{string.Join(',', Enumerable.Repeat("\"\"", messages))}]")).ShouldBe(fits);

    // The array and its one message count as well.
    [Theory]
    [InlineData((3 * 64) - 2, true)]
    [InlineData((3 * 64) - 1, false)]
    public void So_many_values_as_the_messages_of_each_token_can_have_fit(int values, bool fits) =>
        new ContextBound(3, 8).Admits(Encoding.UTF8.GetBytes($"[[{string.Join(',', Enumerable.Repeat("0", values))}]]")).ShouldBe(fits);
}
