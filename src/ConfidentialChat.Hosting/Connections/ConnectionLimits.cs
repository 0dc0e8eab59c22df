// spec/gateway.md section 8 rule 1.
namespace ConfidentialChat.Hosting.Connections;

/// <summary>How many connections a server has at once, and for whom.</summary>
/// <param name="Most">All of them.</param>
/// <param name="Trusted">Addresses that stand for many strangers.</param>
internal sealed record ConnectionLimits(int Most, TrustedProxies Trusted)
{
    /// <summary>Below it the parts come out as nothing.</summary>
    public const int LeastMost = 16;

    /// <summary>Connections beyond the places that are just coming or going.</summary>
    public const int Coming = 64;

    /// <summary>
    /// For a whole head, from the connection on; a handshake comes before it. Ten round
    /// trips of a second each: no client is slower and of use.
    /// </summary>
    public static readonly TimeSpan HeadTime = TimeSpan.FromSeconds(10);

    /// <summary>
    /// A kept connection is closed for somebody else's sake only when it has been silent
    /// for so long: the end of its answer is still on its way before.
    /// </summary>
    public static readonly TimeSpan AnswerTail = TimeSpan.FromSeconds(1);

    // A browser makes 6, an office behind one address some dozens: a sixteenth is 256 of 4096,
    // and sixteen addresses have to join before anybody else loses a place.
    private const int ShareOfAddress = 16;
    private const int LeastOfAddress = 8;

    // Whatever requests take, nodes and health checks find 256 of 4096.
    private const int ShareOfService = 16;

    /// <summary>How many the operator asked for.</summary>
    public int Wanted { get; private init; } = Most;

    /// <summary>As many as are asked for and fit the files that the process may have open.</summary>
    /// <param name="wanted">How many.</param>
    /// <param name="trusted">As in the constructor.</param>
    /// <param name="files">Files that may be open; null for any number.</param>
    /// <param name="refuse">Makes the exception of a message and a hint.</param>
    public static ConnectionLimits Within(int wanted, TrustedProxies trusted, int? files, Func<string, string, Exception> refuse)
    {
        var most = files is { } limit ? Math.Min(wanted, OpenFiles.Connections(limit)) : wanted;
        if (most < LeastMost)
            throw refuse(
                $"This process may have {files} files open, and a server needs {OpenFiles.For(LeastMost)} at least.",
                $"let it have {OpenFiles.For(wanted)} (ulimit -n, LimitNOFILE=): two for each of --max-connections ({wanted}), and its own");
        return new ConnectionLimits(most, trusted) { Wanted = wanted };
    }

    /// <summary>Silent connections of strangers at one address.</summary>
    public int MostSilentOfAddress { get; } = Math.Max(LeastOfAddress, Most / ShareOfAddress);

    /// <summary>Connections with requests that are neither a node's nor a health check.</summary>
    public int MostBusy { get; } = Most - (Most / ShareOfService);
}
