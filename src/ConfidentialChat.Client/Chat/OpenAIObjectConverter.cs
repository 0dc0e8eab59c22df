using System.Collections;
using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace ConfidentialChat.Client.Chat;

/// <summary>
/// Reads and writes <see cref="OpenAIObject"/>s without loss: a member that was read is written where it stood, a null as a null,
/// and one that was absent only when it has been set since.
/// </summary>
internal sealed class OpenAIObjectConverter : JsonConverter<OpenAIObject>
{
    private delegate object? ReadValue(ref Utf8JsonReader reader, JsonSerializerOptions options);

    public override bool CanConvert(Type typeToConvert) => typeToConvert.IsAssignableTo(typeof(OpenAIObject));

    public override OpenAIObject Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        Read(ref reader, Shape.Of(typeToConvert), options);

    public override void Write(Utf8JsonWriter writer, OpenAIObject value, JsonSerializerOptions options)
    {
        var shape = Shape.Of(value.GetType());
        writer.WriteStartObject();
        foreach (var (name, wasNull) in value.Read)
        {
            if (shape.TryGet(name, out var member))
                WriteMember(member, writeNull: wasNull);
            else if (value.Extra is { } extra && extra.TryGetValue(name, out var element))
                WriteExtra(name, element);
        }

        // What was not read: a number that stands at its zero in an object that was read has not been set.
        foreach (var member in shape.Members)
        {
            if (!value.WasRead(member.Name) && (value.Read.Count == 0 || !member.IsZero(member.Get(value))))
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
            JsonSerializer.Serialize(writer, content, options.GetTypeInfo(member.Type));
        }

        void WriteExtra(string name, JsonElement element)
        {
            writer.WritePropertyName(name);
            element.WriteTo(writer);
        }
    }

    private static OpenAIObject Read(ref Utf8JsonReader reader, Shape shape, JsonSerializerOptions options)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new JsonException();
        var target = shape.Create();
        var next = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (shape.Find(ref reader, ref next) is { } member)
            {
                reader.Read();
                var value = reader.TokenType == JsonTokenType.Null ? null : member.Read(ref reader, options);
                if (value is null && !member.IsNullable)
                    throw new JsonException();
                member.Set(target, value);
                target.NoteRead(member.Name, isNull: value is null);
            }
            else
            {
                var name = reader.GetString()!;
                reader.Read();
                (target.Extra ??= new Dictionary<string, JsonElement>(StringComparer.Ordinal))[name] = JsonElement.ParseValue(ref reader);
                target.NoteRead(name, isNull: false);
            }
        }

        return Array.TrueForAll(shape.Required, target.WasRead) ? target : throw new JsonException();
    }

    // The kinds that chunks are made of are read where they stand. The serializer would look each value up and scan it once more at every
    // level that it is nested in: of a stream, that was most of what the client does.
    private static ReadValue ReaderOf(Type type)
    {
        var kind = Nullable.GetUnderlyingType(type) ?? type;
        if (kind == typeof(string))
            return static (ref reader, _) => reader.TokenType == JsonTokenType.String ? reader.GetString() : throw new JsonException();
        if (kind == typeof(long))
            return static (ref reader, _) => reader.TryGetInt64(out var number) ? number : throw new JsonException();
        if (kind == typeof(int))
            return static (ref reader, _) => reader.TryGetInt32(out var number) ? number : throw new JsonException();
        if (kind == typeof(bool))
            return static (ref reader, _) => reader.GetBoolean();
        if (kind.IsAssignableTo(typeof(OpenAIObject)))
            return (ref reader, options) => Read(ref reader, Shape.Of(kind), options);
        if (kind.IsGenericType && kind.GetGenericTypeDefinition() == typeof(IList<>) && kind.GenericTypeArguments[0].IsAssignableTo(typeof(OpenAIObject)))
        {
            var (element, list) = (kind.GenericTypeArguments[0], typeof(List<>).MakeGenericType(kind.GenericTypeArguments));
            return (ref reader, options) => ReadList(ref reader, (IList)Activator.CreateInstance(list)!, Shape.Of(element), options);
        }

        return (ref reader, options) => JsonSerializer.Deserialize(ref reader, options.GetTypeInfo(type));
    }

    private static IList ReadList(ref Utf8JsonReader reader, IList list, Shape shape, JsonSerializerOptions options)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
            throw new JsonException();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            list.Add(reader.TokenType == JsonTokenType.Null ? null : Read(ref reader, shape, options));
        return list;
    }

    /// <summary>The members of one type that have properties, in the order in which they are declared.</summary>
    private sealed class Shape
    {
        private static readonly ConcurrentDictionary<Type, Shape> Shapes = [];

        private readonly Type type;
        private readonly FrozenDictionary<string, Member> byName;

        private Shape(Type type)
        {
            this.type = type;
            // The context's own options do not know the converter above, and so describe the type's properties.
            var members = OpenAIJsonContext.Default.GetTypeInfo(type)!.Properties.Where(member => !member.IsExtensionData).ToList();
            Members = [.. members.Select(member => new Member(member))];
            Required = [.. members.Where(member => member.IsRequired).Select(member => member.Name)];
            byName = Members.ToFrozenDictionary(member => member.Name, StringComparer.Ordinal);
        }

        public Member[] Members { get; }

        public string[] Required { get; }

        public static Shape Of(Type type) => Shapes.GetOrAdd(type, static type => new Shape(type));

        public OpenAIObject Create() => (OpenAIObject)Activator.CreateInstance(type)!;

        public bool TryGet(string name, [NotNullWhen(true)] out Member? member) => byName.TryGetValue(name, out member);

        /// <summary>The member whose name the reader is at, or null.</summary>
        /// <param name="reader">At a name.</param>
        /// <param name="next">Where to look first: engines write members in the order in which they are declared, mostly.</param>
        public Member? Find(ref Utf8JsonReader reader, ref int next)
        {
            for (var i = 0; i < Members.Length; i++)
            {
                var at = (next + i) % Members.Length;
                if (!reader.ValueTextEquals(Members[at].Utf8Name))
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
        private readonly object? zero =
            property.PropertyType.IsValueType && Nullable.GetUnderlyingType(property.PropertyType) is null ? Activator.CreateInstance(property.PropertyType) : null;

        public string Name { get; } = property.Name;

        public byte[] Utf8Name { get; } = Encoding.UTF8.GetBytes(property.Name);

        public Type Type { get; } = property.PropertyType;

        public bool IsNullable => zero is null && property.IsSetNullable;

        public ReadValue Read { get; } = ReaderOf(property.PropertyType);

        public Func<object, object?> Get { get; } = property.Get!;

        public Action<object, object?> Set { get; } = property.Set!;

        public bool IsZero(object? value) => zero is not null && zero.Equals(value);
    }
}
