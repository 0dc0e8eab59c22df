using System.Diagnostics;
using System.Text;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>Many at once, and engines that fail, through gateway and node in processes of their own.</summary>
public sealed class LoadTests(ScriptedStack scripted) : IClassFixture<ScriptedStack>
{
    [Fact]
    public async Task Fifty_streams_go_through_two_rotations_with_none_lost()
    {
        const int streams = 50, tokens = 60;
        scripted.Engine.Script = scripted.Engine.Script with { Exchanges = [], Events = tokens, DelayMs = 50 };
        using var client = scripted.Client(await scripted.Stack.NewUserAsync());
        var begun = new SemaphoreSlim(0);
        var running = Enumerable.Range(0, streams).Select(_ => Task.Run(() => ReadAsync(client, onFirst: () => begun.Release()))).ToList();
        for (var i = 0; i < streams; i++)
            await begun.WaitAsync(TestContext.Current.CancellationToken);
        var node = Path.Combine(scripted.Stack.DataDirectory, "node");
        for (var i = 0; i < 2; i++)
            (await RunningStack.RunAsync(["node", "rotate", "--data", node])).ExitCode.ShouldBe(0);

        var texts = await Task.WhenAll(running);

        texts.Distinct().Count().ShouldBe(1);
        texts[0].Split(' ', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(tokens);
        scripted.Engine.Counters.PeakInFlight.ShouldBeGreaterThanOrEqualTo(streams);
        (await Ledger.SettledAsync(scripted.Stack)).ShouldBeGreaterThanOrEqualTo(streams * tokens);
        Ledger.Lost(scripted.Stack).ShouldBe(0);
    }

    [Theory]
    [InlineData("cut")]
    [InlineData("reset")]
    public async Task An_engine_that_fails_in_mid_stream_never_looks_like_an_end(string how)
    {
        scripted.Next(EngineStep.Head(), new EngineStep { Do = "stream", Events = 5, Ms = 100 }, new EngineStep { Do = "delay", Ms = 500 }, EngineStep.Of(how));
        using var client = scripted.Client(await scripted.Stack.NewUserAsync());
        var text = new StringBuilder();
        await Should.ThrowAsync<ConfidentialChatException>(() => ReadAsync(client, text: text));
        text.Length.ShouldBeGreaterThan(0);
        await Ledger.SettledAsync(scripted.Stack);
        Ledger.Lost(scripted.Stack).ShouldBe(0);
    }

    [Fact]
    public async Task An_engine_that_is_down_is_an_error_and_one_that_comes_back_serves()
    {
        using var client = scripted.Client(await scripted.Stack.NewUserAsync());
        scripted.Engine.Script = scripted.Engine.Script with { Exchanges = [], Events = 3, DelayMs = 0 };
        await ReadAsync(client);
        await scripted.Engine.LeaveAsync();
        var refusal = await Should.ThrowAsync<ApiException>(() => ReadAsync(client));
        refusal.Status.ShouldBeOneOf(500, 503);
        await scripted.Engine.ReturnAsync();
        for (var tries = 0; ; tries++)
        {
            try
            {
                (await ReadAsync(client)).ShouldNotBeEmpty();
                break;
            }
            catch (ApiException) when (tries < 100)
            {
                await Task.Delay(200, TestContext.Current.CancellationToken); // until it is looked at again
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Who_leaves_stops_the_engine_whenever_it_is(int after)
    {
        var before = scripted.Engine.Counters.Cancelled;
        scripted.Engine.Script = scripted.Engine.Script with { Exchanges = [], Events = 1000, DelayMs = 100 };
        using var client = scripted.Client(await scripted.Stack.NewUserAsync());
        using var leave = new CancellationTokenSource();
        var started = scripted.Engine.Counters.Requests;
        var reading = ReadAsync(client, cancellation: leave.Token, onEvent: count =>
        {
            if (count == after)
                leave.Cancel();
        });
        if (after == 0)
        {
            while (scripted.Engine.Counters.Requests == started)
                await Task.Delay(5, TestContext.Current.CancellationToken);
            await leave.CancelAsync();
        }

        await Should.ThrowAsync<OperationCanceledException>(() => reading);
        for (var tries = 0; scripted.Engine.Counters.Cancelled == before && tries < 1200; tries++)
            await Task.Delay(25, TestContext.Current.CancellationToken);
        scripted.Engine.Counters.Cancelled.ShouldBe(before + 1);
        await Ledger.SettledAsync(scripted.Stack);
        Ledger.Lost(scripted.Stack).ShouldBe(0);
    }

    [Fact]
    public async Task An_interrupt_stops_the_answer_of_a_conversation_and_the_engine_and_the_conversation_goes_on()
    {
        var before = scripted.Engine.Counters.Cancelled;
        scripted.Engine.Script = scripted.Engine.Script with { Exchanges = [], Events = 1000, DelayMs = 50 };
        using var chat = RunningStack.Start(
            ["chat", "--gateway", scripted.Stack.Gateway.ToString()],
            new Dictionary<string, string>
            {
                ["CONFIDENTIALCHAT_API_KEY"] = await scripted.Stack.NewUserAsync(),
                ["CONFIDENTIALCHAT_POLICY"] = scripted.Stack.PolicyFile,
            });
        var errors = new StringBuilder();
        chat.ErrorDataReceived += (_, line) =>
        {
            lock (errors)
                errors.AppendLine(line.Data);
        };
        chat.BeginErrorReadLine();
        await chat.StandardInput.WriteLineAsync("go on for ever");
        await chat.StandardInput.FlushAsync(TestContext.Current.CancellationToken);
        var first = new char[20];
        await chat.StandardOutput.ReadBlockAsync(first, TestContext.Current.CancellationToken);

        await RunningStack.SignalAsync(chat.Id, "INT");
        for (var tries = 0; scripted.Engine.Counters.Cancelled == before && tries < 1200; tries++)
            await Task.Delay(25, TestContext.Current.CancellationToken);
        scripted.Engine.Counters.Cancelled.ShouldBe(before + 1, $"{scripted.Engine.Counters}\n{Said()}");

        scripted.Engine.Script = scripted.Engine.Script with { Events = 3, DelayMs = 0 };
        await chat.StandardInput.WriteLineAsync("and now?");
        chat.StandardInput.Close();
        var rest = await chat.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await chat.WaitForExitAsync(TestContext.Current.CancellationToken);
        chat.ExitCode.ShouldBe(0, Said());
        Said().ShouldContain("(stopped)");
        rest.TrimEnd('\n').Split('\n')[^1].Split(' ', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(3);

        string Said()
        {
            lock (errors)
                return errors.ToString();
        }
    }

    // A real shell and a real pipe: the runtime swallows what SIGPIPE would have said.
    [Theory]
    [InlineData("", "head -c 1 >/dev/null", 1)] // leaves in the middle of the answer
    [InlineData("", "true", 0)] // leaves before its first word
    [InlineData("--whole", "true", 0)] // and where nothing would be written for long
    public async Task A_reader_who_leaves_the_pipe_stops_the_engine_and_is_charged_for_no_more(string option, string reader, int least)
    {
        var before = scripted.Engine.Counters;
        scripted.Engine.Script = scripted.Engine.Script with { Exchanges = [], Events = 400, DelayMs = 50 };
        var line = $"\"$0\" ask 'go on for ever' --gateway {scripted.Stack.Gateway} {option} 2>/dev/null | {reader}; echo ${{PIPESTATUS[0]}}";
        var start = new ProcessStartInfo("bash", ["-c", line, Path.Combine(AppContext.BaseDirectory, "cchat")])
        {
            RedirectStandardOutput = true,
        };
        start.Environment["CONFIDENTIALCHAT_API_KEY"] = await scripted.Stack.NewUserAsync();
        start.Environment["CONFIDENTIALCHAT_POLICY"] = scripted.Stack.PolicyFile;
        var settled = await Ledger.SettledAsync(scripted.Stack);
        using var shell = Process.Start(start)!;
        (await shell.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken)).ShouldBe("141\n");

        // The shell has its code within seconds; the whole answer would have taken twenty.
        for (var tries = 0; scripted.Engine.Counters.InFlight > 0 && tries < 400; tries++)
            await Task.Delay(25, TestContext.Current.CancellationToken);
        var after = scripted.Engine.Counters;
        after.InFlight.ShouldBe(0);
        (after.EventsSent - before.EventsSent).ShouldBeInRange(least, 100);
        (await Ledger.SettledAsync(scripted.Stack) - settled).ShouldBeLessThan(400);
        Ledger.Lost(scripted.Stack).ShouldBe(0);
    }

    private static async Task<string> ReadAsync(
        ConfidentialChatClient client, Action? onFirst = null, StringBuilder? text = null, Action<int>? onEvent = null,
        CancellationToken cancellation = default)
    {
        text ??= new StringBuilder();
        var events = 0;
        var request = new ChatCompletionRequest { Model = ScriptedStack.Model, Messages = [ChatMessage.User(ScriptedStack.PromptCanary)] };
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, cancellation))
        {
            if (events++ == 0)
                onFirst?.Invoke();
            text.Append(chunk.Choices.FirstOrDefault()?.Delta?.Content);
            onEvent?.Invoke(events);
        }

        return text.ToString();
    }
}
