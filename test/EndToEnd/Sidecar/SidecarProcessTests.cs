using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;
using static ConfidentialChat.EndToEnd.Tests.Sidecar.SidecarUnderTest;

namespace ConfidentialChat.EndToEnd.Tests.Sidecar;

/// <summary>
/// docs/operating.md, "Signals", and spec/sidecar.md section 4: <c>cchat proxy</c> as a process of its own, with streams of each API in flight while
/// it, or what is behind it, is told to end or is killed.
/// </summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class SidecarProcessTests : IAsyncLifetime
{
    private static readonly string[] Apis = ["chat", "responses", "messages"];

    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("cchat-sidecar-");
    private readonly ScriptedStack stack = new();
    private readonly HttpClient http = new() { Timeout = TimeSpan.FromSeconds(120) };
    private Process? sidecar;
    private Task<string>? log;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private string KeyFile => Path.Combine(directory.FullName, "local-key");

    public async ValueTask InitializeAsync()
    {
        await stack.InitializeAsync();
        await File.WriteAllTextAsync(KeyFile, "first\n");
        sidecar = RunningStack.Start(
            ["proxy", "--json", "--port", "0", "--gateway", $"{stack.Stack.Gateway}", "--policy", stack.Stack.PolicyFile, "--local-key", KeyFile],
            new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = stack.Stack.ApiKey });
        log = sidecar.StandardError.ReadToEndAsync();
        var ready = await sidecar.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException(await log);
        http.BaseAddress = new Uri(new Uri(JsonElement.Parse(ready).GetProperty("sidecar").GetString()!).GetLeftPart(UriPartial.Authority));
    }

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        if (sidecar is { HasExited: false })
            sidecar.Kill();
        sidecar?.Dispose();
        await stack.DisposeAsync();
        directory.Delete(recursive: true);
    }

    [Fact]
    public async Task SIGHUP_reads_the_local_key_again_and_SIGTERM_lets_the_streams_of_each_API_come_to_their_end()
    {
        var streams = await BeginAsync(EngineStep.Wait("end"), isWhole: true);
        await File.WriteAllTextAsync(KeyFile, "second\n", Cancellation);
        await RunningStack.SignalAsync(sidecar!.Id, "HUP");
        await Waiting.UntilAsync(async () => await StatusAsync("second") == 200);
        (await StatusAsync("first")).ShouldBe(401);

        await RunningStack.SignalAsync(sidecar.Id, "TERM");
        await Waiting.UntilAsync(async () => await StatusAsync("second") is null or 503); // nobody new
        await RunningStack.SignalAsync(sidecar.Id, "HUP"); // it drains, and ends by this no sooner
        await Task.Delay(300, Cancellation);
        sidecar.HasExited.ShouldBeFalse();
        stack.Engine.Open("end");
        foreach (var (api, answer) in streams)
        {
            var (text, isWhole) = await ReadAsync(answer).Soon();
            isWhole.ShouldBeTrue(api);
            text.ShouldContain(ApiAnswers.EndOf(api));
            text.ShouldNotContain("\"error\":{");
        }

        (await EndAsync()).ShouldBe(0);
        (await log!).ShouldNotContain(ScriptedStack.PromptCanary);
    }

    [Fact]
    public async Task Told_twice_it_ends_at_once_and_no_stream_ends_like_a_whole_one()
    {
        var streams = await BeginAsync(EngineStep.Wait("never"), isWhole: false);
        await RunningStack.SignalAsync(sidecar!.Id, "TERM");
        await Task.Delay(700, Cancellation); // what comes within half a second is the same wish
        sidecar.HasExited.ShouldBeFalse();
        await RunningStack.SignalAsync(sidecar.Id, "TERM");
        (await EndAsync()).ShouldBe(143);
        foreach (var (api, answer) in streams)
        {
            var (text, isWhole) = await ReadAsync(answer).Soon();
            isWhole.ShouldBeFalse(api);
            text.ShouldNotContain(ApiAnswers.EndOf(api));
        }
    }

    [Theory]
    [InlineData("node")]
    [InlineData("gateway")]
    public async Task What_is_lost_in_mid_stream_is_an_error_of_each_API_and_the_connection_breaks(string role)
    {
        var streams = await BeginAsync(EngineStep.Wait("never"), isWhole: false);
        await RunningStack.SignalAsync(stack.Stack.Children().Single(child => child.Role == role).Id, "KILL");
        foreach (var (api, answer) in streams)
        {
            var (text, isWhole) = await ReadAsync(answer).Soon();
            isWhole.ShouldBeFalse(api);
            text.ShouldNotContain(ApiAnswers.EndOf(api));
            var last = text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)[^1].Split('\n');
            var data = JsonElement.Parse(last[^1]["data: ".Length..]);
            if (api == "messages")
                (last[0], data.GetProperty("type").GetString()).ShouldBe(("event: error", "error"));
            var code = api == "responses" ? data.GetProperty("code") : data.GetProperty("error").GetProperty("code");
            code.GetString().ShouldBeOneOf("STREAM_TRUNCATED", "GATEWAY_UNREACHABLE");
        }

        // The sidecar itself stays, and says why it seals nothing.
        (await http.GetAsync("/health/live", Cancellation)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await Waiting.UntilAsync(async () => await AskAsync() is 502 or 503 or 404 or 504);
        sidecar!.HasExited.ShouldBeFalse();
    }

    // One of each API: all but the end has been read of it.
    private async Task<List<(string Api, HttpResponseMessage Answer)>> BeginAsync(EngineStep before, bool isWhole)
    {
        stack.Engine.Script = stack.Engine.Script with
        {
            Exchanges =
            [
                .. Apis.Select(api =>
                {
                    var unfinished = ApiAnswers.Unfinished(api, "one", "two");
                    EngineStep[] rest = isWhole ? ApiAnswers.TextInPieces(api, "one", "two")[unfinished.Length..] : [];
                    return new EngineExchange { Path = ApiAnswers.PathOf(api), Steps = [.. unfinished, before, .. rest] };
                }),
            ],
        };
        var streams = new List<(string, HttpResponseMessage)>();
        foreach (var api in Apis)
        {
            var request = Asking(api, "first");
            var answer = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation);
            answer.StatusCode.ShouldBe(HttpStatusCode.OK, api);
            streams.Add((api, answer));
        }

        await Waiting.UntilAsync(() => stack.Engine.Counters.InFlight == Apis.Length);
        return streams;
    }

    private static HttpRequestMessage Asking(string api, string key)
    {
        var content = new StringContent(ApiAnswers.Request(api, ScriptedStack.Model, stream: true, ScriptedStack.PromptCanary), Encoding.UTF8);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        var request = new HttpRequestMessage(HttpMethod.Post, ApiAnswers.PathOf(api)) { Content = content };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        return request;
    }

    private async Task<int> AskAsync()
    {
        using var answer = await http.SendAsync(Asking("chat", "first"), HttpCompletionOption.ResponseHeadersRead, Cancellation);
        return (int)answer.StatusCode;
    }

    // Null where nobody listens.
    private async Task<int?> StatusAsync(string key)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/models");
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        request.Headers.ConnectionClose = true;
        try
        {
            using var answer = await http.SendAsync(request, Cancellation);
            return (int)answer.StatusCode;
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    private async Task<int> EndAsync()
    {
        await sidecar!.WaitForExitAsync(Cancellation).Soon();
        return sidecar.ExitCode;
    }
}
