using ConfidentialChat.Node.Inference;

namespace ConfidentialChat.Node.Serving;

/// <summary>The parts of one answer, for a reader who may leave while a part is still being made. Disposal stops the engine.</summary>
/// <remarks>An enumerator may be neither asked nor disposed of while it is being asked: whoever leaves early stops the engine first, which ends the asking.</remarks>
internal sealed class AnswerParts(InferenceAnswer answer, CancellationToken gone) : IAsyncDisposable
{
    private readonly IAsyncEnumerator<ReadOnlyMemory<byte>> parts = answer.ReadPartsAsync(gone).GetAsyncEnumerator(gone);
    private Task<bool>? asked;

    public ReadOnlyMemory<byte> Current => parts.Current;

    /// <summary>Moves to the next part.</summary>
    /// <returns>False at the end; null where the patience ended first, and the same part may be waited for again.</returns>
    /// <exception cref="OperationCanceledException">The caller is gone, whatever the engine makes of it.</exception>
    public async ValueTask<bool?> MoveNextAsync(TimeSpan patience, TimeProvider time, CancellationToken cancellation)
    {
        asked ??= parts.MoveNextAsync().AsTask();
        if (!asked.IsCompleted)
            await ((Task)asked).WaitAsync(patience, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!asked.IsCompleted)
        {
            cancellation.ThrowIfCancellationRequested();
            return null;
        }

        var answered = asked;
        asked = null;
        return await answered;
    }

    public async ValueTask DisposeAsync()
    {
        await answer.DisposeAsync();
        if (asked is not null)
            await ((Task)asked).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await parts.DisposeAsync();
    }
}
