// spec/connect.md sections 2 and 6.
using System.Text.Json.Nodes;

namespace ConfidentialChat.Cli.Agents;

/// <summary>OpenAI's Codex: a provider of its own in TOML, which asks for responses.</summary>
internal sealed class Codex : Agent
{
    public override string Name => "codex";

    public override string FullName => "Codex";

    public override IReadOnlyList<string> Programs => ["codex"];

    public override string Install => "npm install -g @openai/codex";

    public override AgentFile Find(Surroundings surroundings, bool ofProject) => ofProject
        ? throw NoProjectFile(FullName)
        : new AgentFile(Path.Combine(surroundings.Folder("CODEX_HOME", ".codex"), "config.toml"), ConfigurationFormat.Toml, []);

    public override IReadOnlyList<Setting> Settings(SidecarEndpoint endpoint, bool isMade) =>
    [
        Setting.Of("model", endpoint.Model),
        Setting.Of("model_provider", Ours),
        Setting.Of("web_search", "disabled"), // else each request offers a search that runs at the vendor, and an engine refuses all of it
        Setting.Of("features.multi_agent", false), // its tools are of a kind that engines do not know
        new(["model_providers", Ours], Provider(endpoint), IsOurs: true),
    ];

    public override IReadOnlyList<string> NotesOn(ConfigurationText text) =>
        text.Find(["profile"]) is { } profile ? [$"profile = {profile} is chosen in it, which wins over it where it names a model or a provider"] : [];

    public override IReadOnlyList<string> Arguments(SidecarEndpoint endpoint)
    {
        var arguments = new List<string>();
        foreach (var setting in Settings(endpoint, isMade: true))
        {
            var value = setting.Value is JsonObject table
                ? $"{{{string.Join(", ", table.Select(member => $"{member.Key} = {member.Value!.ToJsonString()}"))}}}"
                : setting.Value.ToJsonString();
            arguments.AddRange(["-c", $"{string.Join('.', setting.Path)}={value}"]);
        }

        return arguments;
    }

    private static JsonObject Provider(SidecarEndpoint endpoint)
    {
        var provider = new JsonObject { ["name"] = Title, ["base_url"] = endpoint.OpenAIUrl, ["wire_api"] = "responses" };
        if (endpoint.NeedsKey)
            provider["env_key"] = SidecarEndpoint.KeyVariable;
        return provider;
    }
}
