using System.Globalization;
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>The members of a request, read with the rules that all endpoints of this engine share.</summary>
/// <remarks>Values are read where they stand and as far as they are good: a tree of them would cost twenty times their bytes.</remarks>
internal sealed class RequestMembers
{
    private const int StopsMax = 4; // as the API has it

    private static readonly JsonReaderOptions Depth = new() { MaxDepth = InferenceJson.DepthMax };

    private readonly JsonMembers members;

    private RequestMembers(JsonMembers members, RequestLimits limits)
    {
        this.members = members;
        Limits = limits;
    }

    /// <summary>Reads a request; total over all byte strings.</summary>
    /// <param name="body">UTF-8 JSON.</param>
    /// <param name="limits">What the model can take.</param>
    /// <param name="read">Makes the request of its members, or throws <see cref="RefusedFieldException"/>.</param>
    /// <param name="refused">Why the result is null; without a member where the whole is no JSON object, too deep a one, or one of too many members.</param>
    public static T? Read<T>(ReadOnlyMemory<byte> body, RequestLimits limits, Func<RequestMembers, T> read, out InferenceStart.Refused? refused)
        where T : class
    {
        refused = null;
        try
        {
            if (JsonMembers.Read(body, InferenceJson.MembersMax) is { } members)
                return read(new RequestMembers(members, limits));
            refused = new InferenceStart.Refused(InferenceRefusal.InvalidField);
        }
        catch (RefusedFieldException e)
        {
            refused = new InferenceStart.Refused(e.Reason, e.Field);
        }

        return null;
    }

    public RequestLimits Limits { get; }

    /// <summary>A reader before a value's first token.</summary>
    public static Utf8JsonReader Reader(ReadOnlyMemory<byte> value) => new(value.Span, Depth);

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
        var stops = new List<string>();
        var reader = Reader(value);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            stops.Add(Text(ref reader, Field));
        }
        else
        {
            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                if (stops.Count == StopsMax)
                    throw new RefusedFieldException(Field);
                stops.Add(Text(ref reader, Field));
            }
        }

        return stops.TrueForAll(stop => stop.Length > 0) ? stops : throw new RefusedFieldException(Field);
    }

    private List<LlamaNative.LogitBias> ReadBias()
    {
        const string Field = "logit_bias";
        if (!TryMember(Field, out var value))
            return [];
        var reader = Reader(value);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new RefusedFieldException(Field);
        var biases = new SortedDictionary<int, float>();
        for (var read = 0; reader.Read() && reader.TokenType == JsonTokenType.PropertyName; read++)
        {
            if (read == Limits.TokenCount
                || !int.TryParse(JsonMembers.Name(ref reader), NumberStyles.None, CultureInfo.InvariantCulture, out var token) || token >= Limits.TokenCount)
                throw new RefusedFieldException(Field);
            reader.Read();
            biases[token] = Number(ref reader, Field, -100, 100);
        }

        return [.. biases.Select(bias => new LlamaNative.LogitBias(bias.Key, bias.Value))];
    }

    public bool ReadIncludeUsage()
    {
        const string Field = "stream_options";
        if (!TryMember(Field, out var value))
            return false;
        if (JsonMembers.Read(value, InferenceJson.MembersMax) is not { } options)
            throw new RefusedFieldException(Field);
        if (options.Find("include_usage") is not { } include)
            return false;
        return JsonMembers.IsTrue(include) || (JsonMembers.IsFalse(include) || JsonMembers.IsNull(include) ? false : throw new RefusedFieldException(Field));
    }

    /// <summary>A member that is there and not null. The last of two of one name counts.</summary>
    public bool TryMember(string field, out ReadOnlyMemory<byte> value)
    {
        var found = members.Find(field);
        value = found ?? default;
        return found is not null && !JsonMembers.IsNull(value);
    }

    public void RefuseUnless(string field, Func<ReadOnlyMemory<byte>, bool> isHarmless)
    {
        if (TryMember(field, out var value) && !isHarmless(value))
            throw new RefusedFieldException(field);
    }

    public long? Integer(string field, long minimum, long maximum)
    {
        if (!TryMember(field, out var value))
            return null;
        return JsonMembers.Integer(value) is { } number && number >= minimum && number <= maximum ? number : throw new RefusedFieldException(field);
    }

    private float? Number(string field, double minimum, double maximum, bool aboveMinimum = false)
    {
        if (!TryMember(field, out var value))
            return null;
        var reader = Reader(value);
        reader.Read();
        var number = Number(ref reader, field, minimum, maximum);
        // A number so small that it is no float is none.
        return aboveMinimum && number <= minimum ? throw new RefusedFieldException(field) : number;
    }

    private static float Number(ref Utf8JsonReader reader, string field, double minimum, double maximum) =>
        reader.TokenType == JsonTokenType.Number && reader.TryGetDouble(out var number) && number >= minimum && number <= maximum
            ? (float)number
            : throw new RefusedFieldException(field);

    /// <summary>The text at which the reader stands. Half of a surrogate pair is no character: JSON can write it, UTF-8 cannot.</summary>
    public static string Text(ref Utf8JsonReader reader, string field) =>
        reader.TokenType == JsonTokenType.String && JsonMembers.Text(ref reader) is { } text ? text : throw new RefusedFieldException(field);

    public static string Text(ReadOnlyMemory<byte> value, string field) => JsonMembers.String(value) ?? throw new RefusedFieldException(field);

    public static bool IsText(ReadOnlyMemory<byte> value, string text) => JsonMembers.String(value) == text;

    public static bool IsEmptyArray(ReadOnlyMemory<byte> value)
    {
        var reader = Reader(value);
        return reader.Read() && reader.TokenType == JsonTokenType.StartArray && reader.Read() && reader.TokenType == JsonTokenType.EndArray;
    }

    /// <summary>An object whose <c>type</c> is <c>text</c>.</summary>
    public static bool IsOfText(ReadOnlyMemory<byte> value) =>
        JsonMembers.Read(value, InferenceJson.MembersMax)?.Find("type") is { } type && IsText(type, "text");

    public static long? Smaller(long? one, long? other) => one is { } a && other is { } b ? Math.Min(a, b) : one ?? other;
}

/// <summary>What a request can ask of the model.</summary>
/// <param name="TokenCount">Token ids are below this.</param>
/// <param name="Context">What a prompt can have.</param>
internal readonly record struct RequestLimits(int TokenCount, ContextBound Context);
