using System.Text.Json;
using System.Text.Json.Serialization;

namespace ConfidentialChat.Client.Chat;

/// <summary>
/// A JSON object of the OpenAI API. Members that this SDK knows are properties; all others are in <see cref="Extra"/> and pass both ways
/// unchanged. A null that was read is written again, so that null and absent stay apart. Not safe for concurrent change.
/// </summary>
/// <remarks>These are classes and not records on purpose: a record's text would put prompts and answers into logs.</remarks>
public abstract class OpenAIObject
{
    private HashSet<string>? nulls;

    private protected OpenAIObject()
    {
    }

    /// <summary>Members that have no property here, such as those of an engine or of a later API. Null where there are none.</summary>
    [JsonExtensionData]
    public IDictionary<string, JsonElement>? Extra { get; set; }

    /// <summary>The object as UTF-8 JSON.</summary>
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, ChatJson.Options.GetTypeInfo(GetType()));

    internal void NoteNull(string name) => (nulls ??= new HashSet<string>(StringComparer.Ordinal)).Add(name);

    internal bool WasNull(string name) => nulls?.Contains(name) ?? false;
}
