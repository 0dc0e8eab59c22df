// spec/envelope-v1.md sections 7, 8 and 13.
using System.Security.Cryptography;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client.Transport;

/// <summary>A call whose answer has begun. From here on nothing is tried again. Disposal closes the connection, which stops the node.</summary>
internal sealed class Exchange : IAsyncDisposable
{
    private readonly HttpResponseMessage response;
    private readonly SealedRequest? request;
    private readonly CallClock clock;
    private readonly Attempts attempts;
    private EventReader? events;

    /// <summary>Takes the answer, and the request where it was sealed here, and disposes of both.</summary>
    public Exchange(HttpResponseMessage response, SealedRequest? request, CallClock clock, Attempts attempts)
    {
        this.response = response;
        this.request = request;
        this.clock = clock;
        this.attempts = attempts;
    }

    /// <summary>Reads a whole answer.</summary>
    public async Task<ReadOnlyMemory<byte>> ReadWholeAsync()
    {
        try
        {
            return await GatewayConnection.ReadBodyAsync(response, clock, clock.EventLimit).ConfigureAwait(false);
        }
        catch (ConfidentialChatException e)
        {
            attempts.Counted(e);
            throw;
        }
    }

    /// <summary>Reads the next event of a stream, or null at its clean end. The clock then stands still until the next is asked for.</summary>
    public async ValueTask<byte[]?> ReadEventAsync()
    {
        clock.Restart(clock.EventLimit);
        try
        {
            events ??= new EventReader(await response.Content.ReadAsStreamAsync(clock.Token).ConfigureAwait(false), clock.Token);
            var data = await events.ReadAsync().ConfigureAwait(false);
            clock.Pause();
            return data;
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            var failure = clock.Explain(e, broken => new StreamTruncatedException(broken));
            if (failure is ConfidentialChatException typed)
                attempts.Counted(typed);
            throw failure;
        }
        catch (ConfidentialChatException e)
        {
            attempts.Counted(e);
            throw;
        }
    }

    /// <summary>Opens a sealed object. Nothing is parsed, and so nothing can be believed, before it has authenticated.</summary>
    public T Open<T>(ReadOnlyMemory<byte> sealedJson)
        where T : OpenAIObject
    {
        if (!request!.Answer.TryOpen(sealedJson, out var plaintext))
            throw new AnswerAuthenticationException { Attempts = attempts.Count };
        var read = OpenAIJson.TryRead<T>(plaintext);
        CryptographicOperations.ZeroMemory(plaintext);
        return read ?? throw new InvalidAnswerException("The answer is authentic, but not what this endpoint answers.") { Attempts = attempts.Count };
    }

    /// <summary>Reads a sealed object and leaves it sealed.</summary>
    public SealedAnswer Read(ReadOnlyMemory<byte> sealedJson) =>
        SealedAnswer.TryParse(sealedJson, out var answer) ? answer
            : throw new InvalidAnswerException("The answer is no sealed object.") { Attempts = attempts.Count };

    /// <summary>What a stream is that ended cleanly and too early.</summary>
    public StreamTruncatedException Truncated() => new() { Attempts = attempts.Count };

    public async ValueTask DisposeAsync()
    {
        if (events is not null)
            await events.DisposeAsync().ConfigureAwait(false);
        response.Dispose();
        request?.Dispose();
    }
}
