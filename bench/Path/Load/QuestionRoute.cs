// spec/envelope-v2.md section 2: what a client asks a gateway before it seals anything.
using System.Text;
using ConfidentialChat.Bench.WholePath.Processes;

namespace ConfidentialChat.Bench.WholePath.Load;

/// <summary>One GET that a client makes once for each of a node's periods, or to see whether it is that time.</summary>
/// <param name="stack">Whose gateway is asked.</param>
/// <param name="path">Asked for.</param>
/// <param name="isKnown">Asks whether what it has is still so: answered 304.</param>
internal sealed class QuestionRoute(ChatStack stack, string path, bool isKnown = false) : Route
{
    private byte[] request = [];

    public override async Task PrepareAsync(int count, Shape shape)
    {
        if (request.Length > 0)
            return;
        var first = Request("");
        if (isKnown)
        {
            using var client = new HttpClient { BaseAddress = To };
            using var question = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { { "Authorization", $"Bearer {stack.ApiKeys[0]}" } } };
            using var answer = await client.SendAsync(question);
            first = Request($"If-None-Match: {answer.Headers.ETag ?? throw new LostAnswerException($"no ETag: {(int)answer.StatusCode}")}\r\n");
        }

        request = first;
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        var answer = await connection.ExchangeAsync(request);
        return answer.Status == (isKnown ? 304 : 200) ? answer.FirstByte : throw new LostAnswerException($"answered {answer.Status}");
    }

    private byte[] Request(string headers) =>
        Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: {To.Authority}\r\nAuthorization: Bearer {stack.ApiKeys[0]}\r\n{headers}\r\n");
}
