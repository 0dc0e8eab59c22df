// spec/gateway.md section 11: bodies and queries of which every member is known.
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Admin;

/// <summary>
/// The members of a JSON object, or the parameters of a query, each read once and judged as it is read. The first fault stays; whoever has read all
/// asks for it. Not for concurrent use.
/// </summary>
internal sealed class StrictMembers
{
    private readonly Dictionary<string, JsonElement> members = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> parameters = new(StringComparer.Ordinal);

    private StrictMembers()
    {
    }

    /// <summary>What is at fault; null while all is well.</summary>
    public Rejection? Fault { get; private set; }

    /// <summary>Reads arbitrary bytes.</summary>
    public static StrictMembers OfBody(ReadOnlyMemory<byte> body, params ReadOnlySpan<string> known)
    {
        var read = new StrictMembers();
        try
        {
            using var document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 8, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind is not JsonValueKind.Object)
            {
                read.Fault = new Rejection(RequestError.InvalidJson);
                return read;
            }

            foreach (var member in document.RootElement.EnumerateObject())
            {
                if (!known.Contains(member.Name))
                    read.Blame(member.Name);
                else if (member.Value.ValueKind is not JsonValueKind.Null)
                    read.members.Add(member.Name, member.Value.Clone());
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            read.Fault = new Rejection(RequestError.InvalidJson); // InvalidOperationException: a lone surrogate in a member's name
        }

        return read;
    }

    public static StrictMembers OfQuery(HttpRequest request, params ReadOnlySpan<string> known)
    {
        var read = new StrictMembers();
        foreach (var (name, values) in request.Query)
        {
            if (!known.Contains(name) || values is not [{ Length: > 0 } value])
                read.Blame(name);
            else
                read.parameters.Add(name, value);
        }

        return read;
    }

    /// <summary>Makes a member the fault, where there is none yet.</summary>
    public void Blame(string member) => Fault ??= new Rejection(RequestError.InvalidField, Rejection.IsFieldName(member) ? member : null);

    /// <summary>A whole number; null where there is none, which is a fault where it is required.</summary>
    public long? Integer(string name, long least, long most, bool isRequired = false)
    {
        long number = 0;
        if (members.TryGetValue(name, out var member))
        {
            if (member.ValueKind is not JsonValueKind.Number || !member.TryGetInt64(out number))
                number = least - 1;
        }
        else if (parameters.TryGetValue(name, out var text))
        {
            if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number))
                number = least - 1;
        }
        else
        {
            return Missing<long>(name, isRequired);
        }

        if (number >= least && number <= most)
            return number;
        Blame(name);
        return null;
    }

    /// <summary>A text that is valid; null where there is none, which is a fault where it is required.</summary>
    public string? Text(string name, Func<string?, bool> isValid, bool isRequired = false)
    {
        if (!TryText(name, out var text))
        {
            if (isRequired || members.ContainsKey(name))
                Blame(name);
            return null;
        }

        if (isValid(text))
            return text;
        Blame(name);
        return null;
    }

    /// <summary>A day, <c>YYYY-MM-DD</c>.</summary>
    public DateOnly? Day(string name)
    {
        if (!TryText(name, out var text))
            return null;
        if (DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var day))
            return day;
        Blame(name);
        return null;
    }

    /// <summary>A time of RFC 3339, with where it is from: <c>2026-07-04T10:16:31Z</c>.</summary>
    public DateTimeOffset? Time(string name)
    {
        if (!members.TryGetValue(name, out var member))
            return null;
        if (TextOf(member) is { } text && member.TryGetDateTimeOffset(out var time)
            && (text.EndsWith('Z') || text.LastIndexOfAny(['+', '-']) > text.IndexOf('T', StringComparison.Ordinal))) // else it would be this machine's
            return time;
        Blame(name);
        return null;
    }

    /// <summary>Scopes, a list of words; null where there is none.</summary>
    public ApiKeyScopes? Scopes(string name)
    {
        if (!members.TryGetValue(name, out var member))
            return null;
        var all = ApiKeyScopes.None;
        if (member.ValueKind is JsonValueKind.Array)
        {
            foreach (var word in member.EnumerateArray())
            {
                var scope = TextOf(word) is { } text ? ApiKeyScopeText.Of(text) : ApiKeyScopes.None;
                if (scope is ApiKeyScopes.None)
                    Blame(name);
                all |= scope;
            }
        }

        if (all is ApiKeyScopes.None)
            Blame(name);
        return all;
    }

    /// <summary>Words with a comma between, of a few.</summary>
    public UsageBy? By(string name)
    {
        if (!parameters.TryGetValue(name, out var text))
            return null;
        var all = UsageBy.None;
        foreach (var word in text.Split(','))
        {
            var one = word switch
            {
                "day" => UsageBy.Day,
                "model" => UsageBy.Model,
                "user" => UsageBy.User,
                _ => UsageBy.None,
            };
            if (one is UsageBy.None || all.HasFlag(one))
                Blame(name);
            all |= one;
        }

        return all;
    }

    private T? Missing<T>(string name, bool isRequired)
        where T : struct
    {
        if (isRequired)
            Blame(name);
        return null;
    }

    private bool TryText(string name, [NotNullWhen(true)] out string? text)
    {
        text = parameters.GetValueOrDefault(name) ?? (members.TryGetValue(name, out var member) ? TextOf(member) : null);
        return text is not null;
    }

    private static string? TextOf(JsonElement value)
    {
        try
        {
            return value.ValueKind is JsonValueKind.String ? value.GetString() : null;
        }
        catch (InvalidOperationException)
        {
            return null; // a lone surrogate
        }
    }
}
