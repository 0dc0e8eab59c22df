using System.Net;
using System.Net.Sockets;
using System.Text;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Relay;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/gateway.md section 8 rule 3: what nodes and strangers write into the gateway's log and into its lists.</summary>
public sealed class HostileTextTests
{
    private const string Content = "the user's own words";

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\n\u001b]0;owned\u0007" + Content + ": x\r\n\r\n", 2)]
    [InlineData("HTTP/1.1 200 OK\r\n" + Content + "\r\n\r\n", 2)]
    [InlineData("HTTP/1.1 \u001b[2J" + Content + "\r\n\r\n", 2)]
    [InlineData("\u001b[1A\u001b[2K" + Content + "\r\n2026-01-01T00:00:00.000Z info: forged[1] " + Content + "\r\n\r\n", 2)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\u001b[31m" + Content + "\r\n\r\n{}", 0)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\u001b[31m" + Content + "\r\n\r\n", 2)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}" + Content + "\r\n0\r\n\r\n", 2)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF" + Content + "\r\n\r\n", 2)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{" + Content, 2)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: text/\u001b[31m" + Content + "\r\nContent-Length: 2\r\n\r\n{}", 2)]
    [InlineData("HTTP/1.1 101 " + Content + "\r\nUpgrade: \u001b[31m" + Content + "\r\nConnection: Upgrade\r\n\r\n", 2)]
    [InlineData("HTTP/1.1 500 " + Content + "\r\nContent-Length: 90\r\n\r\n{\"error\":{\"code\":\"" + Content + "\",\"param\":\"\u001b[31m" + Content, 2)]
    [InlineData("", 2)]
    public async Task A_node_that_answers_with_escapes_and_forged_lines_leaves_its_number_and_none_of_its_words(string answer, int lines)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var raw = new RawServer(_ => answer);
        await using var node = await ScriptedNode.StartAsync(gateway, enrol: false);
        node.Address = raw.Url.GetLeftPart(UriPartial.Authority);
        (await node.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text)).StatusCode.ShouldBe(HttpStatusCode.OK);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        var before = gateway.Log.Count;
        try
        {
            using var _ = await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(locked.Envelope()));
        }
        catch (HttpRequestException)
        {
            // Half an answer was out.
        }

        // What was wrong with the node, and how the request ended; nothing where the HTTP library takes the answer for one.
        await Waiting.UntilAsync(() => gateway.Log.Count >= before + lines);
        var log = gateway.Log.Text;
        log.ShouldNotContain(Content);
        log.ShouldNotContain("forged");
        if (lines > 0)
            string.Join('\n', log.Split('\n')[before..]).ShouldContain($"Node {node.Id} ");
        (gateway.Log.Count - before).ShouldBe(lines, log);
        ShouldBeWholeLines(log, gateway.Log.Count);
    }

    [Theory]
    [InlineData("ZZ")]
    [InlineData("80000000")] // an int's overflow: another exception than the one for bad requests
    [InlineData("FFFFFFFFFFFFFFFF")]
    [InlineData("\u001b[2J")]
    [InlineData("3\r\nabcXX")]
    public async Task A_malformed_chunk_is_the_senders_fault_and_leaves_no_line_with_a_key_or_without(string chunk)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var key = await gateway.KeyAsync();
        foreach (var authorization in (string[])["", $"Authorization: Bearer {key}\r\n"])
        {
            foreach (var path in (string[])[Endpoints.Lock, GatewayUnderTest.ChatPath, NodePaths.Heartbeat, NodePaths.Enrolment, Endpoints.Health, "/nowhere"])
            {
                var status = await AskAsync(gateway.Url, $"POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n{authorization}Transfer-Encoding: chunked\r\n\r\n{chunk}\r\nabc\r\n0\r\n\r\n");
                if (path is Endpoints.Lock or GatewayUnderTest.ChatPath)
                    status.ShouldBe(authorization.Length > 0 ? "HTTP/1.1 400 Bad Request" : "HTTP/1.1 401 Unauthorized");
                else
                    status.ShouldStartWith("HTTP/1.1 4");
            }
        }

        // That a stranger is refused at the paths of nodes is said, in words of ours; of its chunks nothing.
        gateway.Log.Text.Split('\n').Where(line => !line.Contains("of a node that is not enrolled is refused: ", StringComparison.Ordinal))
            .Count(line => line.Length > 0)
            .ShouldBe(1, gateway.Log.Text);
        gateway.Log.Text.ShouldNotContain(key);
        gateway.Log.Text.ShouldNotContain(chunk);
    }

    [Fact]
    public async Task A_flood_of_odd_reports_is_counted_and_said_once_in_a_while()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var before = gateway.Log.Count;
        for (var message = 0; message < 3; message++)
            await node.ReportAsync([.. Enumerable.Range(0, 1000).Select(_ => new UsageReport(Guid.CreateVersion7(), GatewayUnderTest.Model, 1, 1, 0))]);
        (gateway.Log.Count - before).ShouldBe(10, gateway.Log.Text);

        gateway.Clock.Advance(TimeSpan.FromMinutes(1));
        await Waiting.UntilAsync(() => gateway.Log.Text.Contains($"Usage reports (Unknown) of node {node.Id}: 2990 more in 60 s.", StringComparison.Ordinal));
        gateway.Log.Count.ShouldBe(before + 11);
    }

    [Theory]
    [InlineData("\u001b]52;c;cm0gLXJmIH4=\u0007")]
    [InlineData("llama\r\nforged")]
    [InlineData("llama\u009b31m")]
    [InlineData("\u202eamall")]
    [InlineData("lla\u200bma")]
    [InlineData("llama\u2028")]
    [InlineData("")]
    public async Task A_model_whose_name_a_terminal_would_obey_is_refused_at_enrolment_and_in_heartbeats(string name)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway, enrol: false);
        node.Models = ["good", name];
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        await (await node.EnrolAsync(token)).ShouldBeErrorAsync(400, "INVALID_FIELD", "models");
        node.Models = ["good"];
        (await node.EnrolAsync(token)).StatusCode.ShouldBe(HttpStatusCode.OK); // nothing was spent
        node.Models = ["good", name];
        await (await node.BeatAsync()).ShouldBeErrorAsync(400, "INVALID_FIELD", "models");
        (await gateway.Operator.ListNodesAsync()).Single().Models.ShouldBe(["good"]);
    }

    [Theory]
    [InlineData("http://127.0.0.1\\u001b[2J:80")]
    [InlineData("http://127.0.0.1/\\u001b[2J")]
    [InlineData("http://127.0.0.1/%1b[2J")]
    [InlineData("http://\\u202e127.0.0.1:80")]
    [InlineData("http://127.0.0.1:80\\u2028")]
    [InlineData("http://a\\u00adb.localhost:80")]
    [InlineData("http://\\u001b[2J@127.0.0.1:80")]
    public async Task An_address_that_a_terminal_would_obey_is_refused(string address)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway, enrol: false);
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        var response = await node.EnrolAsync(token, change: json => json.Replace(node.Address, address, StringComparison.Ordinal));
        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
    }

    [Fact]
    public void An_entry_is_one_line_whatever_is_in_it()
    {
        var line = Line("names\n2026-01-01T00:00:00.000Z info: forged[1] all is well \u001b[2J\u009b31m\u202e", null);
        line.ShouldStartWith("2026-01-02T03:04:05.000Z fail: test[7] names\uFFFD2026-01-01");
        ShouldBeWholeLines(line, 1);
    }

    [Fact]
    public void Of_an_exception_the_kinds_and_the_stack_are_written_but_no_words_of_a_peer()
    {
        Exception Thrown(Exception exception)
        {
            try
            {
                throw exception;
            }
            catch (Exception e)
            {
                return e;
            }
        }

        var quoting = new HttpRequestException($"Received an invalid header name: '\u001b[2J{Content}\nforged'.");
        var line = Line("broken", Thrown(new InvalidOperationException(Content, Thrown(new AggregateException(Content, quoting)))));
        line.ShouldContain(" System.InvalidOperationException ---> System.AggregateException ---> System.Net.Http.HttpRequestException ");
        line.ShouldContain(nameof(Of_an_exception_the_kinds_and_the_stack_are_written_but_no_words_of_a_peer));
        line.ShouldNotContain(Content);
        ShouldBeWholeLines(line, 1);

        foreach (var foreign in (Exception[])[
            new HttpIOException(HttpRequestError.InvalidResponse, Content), new BadHttpRequestException(Content), new FormatException(Content),
            new System.Text.Json.JsonException(Content)])
            Line("broken", Thrown(foreign)).ShouldNotContain(Content);
        Line("broken", Thrown(new IOException("No space left on device : '/srv/a\nb'")))
            .ShouldContain("System.IO.IOException: No space left on device : '/srv/a\uFFFDb' ");
    }

    [Fact]
    public void A_very_long_entry_ends()
    {
        var deep = new InvalidOperationException(Content);
        for (var i = 0; i < 100; i++)
            deep = new InvalidOperationException(Content, deep);
        Line(new string('x', 1_000_000), deep).Length.ShouldBeLessThan(6000);
    }

    [Fact]
    public void Ten_lines_a_minute_are_said_of_one_peer_and_others_are_not_silenced_by_it()
    {
        var (clock, log) = (new FakeTimeProvider(), new CapturedLog());
        using var seldom = new Seldom(clock, new Logger<Seldom>(new OneLog(log)));
        Enumerable.Range(0, 500).Count(_ => seldom.Says("Tests of node", 1)).ShouldBe(10);
        Enumerable.Range(0, 5).Count(_ => seldom.Says("Tests of node", 2)).ShouldBe(5);
        Enumerable.Range(0, 5).Count(_ => seldom.Says("Other tests of node", 1)).ShouldBe(5);
        log.Count.ShouldBe(0);
        clock.Advance(TimeSpan.FromSeconds(60));
        log.Text.ShouldContain("Tests of node 1: 490 more in 60 s.");
        log.Count.ShouldBe(1);
        Enumerable.Range(0, 15).Count(_ => seldom.Says("Tests of node", 1)).ShouldBe(10);
        clock.Advance(TimeSpan.FromMinutes(5));
        log.Text.ShouldContain("Tests of node 1: 5 more in 60 s.");
        log.Count.ShouldBe(2); // and quiet minutes are not mentioned
    }

    [Fact]
    public void Whoever_has_a_million_names_is_counted_as_one()
    {
        var (clock, log) = (new FakeTimeProvider(), new CapturedLog());
        using var seldom = new Seldom(clock, new Logger<Seldom>(new OneLog(log)));
        var said = 0;
        Parallel.For(0, 1_000_000, peer =>
        {
            if (seldom.Says("Tests of peer", peer))
                Interlocked.Increment(ref said);
        });
        said.ShouldBe(1024 + 10);
        clock.Advance(TimeSpan.FromMinutes(1));
        log.Text.ShouldContain($"Tests of peer: {1_000_000 - 1024 - 10} more in 60 s.");
        log.Count.ShouldBe(1);
    }

    private static void ShouldBeWholeLines(string log, int count)
    {
        log.Where(sign => char.IsControl(sign) && sign != '\n').ShouldBeEmpty();
        log.ShouldNotContain('\u202e');
        log.Count(sign => sign == '\n').ShouldBe(count);
        log.ShouldEndWith("\n");
    }

    private static string Line(string message, Exception? exception)
    {
        using var written = new StringWriter();
        new LogLine(new FakeTimeProvider(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero)))
            .Write(new LogEntry<string>(LogLevel.Error, "test", 7, message, exception, (state, _) => state), null, written);
        return written.ToString();
    }

    private static async Task<string> AskAsync(Uri url, string request)
    {
        using var connection = new TcpClient();
        await connection.ConnectAsync(url.Host, url.Port);
        await connection.GetStream().WriteAsync(Encoding.UTF8.GetBytes(request));
        using var reader = new StreamReader(connection.GetStream(), Encoding.Latin1);
        var status = await reader.ReadLineAsync() ?? "";
        try
        {
            await reader.ReadToEndAsync(); // the server ends the connection: it does not know where the next request would begin
        }
        catch (IOException)
        {
            // By a reset, because it had not read everything.
        }

        return status;
    }

    private sealed class OneLog(CapturedLog log) : ILoggerFactory
    {
        public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

        public ILogger CreateLogger(string categoryName) => log;

        public void Dispose()
        {
        }
    }
}
