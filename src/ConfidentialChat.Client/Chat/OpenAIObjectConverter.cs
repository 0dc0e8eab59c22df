using System.Collections;
using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Chat;

/// <summary>
/// Reads and writes <see cref="OpenAIObject"/>s without loss: a member that was read is written where it stood, a null as a null,
/// and one that was absent only when it has been set since. Requests are read as the API has them, answers as engines write them.
/// </summary>
internal sealed class OpenAIObjectConverter : JsonConverter<OpenAIObject>
{
    /// <summary>The members without which an answer is none.</summary>
    private static readonly FrozenSet<string> Vital = FrozenSet.ToFrozenSet(
        ["choices", "message", "delta", "content", "text", "data", "embedding"], StringComparer.Ordinal);

    private delegate bool ReadValue(ref Utf8JsonReader reader, JsonSerializerOptions options, bool strictly, out object? value);

    public override bool CanConvert(Type typeToConvert) => typeToConvert.IsAssignableTo(typeof(OpenAIObject));

    public override OpenAIObject Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        Read(ref reader, Shape.Of(typeToConvert), options, strictly: typeToConvert.IsAssignableTo(typeof(IModelRequest))) ?? throw new JsonException();

    public override void Write(Utf8JsonWriter writer, OpenAIObject value, JsonSerializerOptions options)
    {
        var shape = Shape.Of(value.GetType());
        writer.WriteStartObject();
        foreach (var (name, wasNull) in value.Read)
        {
            if (shape.TryGet(name, out var member) && !value.IsLoose(name, member.Get(value)))
                WriteMember(member, writeNull: wasNull);
            else if (value.Extra is { } extra && extra.TryGetValue(name, out var element))
                WriteExtra(name, element);
        }

        // What was not read: a number that stands at its zero in an object that was read has not been set.
        foreach (var member in shape.Members)
        {
            if (!value.WasRead(member.Name) && (value.Read.Count == 0 || !(member.IsZero(member.Get(value)) || value.IsLoose(member.Name, member.Get(value)))))
                WriteMember(member, writeNull: false);
        }

        foreach (var (name, element) in value.Extra ?? Enumerable.Empty<KeyValuePair<string, JsonElement>>())
        {
            if (!value.WasRead(name))
                WriteExtra(name, element);
        }

        writer.WriteEndObject();

        void WriteMember(Member member, bool writeNull)
        {
            var content = member.Get(value);
            if (content is null && !writeNull)
                return;
            writer.WritePropertyName(member.Name);
            if (content is string text)
                JsonText.Write(writer, text);
            else
                JsonSerializer.Serialize(writer, content, options.GetTypeInfo(member.Type));
        }

        void WriteExtra(string name, JsonElement element)
        {
            writer.WritePropertyName(name);
            JsonText.Write(writer, element);
        }
    }

    // Null where it is no such object; the reader is anywhere then.
    private static OpenAIObject? Read(ref Utf8JsonReader reader, Shape shape, JsonSerializerOptions options, bool strictly)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            return null;
        var target = shape.Create();
        var next = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (shape.Find(ref reader, ref next) is { } member)
            {
                reader.Read();
                if (!TryRead(ref reader, member, target, options, strictly))
                    return null;
            }
            else
            {
                var name = JsonText.Read(in reader);
                reader.Read();
                Keep(ref reader, target, name);
            }
        }

        foreach (var member in shape.Required)
        {
            if (member.Get(target) is null && (strictly || !target.TryStandInFor(member.Name)))
                return null;
        }

        return target;
    }

    private static bool TryRead(ref Utf8JsonReader reader, Member member, OpenAIObject target, JsonSerializerOptions options, bool strictly)
    {
        var start = reader;
        var isNull = reader.TokenType == JsonTokenType.Null;
        object? value = null;
        if (isNull ? member.IsNullable : member.Read(ref reader, options, strictly, out value))
        {
            member.Set(target, value);
            target.NoteRead(member.Name, isNull);
            return true;
        }

        // Of another kind than the API has it.
        reader = start;
        var isRead = member.TryReadLoosely(reader, out value);
        if (strictly || (!isNull && !isRead && Vital.Contains(member.Name)))
            return false;
        if (isRead)
            member.Set(target, value);
        target.NoteLoose(member.Name, member.Get(target), isRead);
        Keep(ref reader, target, member.Name);
        return true;
    }

    private static void Keep(ref Utf8JsonReader reader, OpenAIObject target, string name)
    {
        (target.Extra ??= new Dictionary<string, JsonElement>(StringComparer.Ordinal))[name] = JsonElement.ParseValue(ref reader);
        target.NoteRead(name, isNull: false);
    }

    // The kinds that chunks are made of are read where they stand. The serializer would look each value up and scan it once more at every
    // level that it is nested in: of a stream, that was most of what the client does.
    private static ReadValue ReaderOf(string name, Type type)
    {
        var kind = Nullable.GetUnderlyingType(type) ?? type;
        if (kind == typeof(string))
        {
            return name == "finish_reason"
                ? static (ref reader, _, _, out value) => (value = StreamEnding.IsReason(in reader) ? JsonText.Read(in reader) : null) is not null
                : static (ref reader, _, _, out value) => (value = reader.TokenType == JsonTokenType.String ? JsonText.Read(in reader) : null) is not null;
        }

        if (kind == typeof(long))
            return static (ref reader, _, _, out value) => (value = InferenceJson.TryGetInteger(in reader, out var number) ? number : null) is not null;
        if (kind == typeof(int))
            return static (ref reader, _, _, out value) => (
                value = InferenceJson.TryGetInteger(in reader, out var number) && (int)number == number ? (int)number : null) is not null;
        if (kind == typeof(bool))
            return static (ref reader, _, _, out value) => (
                value = reader.TokenType is JsonTokenType.True or JsonTokenType.False ? reader.GetBoolean() : null) is not null;
        if (kind.IsAssignableTo(typeof(OpenAIObject)))
            return (ref reader, options, strictly, out value) => (value = Read(ref reader, Shape.Of(kind), options, strictly)) is not null;
        if (kind.IsGenericType && kind.GetGenericTypeDefinition() == typeof(IList<>) && kind.GenericTypeArguments[0].IsAssignableTo(typeof(OpenAIObject)))
        {
            var element = kind.GenericTypeArguments[0];
            var makeList = OpenAIObjectMaker.Of(element).MakeList;
            return (ref reader, options, strictly, out value) => (
                value = ReadList(ref reader, makeList(), Shape.Of(element), options, strictly)) is not null;
        }

        return (ref reader, options, _, out value) =>
        {
            try
            {
                value = JsonSerializer.Deserialize(ref reader, options.GetTypeInfo(type));
                return true;
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException)
            {
                value = null;
                return false;
            }
        };
    }

    private static IList? ReadList(ref Utf8JsonReader reader, IList list, Shape shape, JsonSerializerOptions options, bool strictly)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
            return null;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType == JsonTokenType.Null && strictly)
            {
                list.Add(null);
                continue;
            }

            if (Read(ref reader, shape, options, strictly) is not { } item)
                return null;
            if (item is IPlaced placed && !item.Says("index"))
            {
                placed.Index = list.Count;
                item.NoteLoose("index", placed.Index, isRead: false);
            }

            list.Add(item);
        }

        return list;
    }

    // What can be read of a value that is of another kind than its property.
    private static bool TryReadLoosely(Utf8JsonReader reader, string name, Type type, out object? value)
    {
        var kind = Nullable.GetUnderlyingType(type) ?? type;
        value = null;
        if (kind == typeof(long) || kind == typeof(int))
        {
            var number = 0L;
            var isNumber = reader.TokenType == JsonTokenType.Number && reader.TryGetDouble(out var real) ? TryTruncate(real, out number)
                : reader.TokenType == JsonTokenType.String && InferenceJson.TryParseInteger(reader.ValueSpan, out number);
            if (isNumber && kind == typeof(long))
                value = number;
            else if (isNumber && (int)number == number)
                value = (int)number;
        }
        else if (kind == typeof(string) && name == "arguments")
        {
            value = reader.TokenType == JsonTokenType.Null ? null : JsonElement.ParseValue(ref reader).GetRawText();
        }
        else if (kind == typeof(string) && name == "content" && reader.TokenType == JsonTokenType.StartArray)
        {
            value = TextOfParts(ref reader);
        }

        return value is not null;

        static bool TryTruncate(double real, out long number)
        {
            number = real is > -9e18 and < 9e18 ? (long)real : 0;
            return number != 0 || real is > -1 and < 1;
        }
    }

    private static string TextOfParts(ref Utf8JsonReader reader)
    {
        var text = new StringBuilder();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.StartObject)
            {
                reader.Skip();
                continue;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var isText = InferenceJson.IsNamed(in reader, "text"u8);
                reader.Read();
                if (isText && reader.TokenType == JsonTokenType.String)
                    text.Append(JsonText.Read(in reader));
                reader.Skip();
            }
        }

        return text.ToString();
    }

    /// <summary>The members of one type that have properties, in the order in which they are declared.</summary>
    private sealed class Shape
    {
        private static readonly ConcurrentDictionary<Type, Shape> Shapes = [];

        private readonly Func<OpenAIObject> make;
        private readonly FrozenDictionary<string, Member> byName;

        private Shape(Type type)
        {
            make = OpenAIObjectMaker.Of(type).Make;
            // The context's own options do not know the converter above, and so describe the type's properties.
            var members = OpenAIJsonContext.Default.GetTypeInfo(type)!.Properties.Where(member => !member.IsExtensionData).ToList();
            Members = [.. members.Select(member => new Member(member))];
            Required = [.. Members.Where(member => member.IsRequired)];
            byName = Members.ToFrozenDictionary(member => member.Name, StringComparer.Ordinal);
        }

        public Member[] Members { get; }

        public Member[] Required { get; }

        public static Shape Of(Type type) => Shapes.GetOrAdd(type, static type => new Shape(type));

        public OpenAIObject Create() => make();

        public bool TryGet(string name, [NotNullWhen(true)] out Member? member) => byName.TryGetValue(name, out member);

        /// <summary>The member whose name the reader is at, or null.</summary>
        /// <param name="reader">At a name.</param>
        /// <param name="next">Where to look first: engines write members in the order in which they are declared, mostly.</param>
        public Member? Find(ref Utf8JsonReader reader, ref int next)
        {
            for (var i = 0; i < Members.Length; i++)
            {
                var at = (next + i) % Members.Length;
                if (!InferenceJson.IsNamed(in reader, Members[at].Utf8Name))
                    continue;
                next = at + 1;
                return Members[at];
            }

            return null;
        }
    }

    /// <summary>One property.</summary>
    private sealed class Member(JsonPropertyInfo property)
    {
        private readonly object? zero = ZeroOf(property.PropertyType);

        public string Name { get; } = property.Name;

        public byte[] Utf8Name { get; } = Encoding.UTF8.GetBytes(property.Name);

        public Type Type { get; } = property.PropertyType;

        public bool IsNullable => zero is null && property.IsSetNullable;

        public bool IsRequired { get; } = property.IsRequired;

        public ReadValue Read { get; } = ReaderOf(property.Name, property.PropertyType);

        public Func<object, object?> Get { get; } = property.Get!;

        public Action<object, object?> Set { get; } = property.Set!;

        public bool TryReadLoosely(Utf8JsonReader reader, out object? value) => OpenAIObjectConverter.TryReadLoosely(reader, Name, Type, out value);

        public bool IsZero(object? value) => zero is not null && zero.Equals(value);

        private static object? ZeroOf(Type type) => Type.GetTypeCode(type) switch
        {
            TypeCode.Int32 => 0,
            TypeCode.Int64 => 0L,
            TypeCode.Double => 0d,
            TypeCode.Boolean => false,
            _ when type.IsValueType && Nullable.GetUnderlyingType(type) is null => throw new NotSupportedException($"{type.Name} has no zero here."),
            _ => null,
        };
    }
}
