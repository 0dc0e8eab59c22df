// spec/gateway.md section 10.
using System.Globalization;

namespace ConfidentialChat.Protocol;

/// <summary>An amount of money: whole micro-dollars, millionths of a dollar, from none to <see cref="MaxValue"/>.</summary>
public readonly record struct MicroDollars : IComparable<MicroDollars>
{
    /// <summary>2^53 − 1, nine billion dollars: exact in every reader of JSON (RFC 8259 section 6), and no sum of a few overflows.</summary>
    public const long MaxValue = (1L << 53) - 1;

    private const long PerDollar = 1_000_000;
    private const int Places = 6;
    private const int MaxDollarDigits = 10; // of nine billion

    /// <exception cref="ArgumentOutOfRangeException">Negative, or above <see cref="MaxValue"/>.</exception>
    public MicroDollars(long value)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(value);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MaxValue);
        Value = value;
    }

    public static MicroDollars Zero => default;

    public long Value { get; }

    /// <summary>False for what is no amount.</summary>
    public static bool TryCreate(long value, out MicroDollars amount)
    {
        var isAmount = value is >= 0 and <= MaxValue;
        amount = isAmount ? new MicroDollars(value) : default;
        return isAmount;
    }

    public static bool operator <(MicroDollars one, MicroDollars other) => one.Value < other.Value;

    public static bool operator >(MicroDollars one, MicroDollars other) => one.Value > other.Value;

    public static bool operator <=(MicroDollars one, MicroDollars other) => one.Value <= other.Value;

    public static bool operator >=(MicroDollars one, MicroDollars other) => one.Value >= other.Value;

    public int CompareTo(MicroDollars other) => Value.CompareTo(other.Value);

    /// <summary>
    /// Reads dollars as people type them, <c>12</c> or <c>12.345</c>: digits, and a point with one to six more. No sign, no comma, which is a
    /// thousand here and a fraction there, and no exponent; what is finer than a micro-dollar is not rounded but refused.
    /// </summary>
    public static bool TryParseDollars(string? text, out MicroDollars amount)
    {
        amount = default;
        if (text is null)
            return false;
        var point = text.IndexOf('.', StringComparison.Ordinal);
        var (whole, fraction) = point < 0 ? (text, "0") : (text[..point], text[(point + 1)..]);
        return whole.Length <= MaxDollarDigits && fraction.Length is > 0 and <= Places
            && long.TryParse(whole, NumberStyles.None, CultureInfo.InvariantCulture, out var dollars)
            && long.TryParse(fraction.PadRight(Places, '0'), NumberStyles.None, CultureInfo.InvariantCulture, out var millionths)
            && TryCreate((dollars * PerDollar) + millionths, out amount);
    }

    /// <summary>In dollars, with all six places: <c>12.000345</c>.</summary>
    public string ToDollars() => string.Create(CultureInfo.InvariantCulture, $"{Value / PerDollar}.{Value % PerDollar:D6}");

    /// <summary>The number of micro-dollars.</summary>
    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);
}
