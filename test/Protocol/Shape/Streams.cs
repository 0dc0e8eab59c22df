using System.Buffers;
using System.Net.ServerSentEvents;
using System.Text;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Shape;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.Shape;

/// <summary>Event streams, and both ends of a padded one.</summary>
internal static class Streams
{
    public static readonly ResponseHead Head = new(200, [new("content-type", "text/event-stream")]);

    public static readonly FieldSection Trailers = [new("confidential-receipt", new string('r', 700))];

    /// <summary>Is set where the long runs are wanted.</summary>
    /// <summary>Bytes of which most make lines, comments, fillers and blank lines.</summary>
    public static Gen<byte[]> Signs { get; } = Pieces([.. Common, "~", ":~\n", ":~~~\n"]);

    /// <summary>The same without what looks like a filler.</summary>
    public static Gen<byte[]> SignsWithoutFillers { get; } = Pieces([.. Common, ": ~\n", ":\n", ":ping\r\n\r\n"]);

    private static string[] Common =>
        ["\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "data: x", "data:", "data", ":", ": ping\n", "id: 7", "event: e", "\uFEFF", "é😀", " "];

    public static Gen<int[]> Places { get; } = Gen.Int[0, int.MaxValue].Array[0, 6];

    public static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);

    /// <summary>An event of exactly this size, at least 8, with its blank line.</summary>
    public static string Event(int size, string end = "\n") => "data: " + new string('x', size - 6 - (2 * end.Length)) + end + end;

    /// <summary>Pads a stream that arrives cut at these places; all chunks, the last one included.</summary>
    public static List<byte[]> Pad(ReadOnlySpan<byte> events, params ReadOnlySpan<int> places) => Pad(events, Head, Trailers, places);

    public static List<byte[]> Pad(ReadOnlySpan<byte> events, ResponseHead head, FieldSection trailers, params ReadOnlySpan<int> places)
    {
        var padder = new EventPadder(head);
        var chunks = new List<byte[]>();
        var cuts = Cuts(events.Length, places);
        for (var i = 1; i < cuts.Length; i++)
        {
            var input = events[cuts[i - 1]..cuts[i]];
            while (padder.TryPad(ref input, isFinal: i == cuts.Length - 1, out var chunk))
                chunks.Add(chunk.ToArray());
            input.IsEmpty.ShouldBeTrue();
        }

        var content = padder.EndContent().ToArray();
        var last = padder.Finish(trailers).ToArray();
        last.AsSpan(0, content.Length).SequenceEqual(content).ShouldBeTrue();
        chunks.Add(last);
        return chunks;
    }

    /// <summary>Takes the fillers out of a stream that arrives cut at these places.</summary>
    public static byte[] Unpad(ReadOnlySpan<byte> events, params ReadOnlySpan<int> places)
    {
        var unpadder = new EventUnpadder();
        var output = new ArrayBufferWriter<byte>();
        var cuts = Cuts(events.Length, places);
        for (var i = 1; i < cuts.Length; i++)
            unpadder.Unpad(events[cuts[i - 1]..cuts[i]], output);
        unpadder.Complete(output);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>The answer that the chunks make.</summary>
    public static BinaryResponse Answer(IEnumerable<byte[]> chunks)
    {
        _ = BinaryResponse.TryParse(chunks.SelectMany(chunk => chunk).ToArray(), BinaryHttpLimits.Default, out var answer, out var error);
        error.ShouldBe(BinaryHttpError.None);
        return answer!;
    }

    /// <summary>What the stream says to a reader of another make.</summary>
    public static string Events(byte[] stream) =>
        string.Join(
            '\u001E',
            SseParser.Create(new MemoryStream(stream)).Enumerate().Select(item => $"{item.EventType}|{item.EventId}|{item.Data}"));

    private static Gen<byte[]> Pieces(string[] pieces) =>
        Gen.Int[0, pieces.Length - 1].Array[0, 40].Select(picks => Utf8(string.Concat(picks.Select(pick => pieces[pick]))));

    private static int[] Cuts(int length, ReadOnlySpan<int> places)
    {
        int[] cuts = [0, .. places, length];
        for (var i = 1; i < cuts.Length - 1; i++)
            cuts[i] %= length + 1;
        Array.Sort(cuts);
        return cuts;
    }
}
