using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Serving;

/// <summary>Takes envelopes of one version off. Behind it a request is the same whichever it came in.</summary>
internal interface IEnvelopeDoor
{
    /// <summary>What the relay token of a request has to name.</summary>
    string Endpoint { get; }

    /// <summary>The multiple to which what a request used is rounded up where it is vouched for; 1: not at all. spec/vouchers.md section 1.</summary>
    int UsageMultiple { get; }

    /// <summary>Writes a refusal of what was not opened, as this envelope has them.</summary>
    Task RefuseAsync(HttpResponse response, Refusal refusal);

    /// <summary>Reads and opens a request, and checks it against its token and its envelope.</summary>
    /// <returns>The call, which its taker disposes of, or the refusal; or both, where the refusal is to go through the call.</returns>
    /// <exception cref="OperationCanceledException">The caller is gone.</exception>
    /// <exception cref="CallerGoneException">The connection broke.</exception>
    Task<(OpenedCall? Call, Refusal? Refusal)> OpenAsync(HttpRequest request, RelayToken token);
}

/// <summary>An opened request that can seal its answer. Until that has begun, disposal lets the very same bytes be served again.</summary>
internal abstract class OpenedCall : IDisposable
{
    public abstract InferenceRequest Request { get; }

    /// <summary>The answer where no engine is needed for it; null else.</summary>
    public virtual InferenceAnswer? ReadyAnswer => null;

    /// <summary>Writes a refusal as this envelope has them; aborts the connection where what is out already leaves no room for one.</summary>
    public abstract Task RefuseAsync(HttpResponse response, Refusal refusal);

    /// <summary>Whether <see cref="KeepAlive"/> has something to say before this answer's first part.</summary>
    public abstract bool IsKeptAlive { get; }

    /// <summary>Writes that an answer is being made of which nothing is there yet: the head of a 200 where it is not out, and what says no more.</summary>
    public abstract void KeepAlive(HttpResponse response);

    /// <summary>The engine has worked for the request: the very same bytes are not served again, even if no answer of it begins.</summary>
    public abstract void Spend();

    /// <summary>Gives the memory of the request back: its engine has read it, and an answer may take long.</summary>
    public abstract void ForgetRequest();

    /// <summary>Begins the answer: its first part is at hand, and from here on nothing is refused any more.</summary>
    /// <exception cref="InferenceException">The envelope does not carry such an answer; then it has not begun.</exception>
    public abstract IAnswerWriter Begin(HttpResponse response, InferenceAnswer answer);

    /// <summary>
    /// Says that the engine broke its stream off, in a way that nobody takes for its end. False where the envelope has none: the connection is
    /// to be aborted.
    /// </summary>
    /// <param name="response">Its head is out.</param>
    /// <param name="usage">Exactly what was computed.</param>
    public virtual ValueTask<bool> TryCutOffAsync(HttpResponse response, Usage usage) => new(false);

    public abstract void Dispose();
}

/// <summary>Why a request is turned away, and when there may be room again, where that is known.</summary>
internal sealed record Refusal(Rejection Rejection, TimeSpan? RetryAfter = null)
{
    public Refusal(RequestError error, string? field = null)
        : this(new Rejection(error, field))
    {
    }

    /// <summary>What is charged for it all the same.</summary>
    public Usage Usage { get; init; }

    public string Code => Rejection.Error.Row().Code;
}
