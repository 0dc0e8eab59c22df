// spec/sidecar.md section 6; Prometheus' text format, version 0.0.4.
using System.Globalization;
using System.Text;
using ConfidentialChat.Client;
using ConfidentialChat.Protocol;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Sidecar;

/// <summary>What became of a request, as it is counted.</summary>
internal enum AnswerStatus
{
    Success,
    CallerError,
    ServerError,

    /// <summary>The answer had begun and was cut.</summary>
    Cut,

    /// <summary>The caller left before its end.</summary>
    Gone,
}

/// <summary>The counters. Their labels are paths and words of ours: nothing that a program or a peer wrote. Safe for concurrent use.</summary>
internal sealed class SidecarMetrics(RequestPlaces places, TimeProvider time)
{
    private const string Other = "other";
    private const string Prefix = "confidentialchat_sidecar_";
    private const string MediaType = "text/plain; version=0.0.4; charset=utf-8";

    private static readonly string[] Paths =
    [
        .. InferenceEndpoints.Table.Select(row => row.Path),
        LocalPaths.Models, LocalPaths.Attestation, LocalPaths.Metrics, LocalPaths.Live, LocalPaths.Ready, Other,
    ];

    private static readonly string[] Statuses = ["2xx", "4xx", "5xx", "cut", "gone"]; // as AnswerStatus

    /// <summary>Seconds. An answer of a few tokens takes a tenth, a long one minutes.</summary>
    private static readonly double[] Bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

    private readonly long[,] requests = new long[Paths.Length, Statuses.Length];
    private readonly long[] received = new long[Paths.Length];
    private readonly long[] sent = new long[Paths.Length];
    private readonly Latency[] first = Latencies();
    private readonly Latency[] whole = Latencies();
    private long verdictEnd;

    public static AnswerStatus ClassOf(int status) => status switch
    {
        < 400 => AnswerStatus.Success,
        < 500 => AnswerStatus.CallerError,
        _ => AnswerStatus.ServerError,
    };

    public void Note(PathString path, AnswerStatus status, RequestRecord record, long began, long ended)
    {
        var index = IndexOf(path.Value);
        Interlocked.Increment(ref requests[index, (int)status]);
        Interlocked.Add(ref received[index], record.BodyBytes);
        Interlocked.Add(ref sent[index], record.AnswerBytes);
        if (record.Began is { } at)
            first[index].Note(time.GetElapsedTime(began, at));
        whole[index].Note(time.GetElapsedTime(began, ended));
    }

    /// <summary>The newest verdict that a request went out under.</summary>
    public void Note(VerifiedNode node) => Volatile.Write(ref verdictEnd, node.SealBefore.ToUnixTimeSeconds());

    public async Task WriteAsync(HttpContext context)
    {
        var bytes = Encoding.UTF8.GetBytes(Text());
        context.Response.ContentType = MediaType;
        context.Response.ContentLength = bytes.Length;
        context.Response.Headers.CacheControl = "no-store";
        await context.Response.Body.WriteAsync(bytes, context.RequestAborted);
    }

    private string Text()
    {
        var text = new StringBuilder(4096);
        Head("requests_total", "counter", "Requests, by what became of them.");
        for (var path = 0; path < Paths.Length; path++)
        {
            for (var status = 0; status < Statuses.Length; status++)
            {
                if (Volatile.Read(ref requests[path, status]) is > 0 and var count)
                    Line("requests_total", $"endpoint=\"{Paths[path]}\",status=\"{Statuses[status]}\"", count);
            }
        }

        Sums("request_bytes_total", "Bytes of requests, as programs sent them.", received);
        Sums("answer_bytes_total", "Bytes of answers, as programs got them.", sent);
        Histograms("first_byte_seconds", "From a request to the first byte of its answer.", first);
        Histograms("request_seconds", "From a request to the end of its answer.", whole);
        Head("requests_in_flight", "gauge", "Requests that are asked now.");
        Line("requests_in_flight", null, places.Count);
        Head("verdict_end_timestamp_seconds", "gauge", "When the verdict ends under which the newest request was sealed; 0 before the first.");
        Line("verdict_end_timestamp_seconds", null, Volatile.Read(ref verdictEnd));
        return text.ToString();

        void Head(string name, string kind, string help) =>
            text.Append(CultureInfo.InvariantCulture, $"# HELP {Prefix}{name} {help}\n# TYPE {Prefix}{name} {kind}\n");

        void Line(string name, string? labels, double value)
        {
            text.Append(Prefix).Append(name);
            if (labels is not null)
                text.Append('{').Append(labels).Append('}');
            text.Append(' ').Append(value.ToString("R", CultureInfo.InvariantCulture)).Append('\n');
        }

        void Sums(string name, string help, long[] sums)
        {
            Head(name, "counter", help);
            for (var path = 0; path < Paths.Length; path++)
            {
                if (Volatile.Read(ref sums[path]) is > 0 and var sum)
                    Line(name, $"endpoint=\"{Paths[path]}\"", sum);
            }
        }

        void Histograms(string name, string help, Latency[] latencies)
        {
            Head(name, "histogram", help);
            for (var path = 0; path < Paths.Length; path++)
            {
                var (counts, seconds) = latencies[path].Read();
                var sum = counts.Sum();
                if (sum == 0)
                    continue;
                for (var (bound, below) = (0, 0L); bound <= Bounds.Length; bound++)
                {
                    below += counts[bound];
                    var limit = bound < Bounds.Length ? Bounds[bound].ToString("R", CultureInfo.InvariantCulture) : "+Inf";
                    Line($"{name}_bucket", $"endpoint=\"{Paths[path]}\",le=\"{limit}\"", below);
                }

                Line($"{name}_sum", $"endpoint=\"{Paths[path]}\"", seconds);
                Line($"{name}_count", $"endpoint=\"{Paths[path]}\"", sum);
            }
        }
    }

    private static int IndexOf(string? path)
    {
        var index = Array.IndexOf(Paths, path);
        return index < 0 ? Paths.Length - 1 : index;
    }

    private static Latency[] Latencies() => [.. Paths.Select(_ => new Latency())];

    private sealed class Latency
    {
        private readonly long[] counts = new long[Bounds.Length + 1];
        private long ticks;

        public void Note(TimeSpan time)
        {
            var index = Array.FindIndex(Bounds, bound => time.TotalSeconds <= bound);
            Interlocked.Increment(ref counts[index < 0 ? Bounds.Length : index]);
            Interlocked.Add(ref ticks, time.Ticks);
        }

        public (long[] Counts, double Seconds) Read() =>
            ([.. counts.Select((_, index) => Volatile.Read(ref counts[index]))], TimeSpan.FromTicks(Volatile.Read(ref ticks)).TotalSeconds);
    }
}
