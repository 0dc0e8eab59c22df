using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat up --upstream</c>: several engines, a key, engines elsewhere.</summary>
public sealed class UpstreamCommandTests
{
    private const string EngineKey = "sk-larkspur-51c08e";

    [Fact]
    public async Task Several_engines_share_the_requests_and_their_key_is_the_nodes_alone()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var script = new EngineScript { Model = ScriptedStack.Model, ApiKey = EngineKey, DelayMs = 50 };
        await using var first = await ScriptedEngine.StartAsync(script);
        await using var second = await ScriptedEngine.StartAsync(script);
        await using var stack = new RunningStack(
            ["--upstream", $"{first.Url}", "--upstream", $"{second.Url}", "--upstream-model", ScriptedStack.Model, "--upstream-key-env", "TEST_ENGINE_KEY"])
        {
            Environment = new Dictionary<string, string> { ["TEST_ENGINE_KEY"] = EngineKey },
        };
        await stack.InitializeAsync();
        using var client = new ConfidentialChatClient(stack.Options());

        var request = new ChatCompletionRequest { Model = ScriptedStack.Model, Messages = [ChatMessage.User("Hello?")] };
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => client.ConfidentialChat.CreateAsync(request, cancellation)));

        foreach (var engine in (ScriptedEngine[])[first, second])
        {
            var asked = engine.Requests.Where(one => one.Path == "/v1/chat/completions").ToList();
            asked.ShouldNotBeEmpty("one engine had it all");
            asked.ShouldAllBe(one => one.Authorization == $"Bearer {EngineKey}");
        }

        foreach (var (role, id) in stack.Children())
        {
            (await File.ReadAllTextAsync($"/proc/{id}/cmdline", cancellation)).ShouldNotContain(EngineKey);
            (await File.ReadAllTextAsync($"/proc/{id}/environ", cancellation)).Contains(EngineKey, StringComparison.Ordinal).ShouldBe(role == "node", role);
        }

        var files = Directory.GetFiles(stack.DataDirectory, "*", SearchOption.AllDirectories);
        foreach (var file in files.Where(file => Path.GetExtension(file) is ".log" or ".db" or ".db-wal"))
        {
            using var reader = new StreamReader(new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite), System.Text.Encoding.Latin1);
            (await reader.ReadToEndAsync(cancellation)).ShouldNotContain(EngineKey, customMessage: file);
        }
    }

    [Theory]
    [InlineData("http://192.0.2.1:8000")]
    [InlineData("https://192.0.2.1:8000")]
    public async Task An_engine_on_another_machine_needs_the_word_dangerous(string url)
    {
        string[] arguments = ["--upstream", url, "--upstream-model", "elsewhere", "--upstream-connect-seconds", "1"];
        var data = Directory.CreateTempSubdirectory("cchat-test-");
        var (exitCode, _, errors) = await RunningStack.RunAsync(["up", "--data", data.FullName, .. arguments]);
        exitCode.ShouldBe(2, errors);
        errors.ShouldContain("--dangerous-remote-engine");
        data.GetFileSystemInfos().ShouldBeEmpty("something was begun");
        data.Delete();

        // RFC 5737: nobody is at this address, and the node says so, and serves its gateway all the same.
        await using var stack = new RunningStack([.. arguments, "--dangerous-remote-engine"]);
        await stack.InitializeAsync();
        stack.Model.ShouldBe("elsewhere");
        (await stack.TerminateAsync()).ExitCode.ShouldBe(0);
    }
}
