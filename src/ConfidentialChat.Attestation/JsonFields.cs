// spec/attestation.md sections 5 and 11: JSON in which nothing stands twice.
using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace ConfidentialChat.Attestation;

/// <summary>
/// Reads one JSON object member by member. The first thing that is wrong is kept and everything after it reads as empty,
/// so that a parser is a list of members with one question at its end: <see cref="Fault"/>.
/// </summary>
internal sealed class JsonFields
{
    private static readonly JsonReaderOptions ReaderOptions = new() { MaxDepth = Bounds.JsonDepth };
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = Bounds.JsonDepth, AllowDuplicateProperties = false };
    private static readonly SearchValues<char> LowerHex = SearchValues.Create("0123456789abcdef");
    private static readonly JsonElement Empty = JsonElement.Parse("{}");

    private readonly JsonElement element;
    private readonly string path;
    private readonly FaultPlace place;
    private readonly HashSet<string> taken = new(StringComparer.Ordinal);

    private JsonFields(JsonElement element, string path, FaultPlace place)
    {
        this.path = path;
        this.place = place;
        if (element.ValueKind != JsonValueKind.Object)
            Wrong("", "an object");
        this.element = element.ValueKind == JsonValueKind.Object ? element : Empty;
    }

    /// <summary>The first thing that was wrong, anywhere in the document.</summary>
    public Rejection? Fault => place.First;

    /// <summary>Reads a document with the given parser.</summary>
    /// <param name="json">UTF-8; not to be changed while the parser runs.</param>
    /// <param name="bound">In bytes.</param>
    /// <param name="tokens">How many there may be: names, values, beginnings and ends.</param>
    /// <param name="name">How its faults call it.</param>
    /// <param name="parse">Reads the members. Its value counts where nothing was wrong.</param>
    /// <param name="value">What it made.</param>
    public static Rejection? Read<T>(ReadOnlyMemory<byte> json, int bound, int tokens, string name, Func<JsonFields, T> parse, out T? value)
        where T : class
    {
        value = null;
        if (json.Length > bound)
            return Rejection.TooLarge(bound, json.Length);
        try
        {
            // A document takes memory for each token, and time for each name that could be there twice.
            var reader = new Utf8JsonReader(json.Span, ReaderOptions);
            for (var count = 0; reader.Read(); count++)
            {
                if (count == tokens)
                    return Rejection.Malformed($"{name}: at most {tokens} tokens of JSON", "more");
            }

            using var document = JsonDocument.Parse(json, Options);
            var fields = new JsonFields(document.RootElement, name, new FaultPlace());
            var parsed = parse(fields);
            value = fields.Fault is null ? parsed : null;
            return fields.Fault;
        }
        // JsonDocument says "invalid operation" of text that is no UTF-8.
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or ArgumentException or OverflowException)
        {
            value = null;
            return Rejection.Malformed($"{name}: JSON in which nothing stands twice", "something else");
        }
    }

    /// <summary>The bytes of a member as they stand in the document, and its members.</summary>
    public JsonFields Raw(string name, out byte[] bytes)
    {
        var member = Take(name);
        bytes = member is { } found ? JsonMarshal.GetRawUtf8Value(found).ToArray() : [];
        return new JsonFields(member ?? Empty, $"{path}.{name}", place);
    }

    public JsonFields Object(string name) => new(Take(name) ?? Empty, $"{path}.{name}", place);

    /// <summary>An object, or null where it is absent.</summary>
    public JsonFields? OptionalObject(string name) => Has(name) ? Object(name) : null;

    public bool Has(string name) => element.TryGetProperty(name, out _);

    /// <summary>The names of the members, in their order.</summary>
    public IEnumerable<string> Names => element.EnumerateObject().Select(member => member.Name);

    public string Text(string name, int longest = 256)
    {
        if (Take(name) is not { } member)
            return "";
        if (member.ValueKind == JsonValueKind.String && member.GetString() is { } text && text.Length <= longest)
            return text;
        Wrong(name, $"a text of at most {longest} characters");
        return "";
    }

    /// <summary>A text, or null where null is written.</summary>
    public string? NullableText(string name, int longest = 256)
    {
        if (!element.TryGetProperty(name, out var member) || member.ValueKind != JsonValueKind.Null)
            return Text(name, longest);
        taken.Add(name);
        return null;
    }

    public long Number(string name, long least, long most)
    {
        if (Take(name) is not { } member)
            return 0;
        if (member.ValueKind == JsonValueKind.Number && member.TryGetInt64(out var number) && number >= least && number <= most)
            return number;
        Wrong(name, $"a number from {least} to {most}");
        return 0;
    }

    /// <summary>To the second, in UTC, as Intel writes it.</summary>
    public DateTimeOffset Date(string name)
    {
        if (DateTimeOffset.TryParseExact(Text(name), "yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var date))
            return date;
        Wrong(name, "a date");
        return default;
    }

    /// <summary>Hexadecimal of either case.</summary>
    public byte[] Hex(string name, int size)
    {
        var text = Text(name, size * 2);
        var bytes = new byte[size];
        if (text.Length != size * 2 || Convert.FromHexString(text, bytes, out _, out _) != OperationStatus.Done)
            Wrong(name, $"{size} bytes in hexadecimal");
        return bytes;
    }

    /// <summary>Base64 in its one spelling.</summary>
    public byte[] Base64(string name, int most)
    {
        if (Take(name) is not { } member)
            return [];
        if (member.ValueKind == JsonValueKind.String && member.GetString() is { } text && StrictBase64(text) is { } bytes && bytes.Length <= most)
            return bytes;
        Wrong(name, $"at most {most} bytes in base64");
        return [];
    }

    public IReadOnlyList<JsonFields> List(string name, int most)
    {
        if (Take(name) is not { } member)
            return [];
        if (member.ValueKind == JsonValueKind.Array && member.GetArrayLength() <= most)
            return [.. member.EnumerateArray().Select((item, index) => new JsonFields(item, $"{path}.{name}[{index}]", place))];
        Wrong(name, $"a list of at most {most}");
        return [];
    }

    /// <summary>A list of objects; an absent one is empty.</summary>
    public IReadOnlyList<JsonFields> OptionalList(string name, int most) => Has(name) ? List(name, most) : [];

    public IReadOnlyList<string> Texts(string name, int most, int longest = 256)
    {
        if (Take(name) is not { } member)
            return [];
        if (member.ValueKind == JsonValueKind.Array && member.GetArrayLength() <= most
            && member.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String && item.GetString()!.Length <= longest))
            return [.. member.EnumerateArray().Select(item => item.GetString()!)];
        Wrong(name, $"a list of at most {most} texts");
        return [];
    }

    public IReadOnlyList<string> OptionalTexts(string name, int most) => Has(name) ? Texts(name, most) : [];

    /// <summary>A list of 32-byte values in lower-case hexadecimal.</summary>
    public IReadOnlyList<byte[]> Digests(string name, int most)
    {
        var texts = Texts(name, most, 64);
        if (texts.All(text => text.Length == 64 && !text.AsSpan().ContainsAnyExcept(LowerHex)))
            return [.. texts.Select(Convert.FromHexString)];
        Wrong(name, "SHA-256 in lower-case hexadecimal");
        return [];
    }

    /// <summary>Refuses every member that nobody asked for.</summary>
    public void End()
    {
        foreach (var member in element.EnumerateObject())
        {
            if (!taken.Contains(member.Name))
                place.First ??= Rejection.Malformed($"{path}: known members only", Shown.Text(member.Name));
        }
    }

    public void Wrong(string name, string expected) =>
        place.First ??= Rejection.Malformed(Shown.Text($"{path}{(name.Length > 0 ? "." : "")}{name}: {expected}"), "something else");

    /// <summary>Keeps another document's fault as this one's.</summary>
    public void Wrong(Rejection rejection) => place.First ??= rejection;

    internal static byte[]? StrictBase64(string text)
    {
        var bytes = new byte[text.Length / 4 * 3];
        // The decoder forgives blanks and stray bits; writing it again does not.
        return Convert.TryFromBase64String(text, bytes, out var written) && Convert.ToBase64String(bytes.AsSpan(0, written)) == text ? bytes[..written] : null;
    }

    private JsonElement? Take(string name)
    {
        taken.Add(name);
        if (element.TryGetProperty(name, out var member))
            return member;
        place.First ??= Rejection.Malformed(Shown.Text($"{path}.{name}"), "nothing");
        return null;
    }

    private sealed class FaultPlace
    {
        public Rejection? First { get; set; }
    }
}
