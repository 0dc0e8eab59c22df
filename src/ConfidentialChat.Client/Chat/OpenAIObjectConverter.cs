using System.Collections.Concurrent;
using System.Collections.Frozen;
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
    public override bool CanConvert(Type typeToConvert) => typeToConvert.IsAssignableTo(typeof(OpenAIObject));

    public override OpenAIObject Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new JsonException();
        var shape = Shape.Of(typeToConvert);
        var target = (OpenAIObject)Activator.CreateInstance(typeToConvert)!;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = reader.GetString()!;
            reader.Read();
            if (shape.Members.TryGetValue(name, out var member))
            {
                var value = JsonSerializer.Deserialize(ref reader, options.GetTypeInfo(member.PropertyType));
                if (value is null && !member.IsSetNullable)
                    throw new JsonException();
                member.Set!(target, value);
                target.NoteRead(name, isNull: value is null);
            }
            else
            {
                (target.Extra ??= new Dictionary<string, JsonElement>(StringComparer.Ordinal))[name] = JsonElement.ParseValue(ref reader);
                target.NoteRead(name, isNull: false);
            }
        }

        return shape.Required.All(target.WasRead) ? target : throw new JsonException();
    }

    public override void Write(Utf8JsonWriter writer, OpenAIObject value, JsonSerializerOptions options)
    {
        var shape = Shape.Of(value.GetType());
        writer.WriteStartObject();
        foreach (var (name, wasNull) in value.Read)
        {
            if (shape.Members.TryGetValue(name, out var member))
                WriteMember(member, writeNull: wasNull);
            else if (value.Extra is { } extra && extra.TryGetValue(name, out var element))
                WriteExtra(name, element);
        }

        // What was not read: a number that stands at its zero in an object that was read has not been set.
        foreach (var member in shape.Members.Values)
        {
            if (!value.WasRead(member.Name) && (value.Read.Count == 0 || !shape.IsZero(member, member.Get!(value))))
                WriteMember(member, writeNull: false);
        }

        foreach (var (name, element) in value.Extra ?? Enumerable.Empty<KeyValuePair<string, JsonElement>>())
        {
            if (!value.WasRead(name))
                WriteExtra(name, element);
        }

        writer.WriteEndObject();

        void WriteMember(JsonPropertyInfo member, bool writeNull)
        {
            var content = member.Get!(value);
            if (content is null && !writeNull)
                return;
            writer.WritePropertyName(member.Name);
            JsonSerializer.Serialize(writer, content, options.GetTypeInfo(member.PropertyType));
        }

        void WriteExtra(string name, JsonElement element)
        {
            writer.WritePropertyName(name);
            element.WriteTo(writer);
        }
    }

    /// <summary>The members of one type that have properties, in the order in which they are declared.</summary>
    private sealed class Shape
    {
        private static readonly ConcurrentDictionary<Type, Shape> Shapes = [];

        private readonly FrozenDictionary<string, object> zeros;

        private Shape(Type type)
        {
            // The context's own options do not know the converter above, and so describe the type's properties.
            var members = OpenAIJsonContext.Default.GetTypeInfo(type)!.Properties.Where(member => !member.IsExtensionData).ToList();
            Members = new OrderedDictionary<string, JsonPropertyInfo>(
                members.Select(member => KeyValuePair.Create(member.Name, member)), StringComparer.Ordinal);
            Required = [.. members.Where(member => member.IsRequired).Select(member => member.Name)];
            zeros = members.Where(member => member.PropertyType.IsValueType && Nullable.GetUnderlyingType(member.PropertyType) is null)
                .ToFrozenDictionary(member => member.Name, member => Activator.CreateInstance(member.PropertyType)!, StringComparer.Ordinal);
        }

        public OrderedDictionary<string, JsonPropertyInfo> Members { get; }

        public string[] Required { get; }

        public static Shape Of(Type type) => Shapes.GetOrAdd(type, static type => new Shape(type));

        public bool IsZero(JsonPropertyInfo member, object? value) => zeros.TryGetValue(member.Name, out var zero) && zero.Equals(value);
    }
}
