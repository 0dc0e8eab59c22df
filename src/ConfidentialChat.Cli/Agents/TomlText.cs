// spec/connect.md section 3 rules 1 and 2.
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Tomlyn.Parsing;
using Tomlyn.Syntax;

namespace ConfidentialChat.Cli.Agents;

/// <summary>TOML: Tomlyn finds the places, nothing is written anew. An object is a table of its own, anything else a value.</summary>
internal sealed class TomlText : ConfigurationText
{
    private string text;
    private DocumentSyntax document;

    public TomlText(string text)
    {
        this.text = text;
        document = Read(text);
    }

    public override string Text => text;

    public override string? Find(IReadOnlyList<string> path) =>
        Pair(path) is { } pair ? Written(pair.Value!)
        : TableSpan(path) is var (start, end) && end > start ? text[start..end]
        : null;

    public override IReadOnlyList<string>? Set(IReadOnlyList<string> path, JsonNode value)
    {
        var lineBreak = LineBreak(text);
        if (value is JsonObject members)
        {
            if (Pair(path) is { } inline)
                throw new AgentFileException($"{string.Join('.', path)} is no table of its own: {Place(text, inline.Span.Start.Offset)}");
            var table = $"[{string.Join('.', path.Select(Key))}]{lineBreak}"
                + string.Concat(members.Select(member => $"{Key(member.Key)} = {Value(member.Value!)}{lineBreak}"));
            var (start, end) = TableSpan(path);
            if (end > start)
            {
                Become(string.Concat(text.AsSpan(0, start), table, text.AsSpan(end)));
                return null;
            }

            var gap = text.Length == 0 ? "" : text.EndsWith('\n') ? lineBreak : lineBreak + lineBreak;
            Become(text + gap + table);
            return null;
        }

        if (Pair(path) is not null)
        {
            Replace(path, Value(value));
            return null;
        }

        var parent = path.Take(path.Count - 1).ToList();
        if (parent.Count > 0 && Pair(parent) is { } holder)
            throw new AgentFileException($"{string.Join('.', parent)} is written within one line: {Place(text, holder.Span.Start.Offset)}");
        var found = parent.Count == 0 ? null : Table(parent);
        var line = $"{string.Join('.', (found is null ? path : path.TakeLast(1)).Select(Key))} = {Value(value)}{lineBreak}";
        var pairs = (found?.Items ?? document.KeyValues).ToList();
        if (pairs.Count > 0)
            Insert(LineEnd(text, End(pairs[^1].Value!)), line);
        else if (found is not null)
            Insert(LineEnd(text, found.CloseBracket!.Span.Start.Offset), line);
        else
            Become(line + (text.Length == 0 ? "" : lineBreak) + text);
        return null;
    }

    public override void Replace(IReadOnlyList<string> path, string written)
    {
        if (Pair(path) is { } pair)
        {
            Become(string.Concat(text.AsSpan(0, pair.Value!.Span.Start.Offset), written, text.AsSpan(End(pair.Value))));
        }
        else
        {
            var (start, end) = TableSpan(path);
            Become(string.Concat(text.AsSpan(0, start), written, text.AsSpan(end)));
        }
    }

    public override void Remove(IReadOnlyList<string> path)
    {
        if (Pair(path) is { } pair)
        {
            var start = LineStart(text, pair.Span.Start.Offset);
            var end = LineEnd(text, End(pair.Value!));
            if (start == 0 && document.KeyValues.Count() == 1 && end < text.Length && IsLineBreak(end))
                end = LineEnd(text, end); // the gap that was made before a first table
            Become(string.Concat(text.AsSpan(0, start), text.AsSpan(end)));
            return;
        }

        var (from, to) = TableSpan(path);
        if (to <= from)
            return;
        if ((to == text.Length || IsLineBreak(to)) && from > 0 && IsLineBreak(LineStart(text, from - 1)))
            from = LineStart(text, from - 1); // the gap before it
        Become(string.Concat(text.AsSpan(0, from), text.AsSpan(to)));
    }

    public override bool IsEmpty(IReadOnlyList<string> path) => false; // nothing is made around a value

    private bool IsLineBreak(int at) => text[at] == '\n' || (text[at] == '\r' && at + 1 < text.Length && text[at + 1] == '\n');

    private void Insert(int at, string line)
    {
        var before = at > 0 && text[at - 1] != '\n' ? LineBreak(text) : "";
        Become(string.Concat(text.AsSpan(0, at), before + line, text.AsSpan(at)));
    }

    private string Written(ValueSyntax value) => text[value.Span.Start.Offset..End(value)];

    // The last character's place, counted past it.
    private static int End(SyntaxNode node) => node.Span.End.Offset + 1;

    private KeyValueSyntax? Pair(IReadOnlyList<string> path)
    {
        var found = document.KeyValues.Where(pair => Names(pair.Key!).SequenceEqual(path))
            .Concat(document.Tables.OfType<TableSyntax>().SelectMany(table =>
                table.Items.Where(pair => Names(table.Name!).Concat(Names(pair.Key!)).SequenceEqual(path))))
            .ToList();
        return found.FirstOrDefault();
    }

    private TableSyntax? Table(IReadOnlyList<string> path) =>
        document.Tables.OfType<TableSyntax>().FirstOrDefault(table => Names(table.Name!).SequenceEqual(path));

    // A table of its own with those below it that follow; empty where there is none.
    private (int Start, int End) TableSpan(IReadOnlyList<string> path)
    {
        var tables = document.Tables.ToList();
        var first = tables.FindIndex(table => table is TableSyntax && Names(table.Name!).SequenceEqual(path));
        if (first < 0)
            return (0, 0);
        var last = first;
        while (last + 1 < tables.Count && Names(tables[last + 1].Name!) is var below && below.Count > path.Count && below.Take(path.Count).SequenceEqual(path))
            last++;
        var end = tables[last].Items.LastOrDefault() is { } pair ? End(pair.Value!) : tables[last].CloseBracket!.Span.Start.Offset;
        return (LineStart(text, tables[first].OpenBracket!.Span.Start.Offset), LineEnd(text, end));
    }

    private static List<string> Names(KeySyntax key) =>
        [.. new[] { key.Key! }.Concat(key.DotKeys.Select(item => item.Key!)).Select(part => part switch
        {
            BareKeySyntax bare => bare.Key?.Text ?? "",
            StringValueSyntax quoted => quoted.Value ?? "",
            _ => part.ToString() ?? "",
        })];

    private static string Key(string name) => BareKeySyntax.IsBareKey(name) ? name : Value(JsonValue.Create(name));

    // A basic string is written as JSON has it; but for escapes of surrogates, which are not made here.
    private static string Value(JsonNode value) => value.GetValueKind() switch
    {
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        JsonValueKind.Number => value.GetValue<long>().ToString(CultureInfo.InvariantCulture),
        _ => JsonSerializer.Serialize(value.GetValue<string>(), CliJson.Readable.String),
    };

    private void Become(string changed)
    {
        document = Read(changed);
        text = changed;
    }

    private static DocumentSyntax Read(string text)
    {
        var document = SyntaxParser.Parse(text, "", validate: true);
        if (document.HasErrors)
        {
            var first = document.Diagnostics.First();
            throw new AgentFileException($"it is no TOML: line {first.Span.Start.Line + 1}, column {first.Span.Start.Column + 1}");
        }

        return document;
    }
}
