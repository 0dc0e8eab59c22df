using System.Collections.Concurrent;
using System.Globalization;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>Minutes of random faults: nothing leaks. A few seconds in the fast run, four minutes in the slow one.</summary>
public sealed class SoakTests(ScriptedStack scripted, ITestOutputHelper output) : IClassFixture<ScriptedStack>
{
    private const int Callers = 12;

    // What pools may still take after the first part: for each caller two sockets, and a connection to the database, which is two files.
    // A leak in each fault would be hundreds.
    private const int PoolMax = 4 * Callers;

    private static TimeSpan Duration => Tree.Slow ? TimeSpan.FromMinutes(4) : TimeSpan.FromSeconds(8);

    [Fact]
    public async Task Random_faults_leak_no_memory_no_socket_no_lock_and_no_unit()
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        scripted.Engine.Script = Faults(new Random(seed));
        using var client = scripted.Client(await scripted.Stack.NewUserAsync());
        var outcomes = new ConcurrentDictionary<string, int>(StringComparer.Ordinal);

        // A first part warms everything up: buffers, pools, connections.
        await RunAsync(client, seed, Duration / 4, outcomes);
        var before = await RestAsync();
        await RunAsync(client, seed + 1, Duration * 3 / 4, outcomes);
        var after = await RestAsync();

        foreach (var (outcome, count) in outcomes.OrderBy(outcome => outcome.Key, StringComparer.Ordinal))
            output.WriteLine($"{outcome}: {count}");
        foreach (var role in before.Keys)
            output.WriteLine($"{role}: {before[role].Megabytes} MB and {before[role].Files} files, then {after[role].Megabytes} MB and {after[role].Files} files");
        outcomes.GetValueOrDefault("whole").ShouldBeGreaterThan(0);
        outcomes.Keys.ShouldAllBe(outcome => !outcome.StartsWith("unexpected", StringComparison.Ordinal));
        foreach (var role in before.Keys)
        {
            after[role].Files.ShouldBeLessThan(before[role].Files + PoolMax, $"{role} keeps sockets or files");
            after[role].Megabytes.ShouldBeLessThan((before[role].Megabytes * 3 / 2) + 100, $"{role} keeps memory");
        }

        scripted.Engine.Counters.InFlight.ShouldBe(0);
        Ledger.Lost(scripted.Stack).ShouldBe(0);
        Ledger.Broken(scripted.Stack).ShouldBe(0);
        await scripted.ShouldHoldNoCanaryAsync();
    }

    // A hundred exchanges, then served until the script is set again.
    private static EngineScript Faults(Random random)
    {
        EngineStep[][] kinds =
        [
            [EngineStep.Of("serve")],
            [EngineStep.Of("serve")],
            [new EngineStep { Do = "delay", Ms = 200 }, EngineStep.Of("serve")],
            EngineStep.Answer(500, ScriptedStack.EngineCanary),
            EngineStep.Answer(429, "{}", headers: ("Retry-After", "1")),
            EngineStep.Answer(200, "neither JSON nor a stream", "text/html"),
            [EngineStep.Of("reset")],
            [EngineStep.Head(), new EngineStep { Do = "stream", Events = 4 }, EngineStep.Of("cut")],
            [EngineStep.Head(), new EngineStep { Do = "stream", Events = 4 }, EngineStep.Of("reset")],
            [EngineStep.Head(), new EngineStep { Do = "stream", Events = 2 }, EngineStep.Event("{garbage")],
            [EngineStep.Head(), new EngineStep { Do = "huge", Bytes = 8 * 1024 * 1024 }],
        ];
        return new EngineScript
        {
            Model = ScriptedStack.Model,
            MaxModelLen = 100_000,
            Events = 20,
            DelayMs = 5,
            Exchanges = [.. Enumerable.Range(0, 20_000).Select(_ => new EngineExchange { Steps = kinds[random.Next(kinds.Length)] })],
        };
    }

    private async Task RunAsync(ConfidentialChatClient client, int seed, TimeSpan duration, ConcurrentDictionary<string, int> outcomes)
    {
        var until = TimeProvider.System.GetTimestamp() + (long)(duration.TotalSeconds * TimeProvider.System.TimestampFrequency);
        await Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
        {
            var random = new Random((seed * Callers) + caller);
            while (TimeProvider.System.GetTimestamp() < until)
                outcomes.AddOrUpdate(await CallAsync(client, random), 1, (_, count) => count + 1);
        })));
    }

    // One call, left early in one of four cases.
    private static async Task<string> CallAsync(ConfidentialChatClient client, Random random)
    {
        var leaves = random.Next(4) == 0;
        using var leave = new CancellationTokenSource(leaves ? TimeSpan.FromMilliseconds(random.Next(150)) : TimeSpan.FromSeconds(60));
        var request = new ChatCompletionRequest { Model = ScriptedStack.Model, Messages = [ChatMessage.User(ScriptedStack.PromptCanary)] };
        try
        {
            if (random.Next(3) == 0)
                await client.ConfidentialChat.CreateAsync(request, leave.Token);
            else
                await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, leave.Token))
                    _ = chunk;
            return "whole";
        }
        catch (OperationCanceledException) when (leaves)
        {
            return "left";
        }
        catch (ApiException e)
        {
            return e.Status is 429 or 500 or 503 ? $"refused: {e.Code}" : $"unexpected: {e.Status} {e.Code}";
        }
        catch (Exception e) when (e is StreamTruncatedException or GatewayConnectionException)
        {
            return $"broken: {e.GetType().Name}";
        }
        catch (Exception e)
        {
            return $"unexpected: {e.GetType().Name}";
        }
    }

    /// <summary>Waits until nothing is under way, and looks at the processes.</summary>
    private async Task<Dictionary<string, (long Megabytes, int Files)>> RestAsync()
    {
        for (var tries = 0; (scripted.Engine.Counters.InFlight > 0 || Ledger.Held(scripted.Stack) > 0) && tries < 2400; tries++)
            await Task.Delay(50, TestContext.Current.CancellationToken);
        Ledger.Claimed(scripted.Stack).ShouldBe(0, "locks stay claimed");
        Ledger.Held(scripted.Stack).ShouldBe(0, $"reservations stay held: {string.Join('\n', HeldLines())}");
        return scripted.Stack.Children().ToDictionary(
            child => child.Role,
            child => (ResidentMegabytes(child.Id), Directory.GetFileSystemEntries($"/proc/{child.Id}/fd").Length),
            StringComparer.Ordinal);
    }

    // What the processes say of the requests whose reservations are held.
    private IEnumerable<string> HeldLines() =>
        from request in Ledger.HeldRequests(scripted.Stack)
        from file in Directory.GetFiles(Path.Combine(scripted.Stack.DataDirectory, "logs"))
        from line in File.ReadLines(file)
        where line.Contains(request, StringComparison.Ordinal)
        select $"{Path.GetFileName(file)}: {line}";

    private static long ResidentMegabytes(int process) =>
        long.Parse(
            File.ReadLines($"/proc/{process}/status")
                .First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2],
            CultureInfo.InvariantCulture) / 1024;
}
