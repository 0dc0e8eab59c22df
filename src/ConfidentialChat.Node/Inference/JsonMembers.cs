// spec/inference.md section 4: what is not changed is passed on byte for byte.
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference;

/// <summary>One member of an object, as a place in its text.</summary>
/// <param name="Name">Unescaped; null where it is no text (half a surrogate pair), or longer than any name that is looked for.</param>
/// <param name="Start">Where the name's quote is.</param>
/// <param name="ValueStart">Where the value begins.</param>
/// <param name="End">Behind the value.</param>
internal readonly record struct JsonMember(string? Name, int Start, int ValueStart, int End);

/// <summary>A JSON object taken apart into its members without reading their values, and put together again from the same bytes.</summary>
/// <remarks>Numbers that no machine type holds, the order of members and every escape survive.</remarks>
internal sealed class JsonMembers
{
    public const int DepthMax = InferenceJson.DepthMax; // of requests, and of answers too

    private const int NameMax = 40; // bytes; the longest name of spec/inference.md has 22 letters, also with the letters that fold into it
    private const int EscapeSize = 6; // \u0061, the longest way to write a byte

    /// <summary>No value. A bare null beside a memory would be taken for an array that is null, and so for an empty memory.</summary>
    public static readonly ReadOnlyMemory<byte>? Gone;

    private static readonly ReadOnlyMemory<byte> Comma = ","u8.ToArray();

    private readonly ReadOnlyMemory<byte> json;
    private readonly List<JsonMember> members = [];

    private JsonMembers(ReadOnlyMemory<byte> json) => this.json = json;

    public IReadOnlyList<JsonMember> All => members;

    /// <summary>Null where the bytes are not one JSON object in UTF-8, or one of more members than that.</summary>
    public static JsonMembers? Read(ReadOnlyMemory<byte> json, int membersMax = int.MaxValue)
    {
        if (!Utf8.IsValid(json.Span))
            return null;
        var read = new JsonMembers(json);
        var reader = new Utf8JsonReader(json.Span, new JsonReaderOptions { MaxDepth = DepthMax });
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return null;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (read.members.Count == membersMax)
                    return null;
                var start = (int)reader.TokenStartIndex;
                var name = Name(ref reader);
                reader.Read();
                var valueStart = (int)reader.TokenStartIndex;
                reader.Skip();
                read.members.Add(new JsonMember(name, start, valueStart, (int)reader.BytesConsumed));
            }

            return reader.TokenType == JsonTokenType.EndObject && !reader.Read() ? read : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public ReadOnlyMemory<byte> Value(JsonMember member) => json[member.ValueStart..member.End];

    /// <summary>The last member of a name, as most readers take it.</summary>
    public ReadOnlyMemory<byte>? Find(string name)
    {
        for (var i = members.Count - 1; i >= 0; i--)
        {
            if (string.Equals(members[i].Name, name, StringComparison.Ordinal))
                return Value(members[i]);
        }

        return null;
    }

    /// <summary>The object with other values, in pieces that lie in this one where they are its own.</summary>
    /// <param name="change">The value of a member: the same, another, or null to leave it out.</param>
    /// <param name="added">Members behind the rest, each with its value as JSON.</param>
    public IReadOnlyList<ReadOnlyMemory<byte>> Write(
        Func<JsonMember, ReadOnlyMemory<byte>, ReadOnlyMemory<byte>?> change, IEnumerable<(string Name, ReadOnlyMemory<byte> Value)> added)
    {
        var pieces = new List<ReadOnlyMemory<byte>> { "{"u8.ToArray() };
        foreach (var member in members)
        {
            if (change(member, Value(member)) is not { } value)
                continue;
            Separate();
            pieces.Add(json[member.Start..member.ValueStart]); // the name and its colon
            pieces.Add(value);
        }

        foreach (var (name, value) in added)
        {
            Separate();
            pieces.Add(Encoding.UTF8.GetBytes($"\"{name}\":"));
            pieces.Add(value);
        }

        pieces.Add("}"u8.ToArray());
        return pieces;

        void Separate()
        {
            if (pieces.Count > 1)
                pieces.Add(Comma);
        }
    }

    /// <summary>The pieces as one.</summary>
    public static byte[] Join(IReadOnlyList<ReadOnlyMemory<byte>> pieces)
    {
        var joined = new byte[pieces.Sum(piece => piece.Length)];
        var rest = joined.AsSpan();
        foreach (var piece in pieces)
        {
            piece.Span.CopyTo(rest);
            rest = rest[piece.Length..];
        }

        return joined;
    }

    /// <summary>A value that is a whole number, however it is written.</summary>
    public static long? Integer(ReadOnlyMemory<byte> value)
    {
        var reader = new Utf8JsonReader(value.Span);
        return reader.Read() && InferenceJson.TryGetInteger(in reader, out var number) ? number : null;
    }

    /// <summary>A value that is text.</summary>
    public static string? String(ReadOnlyMemory<byte> value)
    {
        if (!IsString(value))
            return null;
        var reader = new Utf8JsonReader(value.Span);
        return reader.Read() && reader.TokenType == JsonTokenType.String ? Text(ref reader) : null;
    }

    public static bool IsString(ReadOnlyMemory<byte> value) => value.Span is [(byte)'"', ..];

    public static bool IsNull(ReadOnlyMemory<byte> value) => value.Span.SequenceEqual("null"u8);

    public static bool IsFalse(ReadOnlyMemory<byte> value) => value.Span.SequenceEqual("false"u8);

    public static bool IsTrue(ReadOnlyMemory<byte> value) => value.Span.SequenceEqual("true"u8);

    /// <summary>The name at which the reader stands; null where it is longer than any that is looked for, or no text.</summary>
    public static string? Name(ref Utf8JsonReader reader) => Name(ref reader, out _);

    /// <inheritdoc cref="Name(ref Utf8JsonReader)"/>
    /// <param name="reader">At a name, or at text.</param>
    /// <param name="isText">False for half a surrogate pair. Each costs an exception: where many can stand, the first is to be refused.</param>
    public static string? Name(ref Utf8JsonReader reader, out bool isText)
    {
        isText = true;
        if (reader.ValueSpan.Length > NameMax * EscapeSize)
            return null;
        Span<byte> name = stackalloc byte[NameMax * EscapeSize];
        try
        {
            var length = reader.CopyString(name);
            return length > NameMax ? null : Encoding.UTF8.GetString(name[..length]);
        }
        catch (InvalidOperationException)
        {
            isText = false;
            return null;
        }
    }

    /// <summary>The text at which the reader stands; null where it is none.</summary>
    public static string? Text(ref Utf8JsonReader reader)
    {
        try
        {
            return reader.GetString();
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}
