using System.Collections.Concurrent;
using System.Diagnostics;
using System.Reflection;
using Xunit.Sdk;
using Xunit.v3;

[assembly: TestPipelineStartup(typeof(ConfidentialChat.Tests.Watchdog))]
[assembly: ConfidentialChat.Tests.TimeLimit(120)]

namespace ConfidentialChat.Tests;

/// <summary>
/// How long a test may take: two minutes, unless its method or class says more. It needs no cooperation of the test: one that
/// hangs ends the whole run of its project, which fails with the name of the test.
/// </summary>
/// <param name="seconds">In the fast run; the longest of what assembly, class and method say counts.</param>
[AttributeUsage(AttributeTargets.Assembly | AttributeTargets.Class | AttributeTargets.Method, AllowMultiple = false)]
public sealed class TimeLimitAttribute(int seconds) : BeforeAfterTestAttribute
{
    // Whole campaigns are one test.
    private static readonly TimeSpan Campaign = TimeSpan.FromMinutes(40);

    public override void Before(MethodInfo methodUnderTest, IXunitTest test)
    {
        var limit = TimeSpan.FromSeconds(seconds);
        Watchdog.Began(test.UniqueID, test.TestDisplayName, Tree.Slow && limit < Campaign ? Campaign : limit);
    }

    public override void After(MethodInfo methodUnderTest, IXunitTest test) => Watchdog.Ended(test.UniqueID);
}

/// <summary>Ends a run of tests that hangs: within a test, or between them, in a fixture.</summary>
internal sealed class Watchdog : ITestPipelineStartup
{
    private static readonly ConcurrentDictionary<string, (string Name, long Began, TimeSpan Limit)> Running = new();
    private static readonly TimeSpan Idle = Tree.Slow ? TimeSpan.FromMinutes(40) : TimeSpan.FromMinutes(8); // fixtures start processes, and all at once
    private static (string What, long At) last = ("the start", Stopwatch.GetTimestamp());
    private static volatile bool isOver;

    public ValueTask StartAsync(IMessageSink diagnosticMessageSink)
    {
        new Thread(Watch) { IsBackground = true, Name = "watchdog" }.Start();
        return default;
    }

    public ValueTask StopAsync()
    {
        isOver = true;
        return default;
    }

    public static void Began(string id, string name, TimeSpan limit)
    {
        Running.AddOrUpdate(id, _ => (name, Stopwatch.GetTimestamp(), limit), (_, known) => known with { Limit = known.Limit > limit ? known.Limit : limit });
        last = ($"the start of {name}", Stopwatch.GetTimestamp());
    }

    public static void Ended(string id)
    {
        if (Running.TryRemove(id, out var test))
            last = ($"the end of {test.Name}", Stopwatch.GetTimestamp());
    }

    // A thread of its own: a hang may have taken all of the pool.
    private static void Watch()
    {
        while (!isOver)
        {
            Thread.Sleep(500);
            foreach (var test in Running.Values)
            {
                if (Stopwatch.GetElapsedTime(test.Began) > test.Limit)
                    End($"{test.Name} did not end within {test.Limit.TotalSeconds:0} s");
            }

            var (what, at) = last;
            if (Running.IsEmpty && Stopwatch.GetElapsedTime(at) > Idle)
                End($"nothing began or ended for {Idle.TotalSeconds:0} s after {what}");
        }
    }

    private static void End(string fault)
    {
        Warnings.Print($"time limit: {fault}");
        Console.Error.WriteLine($"time limit: {fault}");
        Console.Error.Flush();
        // What the tests started goes too: it holds the output open that somebody waits for.
        foreach (var child in Children(Environment.ProcessId))
            child.Kill();
        new Thread(() =>
        {
            Thread.Sleep(TimeSpan.FromSeconds(10));
            Process.GetCurrentProcess().Kill(); // what runs at a process's end hung, too
        })
        { IsBackground = true }.Start();
        Environment.Exit(1);
    }

    private static List<Process> Children(int parent)
    {
        var found = new List<Process>();
        foreach (var process in Process.GetProcesses())
        {
            try
            {
                if (File.ReadLines($"/proc/{process.Id}/status").Contains($"PPid:\t{parent}"))
                    found.AddRange([process, .. Children(process.Id)]);
            }
            catch (IOException)
            {
                // it has ended meanwhile, or this system has no such files
            }
        }

        return found;
    }
}
