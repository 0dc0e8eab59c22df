// RFC 9112 sections 2 to 7, as far as our own gateway, node and SDK write it.
using System.Globalization;
using System.Text;

namespace ConfidentialChat.Cli.Stack;

/// <summary>An HTTP/1.1 message that passed a <see cref="WireTap"/>, whole or as far as it came.</summary>
/// <param name="Head">From the first line to the last header.</param>
/// <param name="Body">Without the framing of its transfer.</param>
internal sealed record RecordedMessage(string Head, byte[] Body)
{
    /// <summary>Of a request the method and the path, of an answer the version and the status.</summary>
    public string FirstLine => Head.Split("\r\n")[0];

    public string? Header(string name) => Head.Split("\r\n").Skip(1)
        .Where(line => line.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase)).Select(line => line[(name.Length + 1)..].Trim()).FirstOrDefault();
}

/// <summary>A request that passed a <see cref="WireTap"/>, and its answer; null while there is none.</summary>
internal sealed record RecordedExchange(RecordedMessage Request, RecordedMessage? Answer)
{
    /// <summary>All of one tap, those of a connection in their order.</summary>
    public static IReadOnlyList<RecordedExchange> Read(IEnumerable<Recording> recordings) =>
    [
        .. recordings.GroupBy(recording => recording.Connection).SelectMany(connection =>
        {
            var requests = Messages(connection.Single(recording => recording.FromClient).Bytes);
            var answers = Messages(connection.Single(recording => !recording.FromClient).Bytes).Where(message => !message.FirstLine.Contains(" 100 ")).ToList();
            return requests.Select((request, index) => new RecordedExchange(request, answers.ElementAtOrDefault(index)));
        }),
    ];

    private static List<RecordedMessage> Messages(byte[] bytes)
    {
        var messages = new List<RecordedMessage>();
        for (var rest = bytes.AsSpan(); rest.IndexOf("\r\n\r\n"u8) is >= 0 and var end;)
        {
            var message = new RecordedMessage(Encoding.Latin1.GetString(rest[..end]), []);
            rest = rest[(end + 4)..];
            var body = new List<byte>();
            if (string.Equals(message.Header("Transfer-Encoding"), "chunked", StringComparison.OrdinalIgnoreCase))
                rest = TakeChunks(rest, body);
            else if (int.TryParse(message.Header("Content-Length"), NumberStyles.None, CultureInfo.InvariantCulture, out var length))
                rest = Take(rest, length, body);
            messages.Add(message with { Body = [.. body] });
        }

        return messages;
    }

    private static Span<byte> TakeChunks(Span<byte> rest, List<byte> body)
    {
        while (rest.IndexOf("\r\n"u8) is >= 0 and var end)
        {
            var length = int.Parse(rest[..end], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            rest = Take(rest[(end + 2)..], length, body);
            rest = rest.Length >= 2 ? rest[2..] : [];
            if (length == 0)
                break;
        }

        return rest;
    }

    private static Span<byte> Take(Span<byte> rest, int length, List<byte> body)
    {
        var taken = Math.Min(length, rest.Length);
        body.AddRange(rest[..taken]);
        return rest[taken..];
    }
}
