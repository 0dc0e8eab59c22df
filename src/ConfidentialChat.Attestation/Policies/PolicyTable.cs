// spec/attestation.md section 10. Reading takes each key out of the table, and whatever is left is refused.
using System.Globalization;
using Tomlyn.Model;

namespace ConfidentialChat.Attestation.Policies;

/// <summary>One table of a policy's text while it is read.</summary>
internal sealed class PolicyTable
{
    private readonly string name;
    private readonly Dictionary<string, object?> values;

    public PolicyTable(string name, TomlTable table)
    {
        this.name = name;
        values = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach (var (key, value) in table)
            values.Add(key, value);
    }

    /// <summary>A table below this one; an empty one where it is not written.</summary>
    public PolicyTable Table(string key) => Take(key) switch
    {
        null => new PolicyTable(Path(key), []),
        TomlTable table => new PolicyTable(Path(key), table),
        _ => throw Wrong(key, "a table"),
    };

    /// <summary>The tables that are left in this one, by their names.</summary>
    public IReadOnlyList<(string Name, PolicyTable Table)> Tables() => [.. values.Keys.ToList().Select(key => (key, Table(key)))];

    public bool Flag(string key, bool fallback) => Take(key) switch
    {
        null => fallback,
        bool value => value,
        _ => throw Wrong(key, "true or false"),
    };

    public int Number(string key, int fallback) => Take(key) switch
    {
        null => fallback,
        long value and >= 0 and <= int.MaxValue => (int)value,
        _ => throw Wrong(key, "a number that is not negative"),
    };

    /// <summary>A number; null where the word stands for it, or where it is absent.</summary>
    public int? NumberOr(string key, string word) => Take(key) switch
    {
        null => null,
        string value when value == word => null,
        long value and >= 0 and <= int.MaxValue => (int)value,
        _ => throw Wrong(key, $"a number that is not negative, or \"{word}\""),
    };

    /// <summary>Different numbers of a closed range.</summary>
    public IReadOnlyList<int> Numbers(string key, int highest) => Take(key) switch
    {
        null => [],
        TomlArray list when list.All(item => item is long number && number >= 0 && number <= highest) =>
            [.. list.Cast<long>().Select(number => (int)number).Distinct()],
        _ => throw Wrong(key, $"a list of numbers from 0 to {highest}"),
    };

    /// <summary>A hexadecimal value of one size; null where it is absent or "any".</summary>
    public byte[]? Bytes(string key, int size) => Take(key) switch
    {
        null or "any" => null,
        var item => Hex(key, item, size),
    };

    public string Word(string key, string fallback, params ReadOnlySpan<string> allowed) => Take(key) switch
    {
        null => fallback,
        string value when allowed.Contains(value) => value,
        _ => throw Wrong(key, "one of " + string.Join(", ", allowed.ToArray())),
    };

    public string? Text(string key) => Take(key) switch
    {
        null => null,
        string value => value,
        _ => throw Wrong(key, "a text"),
    };

    public IReadOnlyList<string> Words(string key, IReadOnlyList<string> fallback) => Take(key) switch
    {
        null => fallback,
        TomlArray list when list.All(item => item is string) => [.. list.Cast<string>()],
        _ => throw Wrong(key, "a list of texts"),
    };

    /// <summary>Words of a closed set.</summary>
    public IReadOnlyList<string> Words(string key, IReadOnlyList<string> fallback, IReadOnlyCollection<string> allowed)
    {
        var words = Words(key, fallback);
        return words.All(allowed.Contains) ? words : throw Wrong(key, "a list of " + string.Join(", ", allowed));
    }

    /// <summary>An integer and s, m, h or d. Null is "unlimited".</summary>
    public TimeSpan? Duration(string key, TimeSpan? fallback, bool mayBeUnlimited)
    {
        var value = Take(key);
        if (value is null)
            return fallback;
        if (value is "unlimited" && mayBeUnlimited)
            return null;
        if (value is not string { Length: >= 2 and <= 7 } text
            || !int.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            throw Wrong(key, mayBeUnlimited ? "\"7d\", \"90m\" or \"unlimited\", for example" : "\"2h\" or \"60s\", for example");
        return text[^1] switch
        {
            's' => TimeSpan.FromSeconds(number),
            'm' => TimeSpan.FromMinutes(number),
            'h' => TimeSpan.FromHours(number),
            'd' => TimeSpan.FromDays(number),
            _ => throw Wrong(key, "a number and s, m, h or d"),
        };
    }

    /// <summary>A list of hexadecimal values of one size, or "any".</summary>
    /// <param name="key">The measurement's name.</param>
    /// <param name="size">In bytes.</param>
    public ReferenceValues Values(string key, int size)
    {
        switch (Take(key))
        {
            case null:
                return ReferenceValues.Unnamed;
            case "any":
                return ReferenceValues.Any;
            case TomlArray list:
                return ReferenceValues.OneOf([.. list.Select(item => Hex(key, item, size))]);
            default:
                throw Wrong(key, $"a list of values of {size * 2} hexadecimal digits, or \"any\"");
        }
    }

    /// <summary>One hexadecimal value, or "any".</summary>
    /// <param name="key">The register's name.</param>
    /// <param name="size">In bytes.</param>
    public ReferenceValues Value(string key, int size) => Take(key) switch
    {
        null => ReferenceValues.Unnamed,
        "any" => ReferenceValues.Any,
        var item => ReferenceValues.OneOf(Hex(key, item, size)),
    };

    /// <summary>Refuses what nobody took: a misspelt restriction is no permission.</summary>
    public void End()
    {
        if (values.Keys.FirstOrDefault() is { } key)
            throw new PolicyException($"the policy has an unknown key: {Path(Shown.Text(key))}", "./cchat policy init prints every key that there is");
    }

    private byte[] Hex(string key, object? item, int size)
    {
        try
        {
            if (item is string text && text.Length == size * 2)
                return Convert.FromHexString(text);
        }
        catch (FormatException)
        {
        }

        throw Wrong(key, $"a list of values of {size * 2} hexadecimal digits, or \"any\"");
    }

    private object? Take(string key) => values.Remove(key, out var value) ? value ?? "" : null;

    private string Path(string key) => name.Length == 0 ? key : $"{name}.{key}";

    private PolicyException Wrong(string key, string expected) =>
        new($"the policy's {Path(key)} is wrong: expected {expected}", "./cchat policy init prints one that is right");
}
