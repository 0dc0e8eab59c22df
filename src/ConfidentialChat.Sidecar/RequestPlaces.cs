// spec/sidecar.md section 7.
namespace ConfidentialChat.Sidecar;

/// <summary>The requests that are asked now, bounded in number.</summary>
internal sealed class RequestPlaces(SidecarOptions options)
{
    private int count;

    public int Count => Volatile.Read(ref count);

    /// <summary>Takes a place, which <see cref="Leave"/> gives back. False where there is none.</summary>
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref count) <= options.MaxRequests)
            return true;
        Leave();
        return false;
    }

    public void Leave() => Interlocked.Decrement(ref count);
}
