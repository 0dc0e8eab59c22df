using System.Text.Json;
using System.Text.Json.Serialization;

namespace ConfidentialChat.Client.Chat;

/// <summary>
/// A JSON object of the OpenAI API. Members that this SDK knows are properties; all others are in <see cref="Extra"/> and pass both ways
/// unchanged. What was read is written in the order in which it stood, and a null as a null, so that null and absent stay apart.
/// Not safe for concurrent change.
/// </summary>
/// <remarks>These are classes and not records on purpose: a record's text would put prompts and answers into logs.</remarks>
public abstract class OpenAIObject
{
    private static readonly OrderedDictionary<string, bool> Nothing = [];

    private OrderedDictionary<string, bool>? read;

    private protected OpenAIObject()
    {
    }

    /// <summary>Members that have no property here, such as those of an engine or of a later API. Null where there are none.</summary>
    [JsonExtensionData]
    public IDictionary<string, JsonElement>? Extra { get; set; }

    /// <summary>The members that were read, in their order, and whether each was null.</summary>
    internal IReadOnlyDictionary<string, bool> Read => read ?? Nothing;

    /// <summary>The object as UTF-8 JSON.</summary>
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, OpenAIJson.Options.GetTypeInfo(GetType()));

    internal void NoteRead(string name, bool isNull) => (read ??= new OrderedDictionary<string, bool>(StringComparer.Ordinal))[name] = isNull;

    internal bool WasRead(string name) => Read.ContainsKey(name);
}
