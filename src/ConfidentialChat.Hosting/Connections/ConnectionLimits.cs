// spec/gateway.md section 8 rule 1.
namespace ConfidentialChat.Hosting.Connections;

/// <summary>How many connections a server has at once, and for whom.</summary>
/// <param name="Most">All of them.</param>
/// <param name="Trusted">Addresses that stand for many strangers.</param>
internal sealed record ConnectionLimits(int Most, TrustedProxies Trusted)
{
    /// <summary>Below it the parts come out as nothing.</summary>
    public const int LeastMost = 16;

    /// <summary>For a whole head, from the connection on; a handshake comes before it. Ten round trips of a second each: no client is slower and of use.</summary>
    public static readonly TimeSpan HeadTime = TimeSpan.FromSeconds(10);

    /// <summary>A kept connection is closed for somebody else's sake only when it has been silent for so long: the end of its answer is still on its way before.</summary>
    public static readonly TimeSpan AnswerTail = TimeSpan.FromSeconds(1);

    // A browser makes 6, an office behind one address some dozens: a sixteenth is 256 of 4096, and sixteen addresses have to join before anybody else loses a place.
    private const int ShareOfAddress = 16;
    private const int LeastOfAddress = 8;

    // Whatever requests take, nodes and health checks find 256 of 4096.
    private const int ShareOfService = 16;

    /// <summary>Silent connections of strangers at one address.</summary>
    public int MostSilentOfAddress { get; } = Math.Max(LeastOfAddress, Most / ShareOfAddress);

    /// <summary>Connections with requests that are neither a node's nor a health check.</summary>
    public int MostBusy { get; } = Most - (Most / ShareOfService);
}
