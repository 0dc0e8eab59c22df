using System.Text;
using System.Text.Json;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.EndToEnd;

/// <summary>Starting, stopping and starting again, as an operator does it.</summary>
public sealed class LifecycleTests
{
    [Fact]
    public async Task Up_says_it_is_ready_in_one_line_and_ends_on_sigterm_without_breaking_a_stream()
    {
        var stack = new RunningStack();
        await stack.InitializeAsync();
        try
        {
            var ready = JsonDocument.Parse(stack.ReadyLine).RootElement;
            ready.EnumerateObject().Select(member => member.Name).ShouldBe(["gateway", "node", "api_key", "model"]);
            foreach (var url in (string[])["gateway", "node"])
                ready.GetProperty(url).GetString()!.ShouldMatch("^http://127\\.0\\.0\\.1:[0-9]+$");

            using var client = Client(stack);
            var request = new ChatCompletionRequest
            {
                Model = stack.Model,
                Messages = [ChatMessage.User("go on")],
                Temperature = 0,
                MaxTokens = 3000,
                LogitBias = new Dictionary<string, double> { [$"{FixtureModel.EndOfTurnTokenId}"] = -100 },
            };
            Task<(int ExitCode, string Output, string Errors)>? ending = null;
            var finish = "";
            await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, TestContext.Current.CancellationToken))
            {
                ending ??= stack.TerminateAsync();
                finish = chunk.Choices.FirstOrDefault()?.FinishReason ?? finish;
            }

            finish.ShouldBe("length");
            var (exitCode, output, errors) = await ending!;
            exitCode.ShouldBe(0, errors);
            output.ShouldBeEmpty();
            (await Ledger.SettledAsync(stack)).ShouldBeGreaterThan(3000); // the last report was delivered before the gateway left
        }
        finally
        {
            await stack.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_second_start_on_the_same_data_keeps_the_key_and_serves()
    {
        var data = Directory.CreateTempSubdirectory("cchat-test-").FullName;
        try
        {
            var first = new RunningStack([], data);
            await first.InitializeAsync();
            await first.TerminateAsync();
            var second = new RunningStack([], data);
            await second.InitializeAsync();
            second.ApiKey.ShouldBe(first.ApiKey);
            using (var client = Client(second))
            {
                var answer = await client.ConfidentialChat.CreateAsync(
                    new ChatCompletionRequest { Model = "fixture", Messages = [ChatMessage.User("again")], Temperature = 0 }, TestContext.Current.CancellationToken);
                answer.Choices[0].Message.Content!.Text.ShouldBe(FixtureModel.Answer);
            }

            await second.TerminateAsync();
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task Nothing_outlives_a_parent_that_was_killed()
    {
        var stack = new RunningStack();
        await stack.InitializeAsync();
        try
        {
            await stack.SignalAsync("KILL");
            using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
            for (var tries = 0; ; tries++)
            {
                try
                {
                    await http.GetAsync(new Uri(stack.Node, "/health"), TestContext.Current.CancellationToken);
                }
                catch (HttpRequestException)
                {
                    break;
                }

                tries.ShouldBeLessThan(100);
                await Task.Delay(100, TestContext.Current.CancellationToken);
            }
        }
        finally
        {
            await stack.DisposeAsync();
        }
    }

    private static ConfidentialChatClient Client(RunningStack stack) =>
        new(new ConfidentialChatOptions { ServerUrl = stack.Gateway, BearerKey = stack.ApiKey });
}
