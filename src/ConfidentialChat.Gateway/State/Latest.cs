namespace ConfidentialChat.Gateway.State;

/// <summary>
/// A picture of some rows in memory, replaced whole. Two that read at once may end in either order: the one that read later stays.
/// Safe from any thread.
/// </summary>
internal sealed class Latest<T>(T none)
    where T : class
{
    private readonly Lock gate = new();
    private long begun; // moves in changes alone, and those run one after the other
    private long shown;
    private volatile T value = none;

    public T Value => value;

    /// <summary>Reads, and shows what was read unless something newer is shown already.</summary>
    public async Task ReadAsync(IStateWriter state, Func<IStateRows, ValueTask<T>> read)
    {
        var (order, picture) = await state.RunAsync(async rows => (++begun, await read(rows)));
        lock (gate)
        {
            if (order <= shown)
                return;
            (shown, value) = (order, picture);
        }
    }
}
