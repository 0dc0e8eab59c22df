namespace ConfidentialChat.Hosting;

/// <summary>How much memory the runtime lets this process use for itself; request bodies lie outside of it.</summary>
internal static class HeapLimit
{
    /// <summary>With half of it a server starts, fails within the framework at its first requests, and then answers nobody.</summary>
    private const long Least = 32 * 1024 * 1024;

    /// <summary>What a cgroup, the machine or DOTNET_GCHeapHardLimit leaves.</summary>
    public static long Bytes => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

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
