// spec/gateway.md section 10 rule 2.
namespace ConfidentialChat.Gateway.Metering;

/// <summary>A price as it is told: micro-dollars for a million units of each kind.</summary>
/// <param name="Prompt">Tokens.</param>
/// <param name="Completion">Tokens.</param>
/// <param name="Image">Pixels.</param>
internal sealed record ListedPrice(long Prompt, long Completion, long Image)
{
    public static ListedPrice? Of(Price? price) =>
        price is null ? null : new(price.Units.Prompt.Value, price.Units.Completion.Value, price.Units.Image.Value);
}
