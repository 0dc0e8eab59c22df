// dotnet run --project bench/Micro -c Release -- calls
using System.Diagnostics;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// What the SDK's process spends on a call, HTTP included: processor time by the system's account, and wall time. Gateway and node are
/// in another process (<see cref="LoopbackGateway"/>), so that nothing of theirs is counted.
/// </summary>
internal static class CallCost
{
    public const string Name = "calls";

    private const int Rounds = 5;

    public static async Task RunAsync()
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, LoopbackGateway.Name)
        {
            UseShellExecute = false,
            RedirectStandardInput = true, // its end ends the gateway
            RedirectStandardOutput = true,
        };
        using var gateway = Process.Start(start)!;
        var url = new Uri((await gateway.StandardOutput.ReadLineAsync())!);
        using (var client = new ConfidentialChatClient(new ConfidentialChatOptions
        {
            BearerKey = "bench",
            ServerUrl = url,
            Envelope = EnvelopeVersion.V1,
            Policy = Policy.Default with { AllowSimulated = true },
        }))
        {
            (string What, int Calls, Func<Task> Call)[] kinds =
            [
                ("whole call", 1_000, () => WholeAsync(client)),
                ("stream of one event", 1_000, () => StreamAsync(client, 1, isPaced: false)),
                ("stream of 512 events at once", 40, () => StreamAsync(client, 512, isPaced: false)),
                ("stream of 512 events one by one", 1, () => StreamAsync(client, 512, isPaced: true)),
            ];
            for (var i = 0; i < 3; i++) // until the compiler has no more to do
            {
                foreach (var (_, calls, call) in kinds)
                    await TimesAsync(calls, call);
            }

            foreach (var (what, calls, call) in kinds)
                await MeasureAsync(what, calls, call);
        }

        gateway.StandardInput.Close();
        await gateway.WaitForExitAsync();
    }

    private static async Task WholeAsync(ConfidentialChatClient client)
    {
        var answer = await client.ConfidentialChat.CreateAsync(Request(LoopbackGateway.Whole));
        Require(answer.Choices[0].Message.Content!.Text.Length == LoopbackGateway.WholeText.Length);
    }

    private static async Task StreamAsync(ConfidentialChatClient client, int events, bool isPaced)
    {
        var seen = 0;
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(Request(isPaced ? LoopbackGateway.Paced : LoopbackGateway.AtOnce, events)))
            seen += chunk.Choices.Count;
        Require(seen == events);
    }

    private static ChatCompletionRequest Request(string kind, int events = 1) =>
        new() { Model = kind, MaxTokens = events, Messages = [ChatMessage.User(new string('x', 400))] };

    // The best of the rounds: what the machine does beside only adds.
    private static async Task MeasureAsync(string what, int calls, Func<Task> call)
    {
        var (cpu, wall, bytes) = (double.MaxValue, double.MaxValue, double.MaxValue);
        for (var round = 0; round < Rounds; round++)
        {
            var (cpuBefore, bytesBefore, began) = (Environment.CpuUsage.TotalTime, GC.GetTotalAllocatedBytes(), Stopwatch.GetTimestamp());
            await TimesAsync(calls, call);
            wall = Math.Min(wall, Stopwatch.GetElapsedTime(began).TotalMicroseconds / calls);
            cpu = Math.Min(cpu, (Environment.CpuUsage.TotalTime - cpuBefore).TotalMicroseconds / calls);
            bytes = Math.Min(bytes, (GC.GetTotalAllocatedBytes() - bytesBefore) / (double)calls);
        }

        Console.WriteLine($"{what,-32} {cpu,9:F1} us CPU  {wall,9:F1} us wall  {bytes,10:F0} B a call");
    }

    private static async Task TimesAsync(int calls, Func<Task> call)
    {
        for (var i = 0; i < calls; i++)
            await call();
    }

    private static void Require(bool holds)
    {
        if (!holds)
            throw new InvalidOperationException("The answer is not the one that was asked for.");
    }
}
