// spec/envelope-v1.md section 8: the comments before the first event.
namespace ConfidentialChat.Node.Serving;

/// <summary>The wait for the first part of an answer. Who is between cuts connections that are silent for longer than it lasts.</summary>
internal sealed class FirstWait(HttpContext http, OpenedCall call, NodeOptions options, TimeProvider time, long began)
{
    /// <summary>Also one who waited long for a place gets a refusal as such, if it comes within this time.</summary>
    private static readonly TimeSpan RefusalTime = TimeSpan.FromSeconds(1);

    /// <summary>Waits for what ends by itself when the caller leaves.</summary>
    public ValueTask<T> ForAsync<T>(ValueTask<T> pending) => pending.IsCompleted ? pending : new(ForAsync(pending.AsTask()));

    /// <inheritdoc cref="ForAsync{T}(ValueTask{T})"/>
    public async Task<T> ForAsync<T>(Task<T> pending)
    {
        while (!pending.IsCompleted && call.IsKeptAlive)
        {
            await ((Task)pending).WaitAsync(Silence(), time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (pending.IsCompleted || http.RequestAborted.IsCancellationRequested)
                break;
            call.KeepAlive(http.Response);
            await http.Response.BodyWriter.FlushAsync();
        }

        return await pending;
    }

    // Counted from the request's arrival: the wait for a place was silent too.
    private TimeSpan Silence()
    {
        if (http.Response.HasStarted)
            return options.KeepAlive;
        var left = options.KeepAlive - time.GetElapsedTime(began);
        return left > RefusalTime ? left : options.KeepAlive < RefusalTime ? options.KeepAlive : RefusalTime;
    }
}
