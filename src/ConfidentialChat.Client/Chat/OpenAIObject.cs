using System.Text.Json;
using System.Text.Json.Serialization;

namespace ConfidentialChat.Client.Chat;

/// <summary>
/// A JSON object of the OpenAI API. Members that this SDK knows are properties; all others are in <see cref="Extra"/> and pass both ways
/// unchanged. What was read is written in the order in which it stood, and a null as a null, so that null and absent stay apart.
/// Engines write some members otherwise than the API has them. Of an answer only its text, its parts and its errors have to be what they are
/// to be: any other member of another kind than its property has is in <see cref="Extra"/> too, as it came, and is written so again; the
/// property has of it what can be read, or nothing. Not safe for concurrent change.
/// </summary>
/// <remarks>These are classes and not records on purpose: a record's text would put prompts and answers into logs.</remarks>
public abstract class OpenAIObject
{
    private static readonly OrderedDictionary<string, bool> Nothing = [];

    private OrderedDictionary<string, bool>? read;
    private Dictionary<string, (object? Value, bool IsRead)>? loose;

    private protected OpenAIObject()
    {
    }

    /// <summary>
    /// Members that have no property here, such as those of an engine or of a later API, and
    /// those whose kind is not their property's. Null where there are none.
    /// </summary>
    [JsonExtensionData]
    public IDictionary<string, JsonElement>? Extra { get; set; }

    /// <summary>The members that were read, in their order, and whether each was null.</summary>
    internal IReadOnlyDictionary<string, bool> Read => read ?? Nothing;

    /// <summary>The object as UTF-8 JSON.</summary>
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, OpenAIJson.Options.GetTypeInfo(GetType()));

    internal void NoteRead(string name, bool isNull) => (read ??= new OrderedDictionary<string, bool>(StringComparer.Ordinal))[name] = isNull;

    internal bool WasRead(string name) => Read.ContainsKey(name);

    /// <summary>Notes what a property holds that is not what stood there: nothing may have, or something of another kind.</summary>
    /// <param name="name">The member.</param>
    /// <param name="value">What its property has now.</param>
    /// <param name="isRead">Whether that is what can be read of the member.</param>
    internal void NoteLoose(string name, object? value, bool isRead) =>
        (loose ??= new Dictionary<string, (object?, bool)>(StringComparer.Ordinal))[name] = (value, isRead);

    /// <summary>Whether a property holds still what <see cref="NoteLoose"/> says: then what stood there is written.</summary>
    internal bool IsLoose(string name, object? value) => loose is not null && loose.TryGetValue(name, out var noted) && Equals(noted.Value, value);

    /// <summary>Whether a member said something that its property could take.</summary>
    internal bool Says(string name) => WasRead(name) && (loose is null || !loose.TryGetValue(name, out var noted) || noted.IsRead);

    /// <summary>Sets a required property whose member an engine left out; false where the object is of no use without it.</summary>
    private protected virtual bool StandInFor(string name) => false;

    /// <inheritdoc cref="StandInFor"/>
    internal bool TryStandInFor(string name) => StandInFor(name);

    /// <summary>Whether this can be a whole answer; a piece of one may have less.</summary>
    internal virtual bool IsWhole => true;

    /// <summary>Whether it says that something failed. Some engines write the member where nothing did.</summary>
    internal bool SaysError => Extra is not null && Extra.TryGetValue("error", out var error)
        && error.ValueKind is not (JsonValueKind.Null or JsonValueKind.False) && !(error.ValueKind == JsonValueKind.String && error.ValueEquals(""u8));
}

/// <summary>An element of a list that says its place.</summary>
internal interface IPlaced
{
    int Index { get; set; }
}
