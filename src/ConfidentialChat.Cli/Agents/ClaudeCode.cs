// spec/connect.md sections 2 and 6.
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ConfidentialChat.Cli.Agents;

/// <summary>Anthropic's Claude Code: variables, which its settings can hold, and which win there over those of its process.</summary>
internal sealed class ClaudeCode : Agent
{
    private const string Key = "ANTHROPIC_AUTH_TOKEN";

    public override string Name => "claude-code";

    public override string FullName => "Claude Code";

    public override IReadOnlyList<string> Programs => ["claude"];

    public override string Install => "npm install -g @anthropic-ai/claude-code";

    public override AgentFile Find(Surroundings surroundings, bool ofProject)
    {
        var folder = surroundings.Folder("CLAUDE_CONFIG_DIR", ".claude");
        var project = Path.Combine(surroundings.Project(), ".claude");
        if (ofProject)
            return new AgentFile(Path.Combine(project, "settings.local.json"), ConfigurationFormat.Jsonc, []); // the other one is shared with others
        string[] others = [Path.Combine(project, "settings.local.json"), Path.Combine(project, "settings.json")];
        var file = Path.Combine(folder, "settings.json");
        return new AgentFile(
            file, ConfigurationFormat.Jsonc,
            [.. others.Where(other => other != file && File.Exists(other)).Select(other => $"{other} wins over it where it has an \"env\"")]);
    }

    public override IReadOnlyList<Setting> Settings(SidecarEndpoint endpoint, bool isMade) =>
        [.. Common(endpoint).Select(variable => new Setting(["env", variable.Key], variable.Value))];

    public override IReadOnlyDictionary<string, string> Variables(SidecarEndpoint endpoint)
    {
        var variables = Common(endpoint);
        if (endpoint.Key is { } key)
            variables[Key] = key;
        return variables;
    }

    // Its settings win over variables, and these arguments over its settings; a key stays where nobody else reads it.
    public override IReadOnlyList<string> Arguments(SidecarEndpoint endpoint)
    {
        var variables = new JsonObject();
        foreach (var (name, value) in Common(endpoint))
            variables[name] = value;
        return ["--settings", new JsonObject { ["env"] = variables }.ToJsonString(new JsonSerializerOptions())];
    }

    public override string StartLine(SidecarEndpoint endpoint) => endpoint.NeedsKey ? $"{Key}=\"${SidecarEndpoint.KeyVariable}\" claude" : "claude";

    private static Dictionary<string, string> Common(SidecarEndpoint endpoint)
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["ANTHROPIC_BASE_URL"] = endpoint.AnthropicUrl,
            ["ANTHROPIC_MODEL"] = endpoint.Model,
            ["ANTHROPIC_DEFAULT_OPUS_MODEL"] = endpoint.Model,
            ["ANTHROPIC_DEFAULT_SONNET_MODEL"] = endpoint.Model,
            ["ANTHROPIC_DEFAULT_HAIKU_MODEL"] = endpoint.Model, // titles, summaries
            ["CLAUDE_CODE_SUBAGENT_MODEL"] = endpoint.Model,
            ["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1",
        };
        if (!endpoint.NeedsKey)
            variables[Key] = AnyKey;
        return variables;
    }
}
