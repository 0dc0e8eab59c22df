// spec/connect.md section 3 rules 1 and 2.
using System.Text.Json.Nodes;

namespace ConfidentialChat.Cli.Agents;

/// <summary>A file of an agent cannot be read or changed as it stands. Shown with the file's name.</summary>
/// <param name="message">What is wrong, and where.</param>
internal sealed class AgentFileException(string message) : Exception(message);

/// <summary>A text in one of the agents' formats, which is changed by spans: what is not touched keeps every byte.</summary>
internal abstract class ConfigurationText
{
    /// <summary>As it stands now.</summary>
    public abstract string Text { get; }

    /// <summary>A value as it is written, from its first character to its last; null where there is none.</summary>
    public abstract string? Find(IReadOnlyList<string> path);

    /// <summary>Sets a value: in the place of the one that is there, else behind what is.</summary>
    /// <returns>The path of what was made around it; null where all of that was there.</returns>
    /// <exception cref="AgentFileException">Its place has another shape.</exception>
    public abstract IReadOnlyList<string>? Set(IReadOnlyList<string> path, JsonNode value);

    /// <summary>Puts a value as it was written in the place of the one that is there.</summary>
    public abstract void Replace(IReadOnlyList<string> path, string written);

    /// <summary>Takes a value out, with its name, and what stands on its lines alone.</summary>
    public abstract void Remove(IReadOnlyList<string> path);

    /// <summary>Whether something is there and holds nothing.</summary>
    public abstract bool IsEmpty(IReadOnlyList<string> path);

    /// <exception cref="AgentFileException">It is not of that format.</exception>
    public static ConfigurationText Parse(ConfigurationFormat format, string text) => format switch
    {
        ConfigurationFormat.Jsonc => new JsoncText(text),
        ConfigurationFormat.Toml => new TomlText(text),
        ConfigurationFormat.Yaml => new YamlText(text),
        _ => throw new ArgumentOutOfRangeException(nameof(format)),
    };

    /// <summary>The line break of a text: that of its first line.</summary>
    protected static string LineBreak(string text)
    {
        var end = text.IndexOf('\n', StringComparison.Ordinal);
        return end > 0 && text[end - 1] == '\r' ? "\r\n" : "\n";
    }

    /// <summary>Where the line of a place begins.</summary>
    protected static int LineStart(string text, int at) => at == 0 ? 0 : text.LastIndexOf('\n', at - 1) + 1;

    /// <summary>Behind the line break of a place's line, or the end.</summary>
    protected static int LineEnd(string text, int at)
    {
        var end = text.IndexOf('\n', at);
        return end < 0 ? text.Length : end + 1;
    }

    /// <summary>For messages: the line and column of a place, from 1.</summary>
    protected static string Place(string text, int at) =>
        $"line {text.AsSpan(0, at).Count('\n') + 1}, column {at - LineStart(text, at) + 1}";
}

/// <summary>What a file of an agent is written in.</summary>
internal enum ConfigurationFormat
{
    /// <summary>JSON, with comments and commas at the end.</summary>
    Jsonc,

    Toml,

    Yaml,
}
