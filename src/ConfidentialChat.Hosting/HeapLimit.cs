using ConfidentialChat.Hosting.Bodies;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Hosting;

/// <summary>How much memory the runtime lets this process use for itself, and what of the rest request bodies may take, which lie outside of it.</summary>
internal static class HeapLimit
{
    /// <summary>With half of it a server starts, fails within the framework at its first requests, and then answers nobody.</summary>
    private const long Least = 32 * 1024 * 1024;

    private const int BodyShare = 4;
    private const long MostForBodies = 1024 * 1024 * 1024;

    /// <summary>What a cgroup, the machine or DOTNET_GCHeapHardLimit leaves.</summary>
    public static long Bytes => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>What request bodies take where nobody says: <see cref="BodyShare"/> of what the runtime sees, at most <see cref="MostForBodies"/>.</summary>
    /// <param name="bytes">What there is.</param>
    /// <remarks>The runtime sees three quarters of a cgroup: filled to the last page, its heap and a quarter of it beside come to 94 % of the limit.</remarks>
    public static long ForBodies(long bytes) => Math.Min(bytes / BodyShare, MostForBodies);

    /// <summary>Says where a body may be larger than what all of them may take.</summary>
    /// <param name="log">Of the server.</param>
    /// <param name="forBodies">Bytes that bodies may take, all together.</param>
    /// <param name="largestBody">Bytes that one may have.</param>
    public static void Tell(ILogger log, long forBodies, long largestBody)
    {
        if (BodyBudget.OfLarge(forBodies) is var room && room < largestBody)
            log.LittleRoom(room >> 20, largestBody >> 20);
    }

    /// <param name="bytes">What there is.</param>
    /// <param name="refuse">Makes the exception of a message and a hint.</param>
    public static void Require(long bytes, Func<string, string, Exception> refuse)
    {
        if (bytes < Least)
            throw refuse(
                $"This process may use {bytes >> 20} MiB of memory for itself, and a server needs {Least >> 20} MiB.",
                "give its cgroup more, or raise or unset DOTNET_GCHeapHardLimit");
    }
}
