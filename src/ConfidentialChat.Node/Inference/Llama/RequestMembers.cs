using System.Globalization;
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>The members of a request, read with the rules that all endpoints of this engine share.</summary>
internal sealed class RequestMembers
{
    private const int StopsMax = 4; // as the API has it

    private readonly Dictionary<string, JsonElement> members = new(StringComparer.Ordinal);
    private readonly int tokenCount;

    private RequestMembers(JsonElement root, int tokenCount)
    {
        this.tokenCount = tokenCount;
        foreach (var member in root.EnumerateObject())
        {
            // The last of two members of one name counts.
            if (TryName(member) is { } name)
                members[name] = member.Value;
        }
    }

    /// <summary>Reads a request; total over all byte strings.</summary>
    /// <param name="body">UTF-8 JSON.</param>
    /// <param name="tokenCount">Token ids are below this.</param>
    /// <param name="read">Makes the request of its members, or throws <see cref="RefusedFieldException"/>.</param>
    /// <param name="field">The member at fault where the result is null; null itself where the whole is no JSON object, or too deep a one.</param>
    public static T? Read<T>(ReadOnlyMemory<byte> body, int tokenCount, Func<RequestMembers, T> read, out string? field)
        where T : class
    {
        field = null;
        try
        {
            using var document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = InferenceJson.DepthMax });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                return null;
            return read(new RequestMembers(document.RootElement, tokenCount));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null; // InvalidOperationException: half a surrogate in a member's name
        }
        catch (RefusedFieldException refused)
        {
            field = refused.Field;
            return null;
        }
    }

    /// <summary>Token ids are below this.</summary>
    public int TokenCount => tokenCount;

    public Sampling ReadSampling() => new()
    {
        Temperature = Number("temperature", 0, 2) ?? 1f,
        TopP = Number("top_p", 0, 1, aboveMinimum: true) ?? 1f,
        TopK = (int)(Integer("top_k", -1, int.MaxValue) ?? 0),
        MinP = Number("min_p", 0, 1) ?? 0f,
        FrequencyPenalty = Number("frequency_penalty", -2, 2) ?? 0f,
        PresencePenalty = Number("presence_penalty", -2, 2) ?? 0f,
        Seed = Integer("seed", long.MinValue, long.MaxValue),
        Bias = ReadBias(),
    };

    public List<string> ReadStops()
    {
        const string Field = "stop";
        if (!TryMember(Field, out var value))
            return [];
        List<string> stops = value.ValueKind == JsonValueKind.Array
            ? value.GetArrayLength() <= StopsMax
                ? [.. value.EnumerateArray().Select(stop => Text(stop, Field))]
                : throw new RefusedFieldException(Field)
            : [Text(value, Field)];
        return stops.TrueForAll(stop => stop.Length > 0) ? stops : throw new RefusedFieldException(Field);
    }

    private List<LlamaNative.LogitBias> ReadBias()
    {
        const string Field = "logit_bias";
        if (!TryMember(Field, out var value))
            return [];
        if (value.ValueKind != JsonValueKind.Object)
            throw new RefusedFieldException(Field);
        var biases = new SortedDictionary<int, float>();
        foreach (var member in value.EnumerateObject())
        {
            if (!int.TryParse(TryName(member), NumberStyles.None, CultureInfo.InvariantCulture, out var token) || token >= tokenCount)
                throw new RefusedFieldException(Field);
            biases[token] = Number(member.Value, Field, -100, 100);
        }

        return [.. biases.Select(bias => new LlamaNative.LogitBias(bias.Key, bias.Value))];
    }

    public bool ReadIncludeUsage()
    {
        const string Field = "stream_options";
        if (!TryMember(Field, out var value))
            return false;
        if (value.ValueKind != JsonValueKind.Object)
            throw new RefusedFieldException(Field);
        if (!value.TryGetProperty("include_usage", out var include))
            return false;
        return include.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False or JsonValueKind.Null => false,
            _ => throw new RefusedFieldException(Field),
        };
    }

    public bool TryMember(string field, out JsonElement value) =>
        members.TryGetValue(field, out value) && value.ValueKind != JsonValueKind.Null;

    public void RefuseUnless(string field, Func<JsonElement, bool> isHarmless)
    {
        if (TryMember(field, out var value) && !isHarmless(value))
            throw new RefusedFieldException(field);
    }

    public long? Integer(string field, long minimum, long maximum)
    {
        if (!TryMember(field, out var value))
            return null;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) && number >= minimum && number <= maximum
            ? number
            : throw new RefusedFieldException(field);
    }

    private float? Number(string field, double minimum, double maximum, bool aboveMinimum = false)
    {
        if (!TryMember(field, out var value))
            return null;
        var number = Number(value, field, minimum, maximum);
        // A number so small that it is no float is none.
        return aboveMinimum && number <= minimum ? throw new RefusedFieldException(field) : number;
    }

    private static float Number(JsonElement value, string field, double minimum, double maximum) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number >= minimum && number <= maximum
            ? (float)number
            : throw new RefusedFieldException(field);

    public static string Text(JsonElement value, string field)
    {
        if (value.ValueKind != JsonValueKind.String)
            throw new RefusedFieldException(field);
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            // Half of a surrogate pair is no character: JSON can write it, UTF-8 cannot.
            throw new RefusedFieldException(field);
        }
    }

    public static string? TryName(JsonProperty member)
    {
        try
        {
            return member.Name;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    public static bool IsText(JsonElement value, string text)
    {
        try
        {
            return value.ValueKind == JsonValueKind.String && value.ValueEquals(text);
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    public static bool IsEmptyArray(JsonElement value) => value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0;

    public static long? Smaller(long? one, long? other) => one is { } a && other is { } b ? Math.Min(a, b) : one ?? other;
}

/// <summary>A member is at fault: one of many, at any depth.</summary>
internal sealed class RefusedFieldException(string field) : Exception
{
    public string Field { get; } = field;
}
