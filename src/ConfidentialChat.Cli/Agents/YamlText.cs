// spec/connect.md section 3 rules 1 and 2.
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace ConfidentialChat.Cli.Agents;

/// <summary>
/// YAML whose root is a mapping in block style: YamlDotNet finds the places, nothing is written anew. A path has two parts where it names an entry of
/// a list, by the entry's <c>name</c>.
/// </summary>
internal sealed class YamlText : ConfigurationText
{
    private const string EntryName = "name";
    private static readonly JsonSerializerOptions Written = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private string text;
    private Node root;

    public YamlText(string text)
    {
        this.text = text;
        root = Read(text);
    }

    public override string Text => text;

    public override string? Find(IReadOnlyList<string> path) => path.Count switch
    {
        1 => PairOf(path[0]) is { } pair ? text[pair.Value.Start..pair.Value.End] : null,
        _ => Entry(path) is var (start, end) && end > start ? text[start..end] : null,
    };

    public override IReadOnlyList<string>? Set(IReadOnlyList<string> path, JsonNode value)
    {
        var lineBreak = LineBreak(text);
        if (path.Count == 1)
        {
            if (PairOf(path[0]) is not null)
                Replace(path, Scalar(value));
            else
                Append($"{path[0]}: {Scalar(value)}{lineBreak}");
            return null;
        }

        if (Entry(path) is var (from, to) && to > from)
        {
            Become(string.Concat(text.AsSpan(0, from), Render((JsonObject)value, IndentOf(from)), text.AsSpan(to)));
            return null;
        }

        var list = PairOf(path[0]);
        if (list is null || list.Value.IsNothing)
        {
            var written = $"{path[0]}:{lineBreak}{Render((JsonObject)value, "  ")}";
            if (list is null)
                Append(written);
            else
                Become(string.Concat(text.AsSpan(0, list.NameStart), written, text.AsSpan(LineEnd(text, list.Value.End))));
            return list is null ? [path[0]] : null;
        }

        if (!list.Value.IsList || list.Value.IsFlow)
            throw new AgentFileException($"\"{path[0]}\" is no list with a line for each entry: {Place(text, list.Value.Start)}");
        var at = LineStart(text, list.Value.Entries[0].Start);
        Become(string.Concat(text.AsSpan(0, at), Render((JsonObject)value, IndentOf(at)), text.AsSpan(at)));
        return null;
    }

    public override void Replace(IReadOnlyList<string> path, string written)
    {
        if (path.Count > 1)
        {
            var (start, end) = Entry(path);
            Become(string.Concat(text.AsSpan(0, start), written, text.AsSpan(end)));
            return;
        }

        var value = PairOf(path[0])!.Value;
        if (value.IsBlockText)
            throw new AgentFileException($"\"{path[0]}\" is a text of several lines: {Place(text, value.Start)}");
        var gap = value.IsNothing && value.Start == value.End && text[value.Start - 1] == ':' ? " " : "";
        Become(string.Concat(text.AsSpan(0, value.Start), gap + written, text.AsSpan(value.End)));
    }

    public override void Remove(IReadOnlyList<string> path)
    {
        var (start, end) = path.Count > 1 ? Entry(path)
            : PairOf(path[0]) is { } pair ? (pair.NameStart, LineEnd(text, Math.Max(pair.NameStart, pair.Value.End - 1)))
            : (0, 0);
        if (end > start)
            Become(string.Concat(text.AsSpan(0, start), text.AsSpan(end)));
    }

    public override bool IsEmpty(IReadOnlyList<string> path) => PairOf(path[0]) is { Value.IsNothing: true };

    private Pair? PairOf(string name)
    {
        var found = root.Pairs.Where(pair => pair.Name == name).ToList();
        return found.Count <= 1
            ? found.FirstOrDefault()
            : throw new AgentFileException($"\"{name}\" stands twice: {Place(text, found[1].NameStart)}");
    }

    // From the line of its dash to behind its last.
    private (int Start, int End) Entry(IReadOnlyList<string> path)
    {
        if (PairOf(path[0]) is not { Value: { IsList: true, IsFlow: false } list })
            return (0, 0);
        var entry = list.Entries.FirstOrDefault(entry =>
            entry.Pairs.Any(pair => pair.Name == EntryName && pair.Value.Text == path[1]));
        return entry is null ? (0, 0) : (LineStart(text, entry.Start), LineEnd(text, entry.End - 1));
    }

    private void Append(string written)
    {
        var gap = text.Length == 0 || text.EndsWith('\n') ? "" : LineBreak(text);
        Become(text + gap + written);
    }

    private string IndentOf(int at)
    {
        var end = at;
        while (end < text.Length && text[end] == ' ')
            end++;
        return text[at..end];
    }

    private string Render(JsonObject entry, string indent)
    {
        var lineBreak = LineBreak(text);
        return string.Concat(entry.Select((member, i) => $"{indent}{(i == 0 ? "- " : "  ")}{member.Key}: {Scalar(member.Value!)}{lineBreak}"));
    }

    // What is more than letters and digits stands in double quotes, whose escapes are JSON's; a list of words is written as JSON, too.
    private static string Scalar(JsonNode value) =>
        value.GetValueKind() == JsonValueKind.String && value.GetValue<string>() is { Length: > 0 } word && char.IsAsciiLetter(word[0])
            && word.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '/' or '.' or ':') && !word.EndsWith(':') && !IsWord(word)
            ? word
            : value.ToJsonString(Written);

    // To YAML these are no texts.
    private static bool IsWord(string word) => word.ToUpperInvariant() is "TRUE" or "FALSE" or "NULL" or "YES" or "NO" or "ON" or "OFF" or "Y" or "N";

    private void Become(string changed)
    {
        root = Read(changed);
        text = changed;
    }

    private static Node Read(string text)
    {
        try
        {
            var parser = new Parser(new Scanner(new StringReader(text)));
            parser.Consume<StreamStart>();
            if (parser.TryConsume<StreamEnd>(out _))
                return new Node(0, 0); // nothing, or comments alone
            parser.Consume<DocumentStart>();
            var root = Read(parser, depth: 0);
            var end = parser.Consume<DocumentEnd>();
            if (!end.IsImplicit || !parser.TryConsume<StreamEnd>(out _))
                throw new AgentFileException($"it holds several documents: {Place(text, (int)end.Start.Index)}");
            return root switch
            {
                { IsNothing: true } => new Node(0, 0),
                { IsMapping: true, IsFlow: false } when root.Pairs.All(pair => pair.NameStart == LineStart(text, pair.NameStart)) => root,
                _ => throw new AgentFileException($"it is no mapping with a line for each name: {Place(text, root.Start)}"),
            };
        }
        catch (YamlException e)
        {
            throw new AgentFileException($"it is no YAML: line {e.Start.Line}, column {e.Start.Column}");
        }
    }

    private static Node Read(IParser parser, int depth)
    {
        if (depth > 64)
            throw new AgentFileException("it is nested too deeply");
        var at = parser.Current!;
        var node = new Node((int)at.Start.Index, (int)at.End.Index);
        switch (at)
        {
            case MappingStart mapping:
                parser.MoveNext();
                (node.IsMapping, node.IsFlow) = (true, mapping.Style == MappingStyle.Flow);
                while (parser.Current is not MappingEnd)
                {
                    var name = Read(parser, depth + 1);
                    var value = Read(parser, depth + 1);
                    node.Pairs.Add(new Pair(name.Text ?? "", name.Start, value));
                    node.End = Math.Max(name.End, value.End);
                }

                node.End = node.IsFlow ? (int)parser.Current.End.Index : node.End;
                break;
            case SequenceStart sequence:
                parser.MoveNext();
                (node.IsList, node.IsFlow) = (true, sequence.Style == SequenceStyle.Flow);
                while (parser.Current is not SequenceEnd)
                {
                    node.Entries.Add(Read(parser, depth + 1));
                    node.End = node.Entries[^1].End;
                }

                node.End = node.IsFlow ? (int)parser.Current.End.Index : node.End;
                break;
            case YamlDotNet.Core.Events.Scalar scalar:
                (node.Text, node.IsBlockText) = (scalar.Value, scalar.Style is ScalarStyle.Literal or ScalarStyle.Folded);
                break;
        }

        parser.MoveNext();
        return node;
    }

    private sealed record Pair(string Name, int NameStart, Node Value);

    private sealed class Node(int start, int end)
    {
        public int Start { get; } = start;

        public int End { get; set; } = end;

        public bool IsMapping { get; set; }

        public bool IsList { get; set; }

        public bool IsFlow { get; set; }

        public bool IsBlockText { get; set; }

        public string? Text { get; set; }

        public List<Pair> Pairs { get; } = [];

        public List<Node> Entries { get; } = [];

        /// <summary>No value, or one of which nothing is lost: null, an empty list.</summary>
        public bool IsNothing => (!IsMapping && !IsList && Text is "" or "null" or "~") || (IsList && Entries.Count == 0);
    }
}
