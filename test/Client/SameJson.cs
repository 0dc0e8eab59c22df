using System.Text.Json;

namespace ConfidentialChat.Client.Tests;

/// <summary>The same JSON: the same members in the same order with the same values, whatever the blanks and escapes.</summary>
internal static class SameJson
{
    public static void ShouldBeSameJson(this string written, string expected, string from) =>
        Difference(JsonElement.Parse(written), JsonElement.Parse(expected), "$").ShouldBeNull($"{from}\n{expected}\n{written}");

    private static string? Difference(JsonElement written, JsonElement expected, string path)
    {
        if (written.ValueKind != expected.ValueKind)
            return $"{path}: {written.ValueKind} and not {expected.ValueKind}";
        switch (expected.ValueKind)
        {
            case JsonValueKind.Object:
                var (left, right) = (written.EnumerateObject().ToList(), expected.EnumerateObject().ToList());
                return left.Select(member => member.Name).SequenceEqual(right.Select(member => member.Name), StringComparer.Ordinal)
                    ? left.Zip(right).Select(pair => Difference(pair.First.Value, pair.Second.Value, $"{path}.{pair.First.Name}"))
                        .FirstOrDefault(found => found is not null)
                    : $"{path}: {string.Join(',', left.Select(member => member.Name))} and not {string.Join(',', right.Select(member => member.Name))}";
            case JsonValueKind.Array:
                return written.GetArrayLength() == expected.GetArrayLength()
                    ? written.EnumerateArray().Zip(expected.EnumerateArray())
                        .Select((pair, i) => Difference(pair.First, pair.Second, $"{path}[{i}]")).FirstOrDefault(found => found is not null)
                    : $"{path}: {written.GetArrayLength()} items and not {expected.GetArrayLength()}";
            default:
                return JsonElement.DeepEquals(written, expected) ? null : path;
        }
    }
}
