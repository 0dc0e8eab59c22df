using System.Text;
using System.Text.Json;
using ConfidentialChat.Bench.WholePath.Servers;

namespace ConfidentialChat.Bench.WholePath.Load;

/// <summary>What is asked of the engine.</summary>
/// <param name="Chunks">Of a stream; 0 for a whole answer.</param>
/// <param name="PaceMs">Between two chunks; 0 for as fast as they go.</param>
internal readonly record struct Shape(int Chunks, int PaceMs = 0)
{
    private const int RequestSize = 2048;

    public static Shape Whole => default;

    public bool IsStream => Chunks > 0;

    /// <summary>The request's JSON, filled up to 2 KiB.</summary>
    public byte[] Json()
    {
        var head = $$"""{"model":"{{Engine.Model}}","stream":{{(IsStream ? "true" : "false")}},"bench_chunks":{{Chunks}},"bench_pace_ms":{{PaceMs}},"messages":[{"role":"user","content":""";
        const string tail = "}]}";
        var text = string.Concat(Enumerable.Repeat("Words of a prompt that nobody reads. ", RequestSize / 32));
        return Encoding.UTF8.GetBytes(head + JsonSerializer.Serialize(text[..(RequestSize - head.Length - tail.Length - 2)]) + tail);
    }

    /// <summary>Whether an answer in clear is whole.</summary>
    public bool IsWhole(ReadOnlySpan<byte> body) => IsStream
        ? Count(body, "data: {"u8) >= Chunks + 1 && body.IndexOf("\"finish_reason\":\"stop\""u8) > 0
        : body.IndexOf("\"finish_reason\":\"stop\""u8) > 0;

    /// <summary>How often something stands in an answer.</summary>
    public static int Count(ReadOnlySpan<byte> body, ReadOnlySpan<byte> what)
    {
        var count = 0;
        for (int at; (at = body.IndexOf(what)) >= 0; body = body[(at + what.Length)..])
            count++;
        return count;
    }
}
