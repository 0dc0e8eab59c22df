using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;
using static ConfidentialChat.EndToEnd.Tests.Sidecar.SidecarUnderTest;

namespace ConfidentialChat.EndToEnd.Tests.Sidecar;

/// <summary>
/// spec/sidecar.md sections 1, 4, 5 and 7, byte for byte on a socket and in the shape of each API: pages, slow and oversized uploads, readers that
/// read slowly or leave, streams that break off.
/// </summary>
public sealed class SidecarWireTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string> Apis => ["chat", "responses", "messages"];

    [Theory]
    [MemberData(nameof(Apis))]
    public async Task A_page_whose_name_was_pointed_at_this_machine_and_one_of_another_site_are_told_nothing(string api)
    {
        await using var sidecar = await StartAsync(stack.Stack.Options());
        var before = stack.Engine.Counters.Requests;
        var port = sidecar.Url.Port;
        (string Head, int Status, string Code)[] pages =
        [
            ($"Host: rebound.example:{port}\r\nOrigin: http://rebound.example:{port}\r\nSec-Fetch-Site: same-origin", 421, "HOST_REFUSED"),
            ($"Host: 127.0.0.1:{port}\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site", 403, "ORIGIN_REFUSED"),
            ($"Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors", 403, "ORIGIN_REFUSED"),
            ($"Host: localhost:{port}\r\nOrigin: http://localhost:3000\r\nSec-Fetch-Site: same-site", 403, "ORIGIN_REFUSED"),
        ];
        foreach (var (head, status, code) in pages)
        {
            // No byte of the body is sent: nobody waits for it.
            var said = await SayAsync(
                sidecar, $"POST {ApiAnswers.PathOf(api)} HTTP/1.1\r\n{head}\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n");
            said.ShouldStartWith($"HTTP/1.1 {status} ");
            said.ShouldNotContain("Access-Control-Allow-Origin", Case.Insensitive);
            ErrorOf(said, api).GetProperty("code").GetString().ShouldBe(code);
        }

        stack.Engine.Counters.Requests.ShouldBe(before);
    }

    [Theory]
    [MemberData(nameof(Apis))]
    public async Task A_body_that_comes_too_slowly_is_not_waited_for(string api)
    {
        await using var sidecar = await StartAsync(stack.Stack.Options(), options => options with { UploadTimeout = TimeSpan.FromSeconds(1) });
        var took = Stopwatch.StartNew();
        var said = await SayAsync(sidecar, Head(api, 1000) + "{\"model\":");
        said.ShouldStartWith("HTTP/1.1 408 ");
        ErrorOf(said, api).GetProperty("code").GetString().ShouldBe("BODY_TOO_SLOW");
        took.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(20));
    }

    [Theory]
    [MemberData(nameof(Apis))]
    public async Task A_body_that_is_too_large_is_refused_by_what_it_says_and_by_what_comes(string api)
    {
        await using var sidecar = await StartAsync(stack.Stack.Options(), options => options with { MaxBodyBytes = 100_000 });
        var before = stack.Engine.Counters.Requests;
        var announced = await SayAsync(sidecar, Head(api, 100_001));
        announced.ShouldStartWith("HTTP/1.1 413 ");
        ErrorOf(announced, api).GetProperty("type").GetString().ShouldBe("request_too_large");
        var chunk = $"{50_000:x}\r\n{new string(' ', 50_000)}\r\n";
        var counted = await SayAsync(
            sidecar, Head(api, null) + chunk + chunk + chunk); // and never the last one
        counted.ShouldStartWith("HTTP/1.1 413 ");
        ErrorOf(counted, api).GetProperty("code").GetString().ShouldBe("BODY_TOO_LARGE");
        stack.Engine.Counters.Requests.ShouldBe(before);
    }

    [Theory]
    [MemberData(nameof(Apis))]
    public async Task A_program_that_leaves_within_its_body_or_its_answer_costs_nobody_anything(string api)
    {
        await using var sidecar = await StartAsync(stack.Stack.Options());
        var requests = stack.Engine.Counters.Requests;
        using (var leaving = await ConnectAsync(sidecar))
            await leaving.GetStream().WriteAsync(Encoding.UTF8.GetBytes(Head(api, 1000) + "{\"model\":"), Cancellation);

        var cancelled = stack.Engine.Counters.Cancelled;
        stack.Next([.. ApiAnswers.Unfinished(api, "one", "two"), EngineStep.Wait("never")]);
        using (var reading = await ConnectAsync(sidecar))
        {
            await reading.GetStream().WriteAsync(Whole(api, stream: true), Cancellation);
            await UntilReadAsync(reading, "two");
        }

        await Waiting.UntilAsync(() => stack.Engine.Counters.Cancelled > cancelled);
        (stack.Engine.Counters.Requests - requests).ShouldBe(1); // of the first nothing was sent
        await Waiting.UntilAsync(async () =>
            (await sidecar.Http.GetStringAsync("/metrics", Cancellation)).Contains("requests_in_flight 0", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Apis))]
    public async Task A_stream_that_breaks_off_ends_in_its_APIs_error_and_without_the_end_of_its_body(string api)
    {
        await using var sidecar = await StartAsync(stack.Stack.Options());
        stack.Next([.. ApiAnswers.Unfinished(api, "one", "two"), new EngineStep { Do = "delay", Ms = 100 }, EngineStep.Of("cut")]);
        using var reading = await ConnectAsync(sidecar);
        await reading.GetStream().WriteAsync(Whole(api, stream: true), Cancellation);
        var said = await ToEndAsync(reading);
        said.ShouldStartWith("HTTP/1.1 200 ");
        said.ShouldContain("Transfer-Encoding: chunked", Case.Insensitive);
        said.ShouldNotEndWith("0\r\n\r\n"); // RFC 9112 section 7.1: such a body is not whole
        said.ShouldNotContain(ApiAnswers.EndOf(api));
        said.ShouldContain("STREAM_TRUNCATED");
        if (api != "chat")
            said.ShouldContain("event: error\n");
        if (api == "responses") // events are numbered from 0: the next of those that were shown
            said.ShouldContain($"\"sequence_number\":{said.Split("event: ").Length - 2}}}");
    }

    [Fact]
    public async Task A_program_that_does_not_read_slows_its_own_answer_down_and_gets_all_of_it()
    {
        const int events = 7_000, bytes = 8 * 1024; // more than all sockets on the way take, and less than an answer may have
        await using var sidecar = await StartAsync(stack.Stack.Options());
        var sent = stack.Engine.Counters.EventsSent;
        stack.Next(
            EngineStep.Head(), new EngineStep { Do = "stream", Events = events, Bytes = bytes }, EngineStep.Of("finish"), EngineStep.Of("done"));
        using var reading = await ConnectAsync(sidecar, receiveBuffer: 16 * 1024);
        await reading.GetStream().WriteAsync(Whole("chat", stream: true), Cancellation);
        var (before, since) = (-1L, Stopwatch.StartNew());
        await Waiting.UntilAsync(() =>
        {
            if (stack.Engine.Counters.EventsSent is var now && now != before)
                (before, since) = (now, Stopwatch.StartNew());
            return before > sent && since.Elapsed > TimeSpan.FromSeconds(3);
        });
        (before - sent).ShouldBeLessThan(events);
        using (var other = await sidecar.PostAsync(ApiAnswers.PathOf("chat"), Chat(ScriptedStack.Model)))
            ((int)other.StatusCode).ShouldBe(200); // others do not wait for it

        var tail = "";
        var (buffer, read) = (new byte[1 << 20], 0L);
        while (!tail.EndsWith("0\r\n\r\n", StringComparison.Ordinal))
        {
            var got = await reading.GetStream().ReadAsync(buffer, Cancellation).AsTask().Soon();
            got.ShouldBeGreaterThan(0, $"it ended after {read} bytes: {tail}");
            read += got;
            tail = (tail + Encoding.ASCII.GetString(buffer, Math.Max(0, got - 64), Math.Min(got, 64)))[^Math.Min(64, tail.Length + Math.Min(got, 64))..];
        }

        tail.ShouldContain("[DONE]");
        read.ShouldBeGreaterThan((long)events * bytes);
    }

    private static string Head(string api, int? length) =>
        $"POST {ApiAnswers.PathOf(api)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        + (length is { } bytes ? $"Content-Length: {bytes}" : "Transfer-Encoding: chunked") + "\r\n\r\n";

    private static byte[] Whole(string api, bool stream)
    {
        var body = ApiAnswers.Request(api, ScriptedStack.Model, stream);
        return Encoding.UTF8.GetBytes(Head(api, Encoding.UTF8.GetByteCount(body)) + body);
    }

    private static JsonElement ErrorOf(string said, string api)
    {
        var body = JsonElement.Parse(said[said.IndexOf('{', StringComparison.Ordinal)..(said.LastIndexOf('}') + 1)]);
        body.TryGetProperty("type", out var type).ShouldBe(api == "messages");
        if (api == "messages")
            type.GetString().ShouldBe("error");
        return body.GetProperty("error");
    }

    private static async Task<TcpClient> ConnectAsync(SidecarUnderTest sidecar, int? receiveBuffer = null)
    {
        var client = new TcpClient();
        if (receiveBuffer is { } bytes)
            client.ReceiveBufferSize = bytes;
        await client.ConnectAsync(sidecar.Url.Host, sidecar.Url.Port, Cancellation);
        return client;
    }

    // Until the whole error is there; who has not sent all of a body keeps the connection.
    private static async Task<string> SayAsync(SidecarUnderTest sidecar, string text)
    {
        using var client = await ConnectAsync(sidecar);
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(text), Cancellation);
        return await UntilReadAsync(client, "}}");
    }

    private static async Task<string> UntilReadAsync(TcpClient client, string text)
    {
        var (said, buffer) = (new StringBuilder(), new byte[4096]);
        while (!said.ToString().Contains(text, StringComparison.Ordinal))
        {
            var read = await client.GetStream().ReadAsync(buffer, Cancellation).AsTask().Soon();
            read.ShouldBeGreaterThan(0, said.ToString());
            said.Append(Encoding.UTF8.GetString(buffer, 0, read));
        }

        return said.ToString();
    }

    private static async Task<string> ToEndAsync(TcpClient client)
    {
        var (said, buffer) = (new StringBuilder(), new byte[4096]);
        try
        {
            while (await client.GetStream().ReadAsync(buffer, Cancellation).AsTask().Soon() is > 0 and var read)
                said.Append(Encoding.UTF8.GetString(buffer, 0, read));
        }
        catch (IOException)
        {
            // reset, which is no end either
        }

        return said.ToString();
    }
}
