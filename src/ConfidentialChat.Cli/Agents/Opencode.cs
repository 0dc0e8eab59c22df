// spec/connect.md sections 2 and 6.
using System.Text.Json.Nodes;

namespace ConfidentialChat.Cli.Agents;

/// <summary>opencode.ai: a provider of its own in JSON with comments.</summary>
internal sealed class Opencode : Agent
{
    private const string Schema = "https://opencode.ai/config.json";
    private static readonly string[] ProjectFiles = ["opencode.jsonc", "opencode.json"];
    private static readonly string[] Files = ["opencode.jsonc", "opencode.json", "config.json"];

    public override string Name => "opencode";

    public override string FullName => "opencode";

    public override IReadOnlyList<string> Programs => ["opencode"];

    public override string Install => "npm install -g opencode-ai, or see https://opencode.ai/docs";

    public override AgentFile Find(Surroundings surroundings, bool ofProject)
    {
        var project = ProjectFiles.Select(name => Path.Combine(surroundings.Project(), name)).ToList();
        if (ofProject)
            return new AgentFile(project.FirstOrDefault(Path.Exists) ?? project[^1], ConfigurationFormat.Jsonc, []);
        string[] notes = [.. project.Where(File.Exists).Select(file => $"{file} wins over it where it names a model")];
        if (surroundings.Variable("OPENCODE_CONFIG") is { } named)
            return new AgentFile(Path.GetFullPath(named, surroundings.WorkingFolder), ConfigurationFormat.Jsonc, notes);
        var folder = Path.Combine(surroundings.Folder("XDG_CONFIG_HOME", ".config"), "opencode");
        var known = Files.Select(name => Path.Combine(folder, name)).ToList();
        return new AgentFile(known.FirstOrDefault(Path.Exists) ?? Path.Combine(folder, Files[1]), ConfigurationFormat.Jsonc, notes);
    }

    public override IReadOnlyList<Setting> Settings(SidecarEndpoint endpoint, bool isMade)
    {
        var models = new JsonObject();
        foreach (var name in endpoint.Models)
        {
            models[name] = new JsonObject
            {
                ["name"] = name,
                ["tool_call"] = true,
                ["limit"] = new JsonObject { ["context"] = endpoint.ContextTokens, ["output"] = endpoint.AnswerTokens },
            };
        }

        var options = new JsonObject { ["baseURL"] = endpoint.OpenAIUrl };
        if (endpoint.NeedsKey)
            options["apiKey"] = $"{{env:{SidecarEndpoint.KeyVariable}}}";
        var provider = new JsonObject { ["npm"] = "@ai-sdk/openai-compatible", ["name"] = Title, ["options"] = options, ["models"] = models };
        List<Setting> settings =
        [
            new(["provider", Ours], provider, IsOurs: true),
            Setting.Of("model", $"{Ours}/{endpoint.Model}"),
            Setting.Of("small_model", $"{Ours}/{endpoint.Model}"), // titles and summaries
        ];
        return isMade ? [Setting.Of("$schema", Schema), .. settings] : settings; // else opencode itself writes it into the file
    }

    public override IReadOnlyList<string> NotesOn(ConfigurationText text) =>
    [
        .. ((string[])["enabled_providers", "disabled_providers"])
            .Where(name => text.Find([name]) is { } list && list.Contains($"\"{Ours}\"", StringComparison.Ordinal) == (name[0] == 'd'))
            .Select(name => $"\"{name}\" leaves {Ours} out: opencode will not know it"),
    ];

    public override IReadOnlyDictionary<string, string> Variables(SidecarEndpoint endpoint)
    {
        var file = new JsoncText("{}");
        foreach (var setting in Settings(endpoint, isMade: true))
            file.Set(setting.Path, setting.Value);
        return new Dictionary<string, string>(StringComparer.Ordinal) { ["OPENCODE_CONFIG_CONTENT"] = file.Text };
    }
}
