// spec/gateway.md section 10 rule 9.
using System.Text.Json;
using System.Text.Json.Serialization;

namespace ConfidentialChat.Gateway;

/// <summary>What an API key opens. One scope says nothing of the other. In JSON a list of words.</summary>
[Flags]
[JsonConverter(typeof(ApiKeyScopesJson))]
public enum ApiKeyScopes
{
    None = 0,

    /// <summary>Requests, and what a user sees of his own.</summary>
    Inference = 1,

    /// <summary>Users, keys, deposits, prices and usage of all.</summary>
    Admin = 2,
}

/// <summary>Scopes as a row has them: words with a blank between.</summary>
internal static class ApiKeyScopeText
{
    private static readonly (ApiKeyScopes Scope, string Word)[] Words = [(ApiKeyScopes.Inference, "inference"), (ApiKeyScopes.Admin, "admin")];

    /// <summary>None for a word that is not known.</summary>
    public static ApiKeyScopes Of(string word) => Array.Find(Words, known => known.Word == word).Scope;

    public static string Write(ApiKeyScopes scopes) => string.Join(' ', Words.Where(word => scopes.HasFlag(word.Scope)).Select(word => word.Word));

    /// <summary>A word that is not known opens nothing.</summary>
    public static ApiKeyScopes Read(string text) => text.Split(' ')
        .Select(word => Array.Find(Words, known => known.Word == word).Scope)
        .Aggregate(ApiKeyScopes.None, (all, scope) => all | scope);
}

/// <summary>Writes scopes as words. Nothing reads them so.</summary>
public sealed class ApiKeyScopesJson : JsonConverter<ApiKeyScopes>
{
    public override ApiKeyScopes Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

    public override void Write(Utf8JsonWriter writer, ApiKeyScopes value, JsonSerializerOptions options)
    {
        writer.WriteStartArray();
        foreach (var word in ApiKeyScopeText.Write(value).Split(' ', StringSplitOptions.RemoveEmptyEntries))
            writer.WriteStringValue(word);
        writer.WriteEndArray();
    }
}
