using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace ConfidentialChat.Client.Chat;

/// <summary>Where generation stops: one string, or a list of up to four.</summary>
[JsonConverter(typeof(StopSequencesConverter))]
public sealed class StopSequences
{
    internal StopSequences(IReadOnlyList<string> values, bool isString)
    {
        Values = values;
        IsString = isString;
    }

    public IReadOnlyList<string> Values { get; }

    /// <summary>Whether it is written as a string and not as a list.</summary>
    internal bool IsString { get; }

    public static implicit operator StopSequences(string stop) => new([stop], isString: true);

    public static implicit operator StopSequences(string[] stops) => new(stops, isString: false);
}

internal sealed class StopSequencesConverter : JsonConverter<StopSequences>
{
    public override StopSequences Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String
            ? new StopSequences([reader.GetString()!], isString: true)
            : new StopSequences(JsonSerializer.Deserialize(ref reader, Strings(options))!, isString: false);

    public override void Write(Utf8JsonWriter writer, StopSequences value, JsonSerializerOptions options)
    {
        if (value.IsString)
        {
            writer.WriteStringValue(value.Values[0]);
            return;
        }

        writer.WriteStartArray();
        foreach (var stop in value.Values)
            writer.WriteStringValue(stop);
        writer.WriteEndArray();
    }

    private static JsonTypeInfo<List<string>> Strings(JsonSerializerOptions options) =>
        (JsonTypeInfo<List<string>>)options.GetTypeInfo(typeof(List<string>));
}
