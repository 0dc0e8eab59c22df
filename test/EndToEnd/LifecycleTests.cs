using System.Text;
using System.Text.Json;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>Starting, stopping and starting again, as an operator does it.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class LifecycleTests
{
    // One life after the other: each start is of three processes.
    [Fact]
    public async Task Up_is_ready_in_one_line_breaks_no_stream_on_SIGTERM_comes_back_with_its_key_and_leaves_nothing_behind_when_killed()
    {
        var data = Directory.CreateTempSubdirectory("cchat-test-").FullName;
        var first = new RunningStack([], data);
        try
        {
            await first.InitializeAsync();
            var ready = JsonDocument.Parse(first.ReadyLine).RootElement;
            ready.EnumerateObject().Select(member => member.Name).ShouldBe(["gateway", "node", "api_key", "model", "policy", "sidecar"]);
            foreach (var url in (string[])["gateway", "node"])
                ready.GetProperty(url).GetString()!.ShouldMatch("^http://127\\.0\\.0\\.1:[0-9]+$");
            await EndsAfterItsStreamAsync(first);
        }
        catch
        {
            await first.DisposeAsync(); // with its data, which the second would have had
            throw;
        }

        await using var second = new RunningStack([], data);
        await second.InitializeAsync();
        second.ApiKey.ShouldBe(first.ApiKey);
        using (var client = Client(second))
        {
            var answer = await client.ConfidentialChat.CreateAsync(
                new ChatCompletionRequest { Model = "fixture", Messages = [ChatMessage.User("again")], Temperature = 0 },
                TestContext.Current.CancellationToken);
            answer.Choices[0].Message.Content!.Text.ShouldBe(FixtureModel.Answer);
        }

        await LeavesNothingBehindWhenKilledAsync(second);
    }

    private static async Task EndsAfterItsStreamAsync(RunningStack stack)
    {
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

    private static async Task LeavesNothingBehindWhenKilledAsync(RunningStack stack)
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

    private static ConfidentialChatClient Client(RunningStack stack) =>
        new(stack.Options());
}
