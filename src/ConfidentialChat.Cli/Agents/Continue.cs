// spec/connect.md section 2.
using System.Text.Json.Nodes;

namespace ConfidentialChat.Cli.Agents;

/// <summary>Continue: an entry in the list of models of its YAML.</summary>
internal sealed class Continue : Agent
{
    public override string Name => "continue";

    public override string FullName => "Continue";

    public override IReadOnlyList<string> Programs => ["cn"];

    public override string Install => "its extension for VS Code or JetBrains, or npm install -g @continuedev/cli";

    public override bool CanRun => false;

    public override (IReadOnlyList<string> Found, string Looked) Look(Surroundings surroundings)
    {
        var (found, looked) = base.Look(surroundings);
        var folder = Folder(surroundings);
        return (found.Count == 0 && Directory.Exists(folder) ? [folder] : found, $"{looked}, and the folder {folder}");
    }

    public override AgentFile Find(Surroundings surroundings, bool ofProject)
    {
        if (ofProject)
            throw NoProjectFile(FullName);
        var (yaml, json) = (Path.Combine(Folder(surroundings), "config.yaml"), Path.Combine(Folder(surroundings), "config.json"));
        return Path.Exists(yaml) || !Path.Exists(json)
            ? new AgentFile(yaml, ConfigurationFormat.Yaml, [])
            : throw new CommandException(
                $"{json} is Continue's older file, which it would read no more beside {Path.GetFileName(yaml)}.",
                "make a config.yaml of it first: https://docs.continue.dev/yaml-migration", ExitCode.Usage);
    }

    public override IReadOnlyList<Setting> Settings(SidecarEndpoint endpoint, bool isMade)
    {
        var model = new JsonObject
        {
            ["name"] = Title,
            ["provider"] = "openai",
            ["model"] = endpoint.Model,
            ["apiBase"] = endpoint.OpenAIUrl,
            ["apiKey"] = endpoint.NeedsKey ? $"${{{{ secrets.{SidecarEndpoint.KeyVariable} }}}}" : AnyKey,
            ["roles"] = new JsonArray("chat", "edit", "apply", "summarize"),
            ["capabilities"] = new JsonArray("tool_use"),
        };
        Setting entry = new(["models", Title], model, IsOurs: true);
        return isMade ? [Setting.Of("name", Title), new(["version"], "1.0.0"), Setting.Of("schema", "v1"), entry] : [entry];
    }

    public override string StartLine(SidecarEndpoint endpoint) => endpoint.NeedsKey
        ? $"put {SidecarEndpoint.KeyVariable}=… into {Path.Combine("~", ".continue", ".env")}; then choose the model {Title} in Continue"
        : $"choose the model {Title} in Continue, or start it: cn";

    private static string Folder(Surroundings surroundings) => surroundings.Folder("CONTINUE_GLOBAL_DIR", ".continue");
}
