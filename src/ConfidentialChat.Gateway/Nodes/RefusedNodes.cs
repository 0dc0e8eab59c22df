// spec/gateway.md section 2: one answer for strangers, the reason for operators.
using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>
/// Why messages that say they are a node's were last refused: in the log, and in a file for <c>cchat nodes list</c>. Not in the database,
/// where strangers would cause writes: the file is written once in two seconds at most, and has a line for each node that is enrolled and
/// one for all others. Safe from any thread.
/// </summary>
internal sealed class RefusedNodes(DataDirectory directory, KnownNodes nodes, TimeProvider time, Seldom seldom, ILogger<RefusedNodes> log) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private readonly Dictionary<long, RefusedNode> last = Read(directory).ToDictionary(refused => refused.Node ?? Stranger);
    private readonly Lock gate = new();
    private bool isChanged;

    private const long Stranger = -1; // no node has this number

    /// <summary>Notes a refusal and gives its answer.</summary>
    /// <param name="context">The message.</param>
    /// <param name="reason">Never told to who sent it.</param>
    /// <param name="claimed">The node that it says it is of.</param>
    public ErrorAnswer Refuse(HttpContext context, NodeRefusal reason, NodeId? claimed = null)
    {
        var known = claimed is { } id && nodes.Find(id) is not null ? id : (NodeId?)null;
        lock (gate)
        {
            last[known?.Value ?? Stranger] = new RefusedNode(known?.Value, reason, time.GetUtcNow());
            isChanged = true;
        }

        var message = context.Request.Path.Value switch
        {
            NodePaths.Enrolment => "enrolment",
            NodePaths.Heartbeat => "heartbeat",
            NodePaths.Address => "address",
            _ => "usage report",
        };
        if (reason is NodeRefusal.ClockTooFarAway or NodeRefusal.SecondProcess)
            return new ErrorAnswer(RequestError.AuthError); // said already, with more words
        if (known is { } node && seldom.Says($"Refused messages ({reason}) of node", node.Value))
            log.NodeRefused(message, node, reason.InWords());
        else if (known is null && seldom.Says($"Refused messages ({reason}) of nodes that are not enrolled"))
            log.StrangerRefused(message, reason.InWords());
        return new ErrorAnswer(RequestError.AuthError);
    }

    /// <summary>What a gateway wrote into its directory; nothing where there is none, or it is damaged: it is for people, and made anew.</summary>
    public static IReadOnlyList<RefusedNode> Read(DataDirectory directory)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(directory.RefusedNodesPath), RefusedNodesJson.Default.IReadOnlyListRefusedNode) is { } read
                ? [.. read.Where(refused => refused is { Node: null or >= 0 } && Enum.IsDefined(refused.Reason)).DistinctBy(refused => refused.Node)]
                : [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return [];
        }
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        Write();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            Write();
    }

    private void Write()
    {
        RefusedNode[] written;
        lock (gate)
        {
            if (!isChanged)
                return;
            written = [.. last.Values.Where(refused => refused.Node is not { } node || nodes.Find(new NodeId(node)) is not null)];
            isChanged = false;
        }

        try
        {
            PrivateFile.Write(directory.RefusedNodesPath, JsonSerializer.SerializeToUtf8Bytes(written, RefusedNodesJson.Default.IReadOnlyListRefusedNode));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A full disk: the log has said why, and there is no harm in an older list meanwhile.
            lock (gate)
                isChanged = true;
        }
    }
}

/// <summary>The last refusal of one node, or of all who are none.</summary>
/// <param name="Node">Null where it was no enrolled node's.</param>
/// <param name="Reason">Why.</param>
/// <param name="At">When.</param>
internal sealed record RefusedNode(long? Node, NodeRefusal Reason, DateTimeOffset At);

[JsonSerializable(typeof(IReadOnlyList<RefusedNode>))]
[JsonSourceGenerationOptions(UseStringEnumConverter = true)]
internal sealed partial class RefusedNodesJson : JsonSerializerContext;
