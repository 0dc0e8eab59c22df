// spec/sidecar.md section 6.
using ConfidentialChat.Client;
using ConfidentialChat.Sidecar.Errors;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Sidecar;

/// <summary>Whether requests could be sealed now. Safe for concurrent use.</summary>
internal sealed class NodeVerdicts(ConfidentialChatClient client, SidecarMetrics metrics, TimeProvider time, ILogger<NodeVerdicts> log)
{
    // A supervisor asks every second or so: what it learns may be as old as this.
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);

    private readonly Lock gate = new();
    private volatile VerifiedNode? newest;
    private Task<SidecarRefusal?>? look;
    private long lookedAt;

    /// <summary>A request goes out to this node.</summary>
    public void Note(VerifiedNode node)
    {
        if (ReferenceEquals(newest, node))
            return;
        newest = node;
        metrics.Note(node);
    }

    /// <summary>The model that is meant where none is named: the first that the gateway offers.</summary>
    /// <returns>Null where it offers none.</returns>
    public async Task<string?> FirstModelAsync(CancellationToken cancellation) => (await client.Models.ListAsync(cancellation)).Data.FirstOrDefault()?.Id;

    /// <summary>The nodes of a model that are sealed to; verified now, unless a verdict stands.</summary>
    /// <exception cref="ConfidentialChatException">There is none.</exception>
    public async Task<IReadOnlyList<VerifiedNode>> VerifyAsync(string model, CancellationToken cancellation)
    {
        var nodes = await client.VerifyNodesAsync(model, cancellation);
        Note(nodes[0]);
        return nodes;
    }

    /// <summary>Null where a verdict stands, or one could be had; else why not.</summary>
    public Task<SidecarRefusal?> LookAsync(CancellationToken cancellation)
    {
        if (newest is { } node && time.GetUtcNow() < node.SealBefore)
            return Task.FromResult<SidecarRefusal?>(null);
        lock (gate)
        {
            if (look is null || (look.IsCompleted && time.GetElapsedTime(lookedAt) >= Pause))
            {
                lookedAt = time.GetTimestamp();
                look = Task.Run(LookNowAsync, CancellationToken.None); // nobody's who asks: others join
            }

            return look.WaitAsync(cancellation);
        }
    }

    private async Task<SidecarRefusal?> LookNowAsync()
    {
        try
        {
            if (await FirstModelAsync(CancellationToken.None) is not { } model)
                return SidecarRefusal.Of(SidecarError.NoModel);
            await VerifyAsync(model, CancellationToken.None);
            return null;
        }
        catch (Exception e) when (SidecarRefusal.Of(e) is { } refusal)
        {
            log.NotReady(refusal.Code);
            return refusal;
        }
    }
}
