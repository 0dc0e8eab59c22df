using System.Net;
using System.Text;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Node.Tests.Upstream;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>
/// spec/gateway.md section 8 rule 3: what an engine, which reads prompts and may be anybody's, writes into the node's log and into what the gateway
/// sees.
/// </summary>
public sealed class HostileEngineTests
{
    private const string Content = "the user's own words";

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\n\u001b]0;owned\u0007" + Content + ": x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n" + Content + "\r\n\r\n")]
    [InlineData("HTTP/1.1 \u001b[2J" + Content + "\r\n\r\n")]
    [InlineData("\u001b[1A\u001b[2K" + Content + "\r\n2026-01-01T00:00:00.000Z info: forged[1] " + Content + "\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\u001b[31m" + Content + "\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF" + Content + "\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{" + Content)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: text/\u001b[31m" + Content + "\r\nContent-Length: 2\r\n\r\n{}")]
    [InlineData("HTTP/1.1 101 " + Content + "\r\nUpgrade: \u001b[31m" + Content + "\r\nConnection: Upgrade\r\n\r\n")]
    [InlineData("HTTP/1.1 302 Found\r\nLocation: http://" + Content + "/\u001b[31m\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 500 " + Content + "\r\nContent-Length: 90\r\n\r\n{\"error\":{\"code\":\"" + Content + "\",\"param\":\"\u001b[31m" + Content)]
    [InlineData("HTTP/1.1 429 " + Content + "\r\nRetry-After: \u001b[31m" + Content + "\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"error\":{\"message\":\"" + Content + "\",\"type\":\"\\u001b[31m\"}}\n\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: \u001b[31m" + Content + "\ndata: " + Content + "\n\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"model\":\"\u001b[31m" + Content + "\",\"choices\":{\"" + Content + "\":1}}\n\n")]
    [InlineData("")]
    public async Task An_engine_that_answers_with_escapes_and_a_prompt_leaves_none_of_its_words(string answer)
    {
        using var engine = new RawServer(
            request => request.StartsWith("POST", StringComparison.Ordinal) ? answer : "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}");
        await using var backend = await UpstreamUnderTest.OpenAsync(options => options with { Kind = EngineKind.Vllm }, engine.Url);
        await using var node = await NodeUnderTest.StartAsync(backend);
        foreach (var stream in (bool[])[false, true])
        {
            var call = node.Seal(Encoding.UTF8.GetBytes(UpstreamUnderTest.Chat(stream)), stream);
            using var response = await node.PostAsync(call);
            if (response.StatusCode == HttpStatusCode.OK)
            {
                try
                {
                    (await response.Content.ReadAsStringAsync()).ShouldNotContain(Content); // sealed, if anything
                }
                catch (Exception e) when (e is HttpRequestException or HttpIOException)
                {
                    // Cut off.
                }
            }
            else
            {
                (await response.Content.ReadAsStringAsync()).ShouldNotContain(Content);
                response.ReasonPhrase!.ShouldNotContain(Content);
                response.Headers.ToString().ShouldNotContain(Content);
            }
        }

        var log = node.Log.Text;
        log.ShouldNotContain(Content);
        log.ShouldNotContain("forged");
        log.ShouldNotContain("\u001b");
    }
}
