// spec/connect.md section 3 rules 1 and 2.
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ConfidentialChat.Cli.Agents;

/// <summary>JSON with comments and commas at the end of lists. The framework's reader finds the places; nothing is written anew.</summary>
internal sealed class JsoncText : ConfigurationText
{
    private static readonly JsonReaderOptions Lax = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };
    private static readonly JsonSerializerOptions Written = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private string text;
    private Node root;

    public JsoncText(string text)
    {
        this.text = text;
        root = Read(text);
    }

    public override string Text => text;

    public override string? Find(IReadOnlyList<string> path) => NodeAt(path) is { } node ? text[node.Start..node.End] : null;

    public override IReadOnlyList<string>? Set(IReadOnlyList<string> path, JsonNode value)
    {
        var (node, depth) = (root, 0);
        for (; depth < path.Count; depth++)
        {
            if (!node.IsObject)
                throw new AgentFileException($"{Named(path.Take(depth))} is no object: {Place(text, node.Start)}");
            if (Member(node, path[depth]) is not { } member)
                break;
            node = member.Value;
        }

        if (depth == path.Count)
        {
            Replace(path, Render(value, IndentOf(node.Start), IsSpread(node)));
            return null;
        }

        for (var i = path.Count - 1; i > depth; i--)
            value = new JsonObject { [path[i]] = value.DeepClone() };
        Add(node, path[depth], value);
        return depth < path.Count - 1 ? [.. path.Take(depth + 1)] : null;
    }

    public override void Replace(IReadOnlyList<string> path, string written)
    {
        var node = NodeAt(path)!;
        Become(string.Concat(text.AsSpan(0, node.Start), written, text.AsSpan(node.End)));
    }

    public override void Remove(IReadOnlyList<string> path)
    {
        if (NodeAt([.. path.SkipLast(1)]) is not { IsObject: true } parent || Member(parent, path[^1]) is not { } member)
            return;
        var at = parent.Members.IndexOf(member);
        var (start, end) = (member.NameStart, member.Value.End);
        while (start > parent.Start + 1 && text[start - 1] is ' ' or '\t')
            start--;
        var hasLine = start > parent.Start + 1 && text[start - 1] == '\n';
        if (hasLine)
            start -= text[start - 2] == '\r' ? 2 : 1;
        if (Comma(end) is { } behind)
        {
            var next = behind + 1;
            while (!hasLine && text[next] is ' ' or '\t')
                next++;
            var blank = !hasLine && start < member.NameStart ? text[start..(start + 1)] : "";
            var between = text.AsSpan(end, behind - end); // a comment
            Become(string.Concat(text.AsSpan(0, start), blank, between, text.AsSpan(next)));
        }
        else if (at > 0 && Comma(parent.Members[at - 1].Value.End) is { } before && before < start)
        {
            Become(string.Concat(text.AsSpan(0, before), text.AsSpan(before + 1, start - before - 1), text.AsSpan(end)));
        }
        else
        {
            Become(string.Concat(text.AsSpan(0, start), text.AsSpan(end)));
        }
    }

    public override bool IsEmpty(IReadOnlyList<string> path) => NodeAt(path) is { IsObject: true, Members.Count: 0 } node
        && string.IsNullOrWhiteSpace(text[(node.Start + 1)..(node.End - 1)]); // a comment is somebody's

    private Node? NodeAt(IReadOnlyList<string> path)
    {
        var node = root;
        foreach (var name in path)
        {
            if (Member(node, name) is not { } member)
                return null;
            node = member.Value;
        }

        return node;
    }

    private JsonMember? Member(Node node, string name)
    {
        var found = node.Members.Where(member => member.Name == name).ToList();
        return found.Count <= 1
            ? found.FirstOrDefault()
            : throw new AgentFileException($"\"{name}\" stands twice: {Place(text, found[1].NameStart)}");
    }

    // Behind the last member: the comma behind that member's value, the new one behind all comments.
    private void Add(Node parent, string name, JsonNode value)
    {
        var lineBreak = LineBreak(text);
        var close = parent.End - 1;
        var isSpread = IsSpread(parent) || parent.Members.Count == 0;
        var end = close;
        while (end > parent.Start + 1 && char.IsWhiteSpace(text[end - 1]))
            end--;
        var last = parent.Members.LastOrDefault();
        var comma = last is null ? null : Comma(last.Value.End);
        if (!isSpread)
        {
            var member = $"{Quote(name)}: {Render(value, "", isSpread: false)}";
            Become(string.Concat(text.AsSpan(0, end), last is null ? "" : comma is null ? ", " : " ", member, text.AsSpan(end)));
            return;
        }

        var outer = IndentOf(IsSpread(parent) ? close : parent.Start);
        var indent = last is not null && IsFirstOnLine(last.NameStart) ? IndentOf(last.NameStart) : outer + Unit();
        var written = $"{lineBreak}{indent}{Quote(name)}: {Render(value, indent, isSpread: true)}{(comma is null ? "" : ",")}";
        var tail = text.AsSpan(end, close - end).Contains('\n') ? text[end..] : lineBreak + outer + text[close..];
        Become(last is not null && comma is null
            ? string.Concat(string.Concat(text.AsSpan(0, last.Value.End), ","), text.AsSpan(last.Value.End, end - last.Value.End), written, tail)
            : string.Concat(text.AsSpan(0, end), written, tail));
    }

    // The comma that follows a value, behind blanks and comments.
    private int? Comma(int at)
    {
        while (at < text.Length)
        {
            if (text[at] == ',')
                return at;
            if (char.IsWhiteSpace(text[at]))
                at++;
            else if (text.AsSpan(at).StartsWith("//"))
                at = LineEnd(text, at);
            else if (text.AsSpan(at).StartsWith("/*"))
                at = text.IndexOf("*/", at + 2, StringComparison.Ordinal) + 2;
            else
                return null;
        }

        return null;
    }

    private bool IsSpread(Node node) => text.AsSpan(node.Start, node.End - node.Start).Contains('\n');

    private bool IsFirstOnLine(int at) => string.IsNullOrWhiteSpace(text[LineStart(text, at)..at]);

    private string IndentOf(int at)
    {
        var start = LineStart(text, at);
        var end = start;
        while (end < text.Length && text[end] is ' ' or '\t')
            end++;
        return text[start..end];
    }

    // One step of indentation, as the file's first member has it.
    private string Unit() => root.Members.FirstOrDefault() is { } first && IsFirstOnLine(first.NameStart) && IndentOf(first.NameStart) is { Length: > 0 } own
        ? own : "  ";

    private string Render(JsonNode value, string indent, bool isSpread)
    {
        if (value is not JsonObject members || members.Count == 0)
            return value.ToJsonString(Written);
        if (!isSpread)
            return $"{{{string.Join(", ", members.Select(member => $"{Quote(member.Key)}: {Render(member.Value!, "", isSpread: false)}"))}}}";
        var (lineBreak, inner) = (LineBreak(text), indent + Unit());
        var lines = members.Select(member => $"{inner}{Quote(member.Key)}: {Render(member.Value!, inner, isSpread: true)}");
        return $"{{{lineBreak}{string.Join("," + lineBreak, lines)}{lineBreak}{indent}}}";
    }

    private static string Quote(string name) => JsonValue.Create(name).ToJsonString(Written);

    private static string Named(IEnumerable<string> path) => string.Join('.', path) is { Length: > 0 } name ? $"\"{name}\"" : "the file";

    private void Become(string changed)
    {
        root = Read(changed); // what was put together has to be JSON, too
        text = changed;
    }

    private static Node Read(string text)
    {
        if (string.IsNullOrWhiteSpace(text))
            throw new AgentFileException("it is empty, and no JSON");
        var bytes = Encoding.UTF8.GetBytes(text);
        var places = new CharacterPlaces(text);
        var reader = new Utf8JsonReader(bytes, Lax);
        try
        {
            reader.Read();
            var root = Read(ref reader, places);
            while (reader.Read())
            {
            }

            return root;
        }
        catch (JsonException e)
        {
            throw new AgentFileException($"it is no JSON: line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1} of it");
        }
    }

    private static Node Read(ref Utf8JsonReader reader, CharacterPlaces places)
    {
        var start = places.Of(reader.TokenStartIndex);
        var members = new List<JsonMember>();
        var isObject = reader.TokenType == JsonTokenType.StartObject;
        if (reader.TokenType == JsonTokenType.StartArray)
        {
            reader.Skip();
        }
        else if (isObject)
        {
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var (name, at) = (reader.GetString()!, places.Of(reader.TokenStartIndex));
                reader.Read();
                members.Add(new JsonMember(name, at, Read(ref reader, places)));
            }
        }

        return new Node(start, places.Of(reader.BytesConsumed), isObject, members);
    }

    private sealed record JsonMember(string Name, int NameStart, Node Value);

    private sealed record Node(int Start, int End, bool IsObject, List<JsonMember> Members);

    /// <summary>Where a byte of the UTF-8 stands in the text; asked in rising order.</summary>
    private sealed class CharacterPlaces(string text)
    {
        private int character;
        private long bytes;

        public int Of(long target)
        {
            if (target < bytes)
                (character, bytes) = (0, 0);
            while (bytes < target)
            {
                _ = Rune.DecodeFromUtf16(text.AsSpan(character), out var rune, out var taken);
                bytes += rune.Utf8SequenceLength;
                character += taken;
            }

            return character;
        }
    }
}
