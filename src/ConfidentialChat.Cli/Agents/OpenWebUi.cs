// spec/connect.md sections 2 and 6.
namespace ConfidentialChat.Cli.Agents;

/// <summary>Open WebUI: variables alone.</summary>
internal sealed class OpenWebUi : Agent
{
    public override string Name => "open-webui";

    public override string FullName => "Open WebUI";

    public override IReadOnlyList<string> Programs => ["open-webui"];

    public override string Install => "pip install open-webui, or its container image: https://docs.openwebui.com";

    public override AgentFile? Find(Surroundings surroundings, bool ofProject) => ofProject ? throw NoProjectFile(FullName) : null;

    public override IReadOnlyList<Setting> Settings(SidecarEndpoint endpoint, bool isMade) => [];

    public override IReadOnlyDictionary<string, string> Variables(SidecarEndpoint endpoint) => new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["OPENAI_API_BASE_URL"] = endpoint.OpenAIUrl,
        ["OPENAI_API_KEY"] = endpoint.Key ?? AnyKey,
        ["DEFAULT_MODELS"] = endpoint.Model,
        ["TASK_MODEL_EXTERNAL"] = endpoint.Model, // titles and tags
        ["ENABLE_OLLAMA_API"] = "false",
    };

    public override string StartLine(SidecarEndpoint endpoint) => "open-webui serve";
}
