// spec/gateway.md section 8 rule 3.
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Hosting;

/// <summary>
/// Bounds the lines that one peer can cause: of each thing ten a minute are said, the others are counted, and their number is said when the
/// minute is over. Safe for concurrent use.
/// </summary>
internal sealed class Seldom(TimeProvider time, ILogger<Seldom> log) : IDisposable
{
    /// <summary>Enough to see what it is about.</summary>
    private const int Said = 10;

    /// <summary>Peers and things that are counted apart. Beyond it all peers count as one: whoever has many names saves nothing by it.</summary>
    private const int MaxKept = 1024;

    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly Dictionary<(string What, long? Peer), Count> counts = [];
    private readonly Lock gate = new();

    /// <summary>Whether to say it this time. Where not, it is counted.</summary>
    /// <param name="what">What happened and what the number counts, in words of ours: <c>Junk answers of node</c>.</param>
    /// <param name="peer">Whose doing it is; null where that is nobody's number.</param>
    public bool Says(string what, long? peer = null)
    {
        lock (gate)
        {
            var key = (what, peer);
            if (!counts.TryGetValue(key, out var count))
            {
                if (counts.Count >= MaxKept)
                    key = (what, null);
                if (!counts.TryGetValue(key, out count))
                {
                    count = new Count();
                    counts.Add(key, count);
                    count.Timer = time.CreateTimer(_ => Close(key), null, Interval, Interval);
                }
            }

            return ++count.Number <= Said;
        }
    }

    public void Dispose()
    {
        lock (gate)
        {
            foreach (var count in counts.Values)
                count.Timer?.Dispose();
            counts.Clear();
        }
    }

    // The end of a minute: a quiet one is forgotten.
    private void Close((string What, long? Peer) key)
    {
        long unsaid;
        lock (gate)
        {
            if (!counts.TryGetValue(key, out var count))
                return;
            unsaid = count.Number - Said;
            count.Number = 0;
            if (unsaid <= 0)
            {
                count.Timer?.Dispose();
                counts.Remove(key);
            }
        }

        if (unsaid > 0)
            log.More(key.Peer is { } peer ? $"{key.What} {peer}" : key.What, unsaid, (int)Interval.TotalSeconds);
    }

    private sealed class Count
    {
        public long Number { get; set; }

        public ITimer? Timer { get; set; }
    }
}
