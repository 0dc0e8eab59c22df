using System.Diagnostics;
using System.Text.Json;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>
/// A real HTTP engine, llama.cpp's own server, behind the node. Built by llama-server.sh; only <c>./test.sh --slow</c> runs what is explicit.
/// </summary>
public sealed class LlamaServerTests
{
    [Fact(Explicit = true)]
    public async Task A_real_llama_server_answers_whole_and_streamed_embeds_and_stops_when_the_client_leaves()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var program = await BuildAsync();
        var directory = Directory.CreateTempSubdirectory("cchat-llama-");
        var model = Path.Combine(directory.FullName, "fixture.gguf");
        FixtureModel.Write(model);
        using var chat = await LlamaServer.StartAsync(program, model, "--slots");
        var stack = new RunningStack(["--upstream", chat.Url, "--upstream-model", "fixture"]);
        await stack.InitializeAsync();
        try
        {
            using var client = new ConfidentialChatClient(stack.Options());
            var request = new ChatCompletionRequest { Model = "fixture", Messages = [ChatMessage.User("Hello?")], Temperature = 0, MaxTokens = 400 };

            var whole = await client.ConfidentialChat.CreateAsync(request, cancellation);
            whole.Choices[0].Message.Content!.Text.ShouldBe(FixtureModel.Answer);
            whole.Usage!.CompletionTokens.ShouldBeGreaterThan(0);
            whole.Model.ShouldBe("fixture");

            var text = "";
            await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, cancellation))
                text += chunk.Choices.FirstOrDefault()?.Delta?.Content;
            text.ShouldBe(FixtureModel.Answer);
            (await Ledger.SettledAsync(stack)).ShouldBe(2 * Ledger.Charged(whole.Usage));

            // Without an end of its own: only the client's leaving stops it.
            var endless = new ChatCompletionRequest
            {
                Model = "fixture",
                Messages = [ChatMessage.User("Hello?")],
                MaxTokens = 100_000,
                LogitBias = new Dictionary<string, double> { [$"{FixtureModel.EndOfTurnTokenId}"] = -100 },
            };
            var before = await Ledger.SettledAsync(stack);
            await foreach (var _ in client.ConfidentialChat.CreateStreamAsync(endless, cancellation))
            {
                (await chat.IsGeneratingAsync(cancellation)).ShouldBeTrue("the answer was over before its reader left");
                break;
            }

            for (var tries = 0; await chat.IsGeneratingAsync(cancellation); tries++)
            {
                tries.ShouldBeLessThan(40, "the server still generates two seconds after the client has left");
                await Task.Delay(50, cancellation);
            }

            // The context has room for 8192 tokens: the server was far from its own end.
            (await Ledger.SettledAsync(stack) - before).ShouldBeLessThan(8000);
            Ledger.Lost(stack).ShouldBe(0);
        }
        finally
        {
            await stack.DisposeAsync();
            directory.Delete(recursive: true);
        }
    }

    [Fact(Explicit = true)]
    public async Task A_real_llama_server_computes_embeddings()
    {
        var program = await BuildAsync();
        var directory = Directory.CreateTempSubdirectory("cchat-llama-");
        var model = Path.Combine(directory.FullName, "fixture.gguf");
        FixtureModel.Write(model);
        using var embedding = await LlamaServer.StartAsync(program, model, "--embedding", "--pooling", "mean");
        var stack = new RunningStack(["--upstream", embedding.Url, "--upstream-model", "fixture"]);
        await stack.InitializeAsync();
        try
        {
            using var raw = new RawClient(stack, await stack.NewUserAsync());
            var request = await raw.SealAsync("""{"model":"fixture","input":["one","two"]}""");
            using var answer = await raw.PostAsync("/v1/confidential/embeddings", RawClient.ToJson(request).ToJsonString());
            var opened = await RawClient.OpenAsync(request, answer);
            opened["data"]!.AsArray().Count.ShouldBe(2);
            opened["data"]![0]!["embedding"]!.AsArray().Count.ShouldBeGreaterThan(8);
            ((int)opened["usage"]!["prompt_tokens"]!).ShouldBeGreaterThan(0);
            (await Ledger.SettledAsync(stack)).ShouldBe((long)opened["usage"]!["total_tokens"]!);
        }
        finally
        {
            await stack.DisposeAsync();
            directory.Delete(recursive: true);
        }
    }

    private static async Task<string> BuildAsync()
    {
        using var build = Process.Start(
            new ProcessStartInfo(Path.Combine(Tree.Root, "test", "EndToEnd", "llama-server.sh")) { RedirectStandardOutput = true })!;
        var path = (await build.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken)).Trim();
        await build.WaitForExitAsync(TestContext.Current.CancellationToken);
        build.ExitCode.ShouldBe(0);
        return path;
    }

    private sealed class LlamaServer : IDisposable
    {
        private readonly Process process;
        private readonly HttpClient http;

        private LlamaServer(Process process, int port)
        {
            this.process = process;
            Url = $"http://127.0.0.1:{port}";
            http = new HttpClient { BaseAddress = new Uri(Url) };
        }

        public string Url { get; }

        public static async Task<LlamaServer> StartAsync(string program, string model, params string[] options)
        {
            var port = FixedPort.Find();
            var start = new ProcessStartInfo(
                program,
                ["--model", model, "--alias", "fixture", "--host", "127.0.0.1", "--port", $"{port}", "--ctx-size", "8192", "--threads", "1", .. options])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            var process = Process.Start(start)!;
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            var server = new LlamaServer(process, port);
            for (var tries = 0; ; tries++)
            {
                try
                {
                    if ((await server.http.GetAsync("/health", TestContext.Current.CancellationToken)).IsSuccessStatusCode)
                        return server;
                }
                catch (HttpRequestException) when (tries < 300 && !process.HasExited)
                {
                }

                await Task.Delay(100, TestContext.Current.CancellationToken);
            }
        }

        public async Task<bool> IsGeneratingAsync(CancellationToken cancellation) =>
            JsonElement.Parse(await http.GetStringAsync("/slots", cancellation)).EnumerateArray().Any(slot => slot.GetProperty("is_processing").GetBoolean());

        public void Dispose()
        {
            http.Dispose();
            process.Kill();
            process.WaitForExit();
            process.Dispose();
        }
    }
}
