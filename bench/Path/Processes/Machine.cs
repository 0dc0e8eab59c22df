using System.Globalization;
using System.Runtime.InteropServices;

namespace ConfidentialChat.Bench.WholePath.Processes;

/// <summary>What the kernel knows of processes, to the nanosecond, and which core they run on. Linux.</summary>
internal static partial class Machine
{
    private const int MaskBytes = 128; // 1024 cores
    private const int CpuClockOfProcess = 2; // CPUCLOCK_SCHED of <linux/posix-timers.h>
    private const int SigTerm = 15;

    private static readonly int[] Allowed = AllowedCores();

    /// <summary>For the hop under test.</summary>
    public static int TestedCore => Allowed[0];

    /// <summary>For everything else: load, engine, and hops that are not under test.</summary>
    public static int OtherCore => Allowed[1];

    /// <summary>Above this load average others are at work.</summary>
    public const double LoadOfOthers = 0.5;

    /// <summary>The load average of the last minute.</summary>
    public static double Load => double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], CultureInfo.InvariantCulture);

    public static bool HasTwoCores => Allowed.Length >= 2;

    /// <summary>Processor time of a process, its threads that ended included.</summary>
    public static TimeSpan CpuTime(int process)
    {
        if (clock_gettime((~process << 3) | CpuClockOfProcess, out var time) != 0)
            throw new MeasurementException($"process {process} is gone");
        return TimeSpan.FromSeconds(time.Seconds) + TimeSpan.FromTicks(time.Nanoseconds / TimeSpan.NanosecondsPerTick);
    }

    /// <summary>Puts every thread of a process on one core; those that it starts later follow.</summary>
    public static unsafe void Pin(int process, int core)
    {
        var mask = stackalloc byte[MaskBytes];
        new Span<byte>(mask, MaskBytes).Clear();
        mask[core / 8] = (byte)(1 << core % 8);
        for (var pass = 0; pass < 2; pass++) // a thread may start another in between
        {
            foreach (var thread in Directory.EnumerateDirectories($"/proc/{process}/task"))
                _ = sched_setaffinity(int.Parse(Path.GetFileName(thread), CultureInfo.InvariantCulture), MaskBytes, mask);
        }
    }

    /// <summary>Resident memory of a process, in KiB.</summary>
    public static long ResidentKiB(int process)
    {
        var line = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }

    public static IEnumerable<int> Children(int process) =>
        File.ReadAllText($"/proc/{process}/task/{process}/children")
            .Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(id => int.Parse(id, CultureInfo.InvariantCulture));

    public static void Terminate(int process) => _ = kill(process, SigTerm);

    /// <summary>The processor's name.</summary>
    public static string Processor { get; } =
        File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':', 2)[1].Trim() ?? "unknown";

    private static int[] AllowedCores()
    {
        var list = File.ReadLines("/proc/self/status").First(line => line.StartsWith("Cpus_allowed_list:", StringComparison.Ordinal)).Split(':')[1].Trim();
        return [.. list.Split(',').SelectMany(range =>
        {
            var ends = range.Split('-').Select(end => int.Parse(end, CultureInfo.InvariantCulture)).ToArray();
            return Enumerable.Range(ends[0], ends[^1] - ends[0] + 1);
        })];
    }

    [LibraryImport("libc")]
    private static partial int clock_gettime(int clock, out Timespec time);

    [LibraryImport("libc")]
    private static unsafe partial int sched_setaffinity(int thread, nint size, byte* mask);

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);

    private struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}

/// <summary>Something could not be measured; the message says what.</summary>
internal sealed class MeasurementException(string message, Exception? inner = null) : Exception(message, inner);
