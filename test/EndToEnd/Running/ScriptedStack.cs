using System.Text;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>Gateway and node in processes of their own, before an HTTP engine that does what a test says.</summary>
public sealed class ScriptedStack : IAsyncLifetime
{
    /// <summary>Stands in prompts; is nowhere but at their two ends.</summary>
    public const string PromptCanary = "quillfeather-4c1f";

    /// <summary>Stands in what the engine says of its faults; never leaves the node.</summary>
    public const string EngineCanary = "brambleworth-77aa";

    public const string Model = "scripted";

    private readonly string[] arguments;

    public ScriptedStack()
        : this([])
    {
    }

    internal ScriptedStack(params string[] arguments) => this.arguments = arguments;

    public ScriptedEngine Engine { get; private set; } = null!;

    public RunningStack Stack { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Engine = await ScriptedEngine.StartAsync(new EngineScript { Model = Model, MaxModelLen = 100_000 });
        Stack = new RunningStack(["--upstream", Engine.Url.ToString(), "--upstream-model", Model, .. arguments]);
        await Stack.InitializeAsync();
    }

    /// <summary>The next request meets these steps; those after it are served.</summary>
    public void Next(params EngineStep[] steps) => Engine.Script = Engine.Script with { Exchanges = [new EngineExchange { Steps = steps }] };

    public ConfidentialChatClient Client(string? apiKey = null) => new(Stack.Options(apiKey) with
    {
        Retries = RetryConfig.None, // a fault is to be seen
    });

    /// <summary>No canary is in what the processes logged or keep.</summary>
    public async Task ShouldHoldNoCanaryAsync()
    {
        string[] kept = [".log", ".db", ".db-wal"];
        var files = Directory.GetFiles(Stack.DataDirectory, "*", SearchOption.AllDirectories)
            .Where(file => kept.Contains(Path.GetExtension(file), StringComparer.Ordinal)).ToList();
        files.Count.ShouldBeGreaterThanOrEqualTo(4); // two logs, the database and what it has yet to write
        foreach (var file in files)
        {
            await using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var bytes = new MemoryStream();
            await stream.CopyToAsync(bytes);
            foreach (var canary in (string[])[PromptCanary, EngineCanary])
                Needle.IsIn(bytes.ToArray(), canary).ShouldBeFalse($"{canary} in {file}: {Encoding.UTF8.GetString(bytes.ToArray()).Split('\n').FirstOrDefault(line => line.Contains(canary, StringComparison.Ordinal))}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Stack.DisposeAsync();
        await Engine.DisposeAsync();
    }
}
