using System.Text.Json.Nodes;
using ConfidentialChat.Cli.Agents;
using YamlDotNet.Serialization;

namespace ConfidentialChat.EndToEnd.Tests.Agents;

/// <summary>
/// The files of agents that the tests do not run, against what their documentation says: aider's sample of all options (aider.chat/docs/config), the
/// reference of Continue's config.yaml (docs.continue.dev/reference), and Open WebUI's list of variables (docs.openwebui.com).
/// </summary>
public sealed class AgentSchemaTests
{
    private static readonly SidecarEndpoint Endpoint = new()
    {
        Root = new Uri("http://127.0.0.1:8787"),
        Model = "Qwen/Qwen3-Coder-30B",
        Models = ["Qwen/Qwen3-Coder-30B", "yes"],
        Nodes = [],
        Gateway = null,
        Key = null,
    };

    private static readonly SidecarEndpoint Guarded = Endpoint with { Key = "local" };

    [Fact]
    public void Aider_gets_options_that_it_has_and_models_that_litellm_sends_to_the_sidecar()
    {
        string[] options = ["model", "weak-model", "editor-model", "openai-api-base", "openai-api-key"];
        var file = Yaml(new Aider(), Endpoint);
        file.Keys.ShouldBe(options, ignoreOrder: true);
        file["openai-api-base"].ShouldBe("http://127.0.0.1:8787/v1"); // it adds /chat/completions
        foreach (var model in (string[])["model", "weak-model", "editor-model"])
            file[model].ShouldBe("openai/Qwen/Qwen3-Coder-30B");
        Yaml(new Aider(), Guarded).ContainsKey("openai-api-key").ShouldBeFalse();
        new Aider().StartLine(Guarded).ShouldStartWith("OPENAI_API_KEY=");
        new Aider().Arguments(Endpoint).Where(argument => argument.StartsWith("--", StringComparison.Ordinal)).Select(argument => argument[2..])
            .ShouldBeSubsetOf(options);
    }

    [Fact]
    public void Continue_gets_a_file_of_its_schema()
    {
        foreach (var endpoint in (SidecarEndpoint[])[Endpoint, Guarded])
        {
            var file = Yaml(new Continue(), endpoint);
            file.Keys.ShouldBe(["name", "version", "schema", "models"], ignoreOrder: true);
            (file["schema"], file["version"]).ShouldBe(("v1", "1.0.0"));
            var model = (Dictionary<object, object>)((List<object>)file["models"]).Single();
            model.Keys.ShouldBeSubsetOf(
                ["name", "provider", "model", "apiBase", "apiKey", "roles", "capabilities", "defaultCompletionOptions", "requestOptions", "chatOptions"]);
            (model["provider"], model["apiBase"], model["model"]).ShouldBe(("openai", "http://127.0.0.1:8787/v1", "Qwen/Qwen3-Coder-30B"));
            ((List<object>)model["roles"]).ShouldBeSubsetOf(["chat", "autocomplete", "embed", "rerank", "edit", "apply", "summarize"]);
            ((List<object>)model["capabilities"]).ShouldBeSubsetOf(["tool_use", "image_input"]);
            ((string)model["apiKey"]).ShouldBe(endpoint.NeedsKey ? "${{ secrets.CONFIDENTIALCHAT_LOCAL_KEY }}" : "cchat");
        }
    }

    [Fact]
    public void Open_WebUI_gets_variables_that_it_has()
    {
        var variables = new OpenWebUi().Variables(Guarded);
        variables.Keys.ShouldBeSubsetOf(["OPENAI_API_BASE_URL", "OPENAI_API_KEY", "DEFAULT_MODELS", "TASK_MODEL_EXTERNAL", "ENABLE_OLLAMA_API"]);
        (variables["OPENAI_API_BASE_URL"], variables["OPENAI_API_KEY"]).ShouldBe(("http://127.0.0.1:8787/v1", "local"));
    }

    [Fact]
    public void Names_that_formats_take_for_something_else_stay_names()
    {
        var odd = Endpoint with { Model = "yes", Models = ["yes", "a \"b\": {c} # d"] };
        Yaml(new Continue(), odd)["models"].ShouldBeOfType<List<object>>().OfType<Dictionary<object, object>>().Single()["model"].ShouldBe("yes");
        var toml = new TomlText("");
        foreach (var setting in new Codex().Settings(odd with { Model = "a \"b\": {c} # d\\" }, isMade: true))
            toml.Set(setting.Path, setting.Value);
        toml.Find(["model"]).ShouldBe("\"a \\\"b\\\": {c} # d\\\\\"");
        var json = new JsoncText("{}");
        foreach (var setting in new Opencode().Settings(odd, isMade: true))
            json.Set(setting.Path, setting.Value);
        JsonNode.Parse(json.Text)!["provider"]!["cchat"]!["models"]!["a \"b\": {c} # d"].ShouldNotBeNull();
    }

    private static Dictionary<string, object> Yaml(Agent agent, SidecarEndpoint endpoint)
    {
        var text = new YamlText("");
        foreach (var setting in agent.Settings(endpoint, isMade: true))
            text.Set(setting.Path, setting.Value);
        return new DeserializerBuilder().Build().Deserialize<Dictionary<string, object>>(text.Text);
    }
}
