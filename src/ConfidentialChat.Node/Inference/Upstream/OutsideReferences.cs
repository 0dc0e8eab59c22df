// spec/inference.md section 4, the media, and section 8.
using System.Collections.Frozen;
using System.Text.Json;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>
/// What a request would have an engine take from outside of it: another's stored state, files, tools that the engine carries out, and addresses
/// that it would fetch. A part of the prompt would go there, or come from there.
/// </summary>
internal static class OutsideReferences
{
    private const int MemberOfItem = 2; // levels below the array of messages or items
    private const int MemberOfPart = 4; // and below the array of an item's parts

    /// <summary>Members of a part of a message by which an engine fetches what it is to see or hear.</summary>
    private static readonly FrozenSet<string> Media = FrozenSet.ToFrozenSet(
        ["url", "image_url", "video_url", "audio_url", "file_url", "image", "video", "audio"], StringComparer.Ordinal);

    /// <summary>Members by which an engine reads what somebody has stored with it.</summary>
    private static readonly FrozenSet<string> Files = FrozenSet.ToFrozenSet(["file_id", "file_ids", "vector_store_ids"], StringComparer.Ordinal);

    /// <summary>Where a replayed answer says what it cites, and what it would call: addresses that no engine follows.</summary>
    private static readonly FrozenSet<string> SaidInChat = FrozenSet.ToFrozenSet(["annotations", "tool_calls", "function_call"], StringComparer.Ordinal);
    private static readonly FrozenSet<string> SaidInResponses = FrozenSet.ToFrozenSet(["annotations"], StringComparer.Ordinal);
    private static readonly FrozenSet<string> SaidInMessages = FrozenSet.ToFrozenSet(["input", "citations"], StringComparer.Ordinal);

    private static readonly string[] RefusedOfResponses =
    [
        "previous_response_id", "conversation", "prompt", "previous_response", "previous_input_messages", "messages", "max_tokens", "max_completion_tokens",
        "n", "best_of",
    ];

    private static readonly string[] RefusedOfMessages =
    [
        "mcp_servers", "container", "prompt", "input", "max_completion_tokens", "max_output_tokens", "n", "best_of",
    ];

    private static readonly string[] ToolsOfResponses = ["function", "custom", "local_shell", "apply_patch"];

    // Holds tools of its own, each of which the caller's program carries out.
    private const string Namespace = "namespace";
    private static readonly string[] ToolsOfNamespace = ["function", "custom"];

    // The caller's own program carries these out; their names end with a date.
    private static readonly string[] ToolsOfMessages = ["bash_", "text_editor_", "computer_", "memory_"];

    /// <summary>Members that are read or refused here: each stands once, in this spelling.</summary>
    public static IEnumerable<string> Controlled =>
        [.. RefusedOfResponses, .. RefusedOfMessages, "max_output_tokens", "max_tokens", "background", "tools", "input", "messages", "system"];

    /// <summary>Of a chat. Images and sound have as many tokens as the engine makes of them, whatever their bytes.</summary>
    /// <returns>Bytes of media.</returns>
    /// <exception cref="RefusedFieldException">Something is to be fetched.</exception>
    public static long CheckChat(ReadOnlyMemory<byte> messages) => Check(messages, "messages", SaidInChat, MemberOfItem, isApart: false);

    /// <summary>Of responses.</summary>
    /// <inheritdoc cref="CheckChat"/>
    public static long CheckResponses(JsonMembers members, ReadOnlyMemory<byte> input)
    {
        RefuseAny(members, RefusedOfResponses);
        if (members.Find("background") is { } background && !JsonMembers.IsNull(background) && !JsonMembers.IsFalse(background))
            throw new RefusedFieldException("background");
        if (members.Find("tools") is { } tools && !JsonMembers.IsNull(tools))
            CheckTools(tools, static tool => tool.Type is Namespace ? IsNamespace(tool.Tools) : ToolsOfResponses.Contains(tool.Type, StringComparer.Ordinal));
        CheckItems(input);
        return Check(input, "input", SaidInResponses, MemberOfPart, isApart: true);
    }

    /// <summary>Of messages, and of counting them.</summary>
    /// <inheritdoc cref="CheckChat"/>
    public static long CheckMessages(JsonMembers members, ReadOnlyMemory<byte> messages)
    {
        RefuseAny(members, RefusedOfMessages);
        if (members.Find("tools") is { } tools && !JsonMembers.IsNull(tools))
            CheckTools(tools, static tool =>
                tool.Type is null or "custom" || Array.Exists(ToolsOfMessages, name => tool.Type.StartsWith(name, StringComparison.Ordinal)));
        var system = members.Find("system") is { } said ? Check(said, "system", FrozenSet<string>.Empty, MemberOfItem, isApart: true) : 0;
        return system + Check(messages, "messages", SaidInMessages, MemberOfPart, isApart: true);
    }

    private static void RefuseAny(JsonMembers members, string[] names)
    {
        if (Array.Find(names, name => members.Find(name) is { } value && !JsonMembers.IsNull(value)) is { } name)
            throw new RefusedFieldException(name);
    }

    private static void CheckTools(ReadOnlyMemory<byte> tools, Func<Item, bool> isTaken)
    {
        if (!Items(tools, "tools").TrueForAll(tool => !tool.HasOther && isTaken(tool)))
            throw new RefusedFieldException("tools");
    }

    private static bool IsNamespace(ReadOnlyMemory<byte>? tools) => tools is { } held
        && Items(held, "tools").TrueForAll(tool => !tool.HasOther && ToolsOfNamespace.Contains(tool.Type, StringComparer.Ordinal));

    // An item that says neither what it is nor who speaks is the id of one that was stored.
    private static void CheckItems(ReadOnlyMemory<byte> input)
    {
        if (JsonMembers.IsString(input))
            return;
        foreach (var item in Items(input, "input"))
        {
            if (item.HasOther)
                throw new RefusedFieldException("input");
            if (item.Type is "item_reference" || (item.Type is null && !item.HasRole))
                throw new RefusedFieldException("input.item_reference"); // what programs send that take their responses for stored
        }
    }

    // Of each object of an array its type. One that stands twice, or is no text, is another.
    private static List<Item> Items(ReadOnlyMemory<byte> array, string field)
    {
        var reader = new Utf8JsonReader(array.Span, new JsonReaderOptions { MaxDepth = JsonMembers.DepthMax });
        var found = new List<Item>();
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
            throw new RefusedFieldException(field);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.StartObject)
                throw new RefusedFieldException(field);
            var (type, hasRole, hasOther, tools) = (default(string), false, false, default(ReadOnlyMemory<byte>?));
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var name = UpstreamRequest.Fold(JsonMembers.Name(ref reader, out var isText));
                reader.Read();
                hasOther |= !isText || (name == "type" && (type is not null || reader.TokenType is not (JsonTokenType.String or JsonTokenType.Null)));
                hasRole |= name == "role" && reader.TokenType == JsonTokenType.String;
                if (name == "type" && reader.TokenType == JsonTokenType.String)
                    type = JsonMembers.Name(ref reader) ?? "";
                var start = (int)reader.TokenStartIndex;
                reader.Skip();
                if (name != "tools")
                    continue;
                hasOther |= tools is not null;
                tools = array[start..(int)reader.BytesConsumed];
            }

            found.Add(new Item(type, hasRole, hasOther, tools));
        }

        return found;
    }

    /// <summary>What is read of an object in an array.</summary>
    /// <param name="Type">Null where it has none.</param>
    /// <param name="HasRole">Whether it says who speaks.</param>
    /// <param name="HasOther">Whether something stands twice, or is of another kind.</param>
    /// <param name="Tools">Null where it holds none.</param>
    private readonly record struct Item(string? Type, bool HasRole, bool HasOther, ReadOnlyMemory<byte>? Tools);

    // A URL is a part of the prompt, and whoever it leads to would read it: only what lies in the request itself passes.
    private static long Check(ReadOnlyMemory<byte> value, string field, FrozenSet<string> said, int saidAt, bool isApart)
    {
        var media = 0L;
        var reader = new Utf8JsonReader(value.Span, new JsonReaderOptions { MaxDepth = JsonMembers.DepthMax });
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName)
                continue;
            var written = JsonMembers.Name(ref reader, out var isText);
            if (!isText)
                throw new RefusedFieldException(field);
            if (reader.CurrentDepth == saidAt && written is not null && said.Contains(written))
            {
                reader.Skip();
                continue;
            }

            var name = UpstreamRequest.Fold(written);
            var isMedium = name is not null && Media.Contains(name);
            if (isApart && name is not null && Files.Contains(name))
            {
                reader.Read();
                if (reader.TokenType != JsonTokenType.Null)
                    throw new RefusedFieldException($"{field}.{name}");
                continue;
            }

            if (!isMedium && name is not "data" && !(isApart && name is "file_data")) // of input_audio, of an image, of a file
                continue;
            reader.Read();
            if (isMedium && (reader.TokenType == JsonTokenType.StartArray || (reader.TokenType == JsonTokenType.String && !IsData(reader.ValueSpan))))
                throw new RefusedFieldException(field);
            if (reader.TokenType == JsonTokenType.String)
                media += reader.ValueSpan.Length;
        }

        return media;

        // As it is written: a scheme with escapes in it is nobody's who means well.
        static bool IsData(ReadOnlySpan<byte> url) => url.Length >= 5 && System.Text.Ascii.EqualsIgnoreCase(url[..5], "data:"u8);
    }
}
