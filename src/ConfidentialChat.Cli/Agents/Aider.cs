// spec/connect.md sections 2 and 6.
namespace ConfidentialChat.Cli.Agents;

/// <summary>aider: names of its options in YAML.</summary>
internal sealed class Aider : Agent
{
    private const string File = ".aider.conf.yml";

    public override string Name => "aider";

    public override string FullName => "aider";

    public override IReadOnlyList<string> Programs => ["aider"];

    public override string Install => "python -m pip install aider-install && aider-install";

    public override AgentFile Find(Surroundings surroundings, bool ofProject)
    {
        var (own, project) = (Path.Combine(surroundings.Home, File), Path.Combine(surroundings.Project(), File));
        return ofProject
            ? new AgentFile(project, ConfigurationFormat.Yaml, [])
            : new AgentFile(
                own, ConfigurationFormat.Yaml,
                [.. ((string[])[project, Path.Combine(surroundings.WorkingFolder, File)]).Distinct(StringComparer.Ordinal)
                    .Where(file => file != own && System.IO.File.Exists(file)).Select(file => $"{file} wins over it")]);
    }

    public override IReadOnlyList<Setting> Settings(SidecarEndpoint endpoint, bool isMade)
    {
        List<Setting> settings =
        [
            new(["model"], Named(endpoint)),
            new(["weak-model"], Named(endpoint)), // commit messages and summaries
            new(["editor-model"], Named(endpoint)),
            new(["openai-api-base"], endpoint.OpenAIUrl),
        ];
        if (!endpoint.NeedsKey)
            settings.Add(new(["openai-api-key"], AnyKey));
        return settings;
    }

    // Its own .env files win over variables, and arguments over those.
    public override IReadOnlyList<string> Arguments(SidecarEndpoint endpoint) =>
    [
        .. Settings(endpoint, isMade: true).Where(setting => setting.Path[0] != "openai-api-key")
            .SelectMany(setting => (string[])[$"--{setting.Path[0]}", setting.Value.GetValue<string>()]),
    ];

    public override IReadOnlyDictionary<string, string> Variables(SidecarEndpoint endpoint) => new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["AIDER_OPENAI_API_KEY"] = endpoint.Key ?? AnyKey,
        ["OPENAI_API_KEY"] = endpoint.Key ?? AnyKey,
    };

    public override string StartLine(SidecarEndpoint endpoint) => endpoint.NeedsKey ? $"OPENAI_API_KEY=\"${SidecarEndpoint.KeyVariable}\" aider" : "aider";

    private static string Named(SidecarEndpoint endpoint) => $"openai/{endpoint.Model}";
}
