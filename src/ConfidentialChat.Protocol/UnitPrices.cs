// spec/gateway.md section 10.
using System.Globalization;

namespace ConfidentialChat.Protocol;

/// <summary>What a million units cost, each kind apart: prompt tokens, completion tokens, pixels. Each from none to <see cref="MaxValue"/>.</summary>
public readonly record struct UnitPrices
{
    /// <summary>A dollar for one unit, in micro-dollars per million: far above any price, and far below overflow.</summary>
    public const long MaxValue = 1_000_000_000_000;

    internal const int PerMicroDollar = 1_000_000; // millionths, and units to which a price is

    /// <exception cref="ArgumentOutOfRangeException">One is above <see cref="MaxValue"/>.</exception>
    public UnitPrices(MicroDollars prompt, MicroDollars completion, MicroDollars image)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(prompt.Value, MaxValue, nameof(prompt));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(completion.Value, MaxValue, nameof(completion));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(image.Value, MaxValue, nameof(image));
        (Prompt, Completion, Image) = (prompt, completion, image);
    }

    public MicroDollars Prompt { get; }

    public MicroDollars Completion { get; }

    public MicroDollars Image { get; }

    /// <summary>What a unit costs whose kind is not known yet.</summary>
    public MicroDollars Dearest => new(Math.Max(Prompt.Value, Math.Max(Completion.Value, Image.Value)));

    /// <summary>All three together: by this, prices are cheaper and dearer.</summary>
    public MicroDollars Sum => new(Prompt.Value + Completion.Value + Image.Value);

    /// <summary>False where a number is no price.</summary>
    public static bool TryCreate(long prompt, long completion, long image, out UnitPrices prices)
    {
        var arePrices = prompt is >= 0 and <= MaxValue && completion is >= 0 and <= MaxValue && image is >= 0 and <= MaxValue;
        prices = arePrices ? new UnitPrices(new MicroDollars(prompt), new MicroDollars(completion), new MicroDollars(image)) : default;
        return arePrices;
    }

    /// <summary>Reads <c>prompt, completion, image</c>, a list of RFC 9651 of three whole numbers.</summary>
    public static bool TryParse(string? text, out UnitPrices prices)
    {
        prices = default;
        if (text is not { Length: > 0 and <= 64 })
            return false;
        var parts = text.Split(',');
        return parts is [var first, var second, var third]
            && Read(first, out var prompt) && Read(second, out var completion) && Read(third, out var image)
            && TryCreate(prompt, completion, image, out prices);

        static bool Read(string part, out long number) =>
            long.TryParse(part.AsSpan().Trim(' '), NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    /// <summary>Whether no kind of unit costs more than it does there.</summary>
    public bool IsWithin(UnitPrices most) => Prompt <= most.Prompt && Completion <= most.Completion && Image <= most.Image;

    /// <summary>What so many units of an unknown kind cost at the most, rounded up; null where that is no amount.</summary>
    public MicroDollars? MostFor(ComputeUnits units)
    {
        var millionths = (Int128)Math.Max(units.Value, 0) * Dearest.Value;
        var rounded = (millionths + PerMicroDollar - 1) / PerMicroDollar;
        return rounded <= MicroDollars.MaxValue ? new MicroDollars((long)rounded) : null;
    }

    /// <summary>What units that were bought so are worth, rounded down: never more than was paid.</summary>
    /// <exception cref="OverflowException">They were never bought: that is no amount.</exception>
    public MicroDollars WorthOf(ComputeUnits units) => Cost.Of((Int128)units.Value * Dearest.Value).Whole;

    /// <summary>What a request cost, exactly.</summary>
    /// <exception cref="OverflowException">It was never reserved: that is no amount.</exception>
    public Cost CostOf(Usage usage) => Cost.Of(Millionths(usage));

    /// <summary>No more than can be paid; what is too much is taken from the pixels first, then from the completion, then from the prompt.</summary>
    public Usage Within(Usage usage, Cost most)
    {
        var left = most.Millionths;
        var prompt = Take(usage.PromptTokens, Prompt, ref left);
        var completion = Take(usage.CompletionTokens, Completion, ref left);
        return new Usage(prompt, completion) { Pixels = Take(usage.Pixels, Image, ref left) };

        static long Take(long units, MicroDollars price, ref Int128 left)
        {
            if (price == MicroDollars.Zero)
                return units;
            var taken = (long)Int128.Min(units, left / price.Value);
            left -= (Int128)taken * price.Value;
            return taken;
        }
    }

    /// <summary>As <see cref="TryParse"/> reads it.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Prompt.Value}, {Completion.Value}, {Image.Value}");

    private Int128 Millionths(Usage usage) =>
        ((Int128)usage.PromptTokens * Prompt.Value) + ((Int128)usage.CompletionTokens * Completion.Value) + ((Int128)usage.Pixels * Image.Value);
}

/// <summary>What a request cost, exactly: a unit's price is a number of millionths of a micro-dollar.</summary>
/// <param name="Whole">Micro-dollars.</param>
/// <param name="Part">What is left, in millionths of one: 0 to 999,999.</param>
public readonly record struct Cost(MicroDollars Whole, int Part)
{
    public bool IsNothing => this == default;

    internal Int128 Millionths => ((Int128)Whole.Value * UnitPrices.PerMicroDollar) + Part;

    internal static Cost Of(Int128 millionths)
    {
        var (whole, part) = Int128.DivRem(millionths, UnitPrices.PerMicroDollar);
        return whole >= 0 && whole <= MicroDollars.MaxValue && part >= 0
            ? new Cost(new MicroDollars((long)whole), (int)part)
            : throw new OverflowException("That is no amount of money.");
    }
}
