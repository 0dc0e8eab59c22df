// spec/envelope-v1.md sections 2, 3, 7 and 8, the client's side.
using System.Buffers;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client;

/// <summary>Chat completions that are sealed here and answered by a node. Safe for concurrent use.</summary>
public sealed class ChatEndpoint
{
    private const string Path = "v1/confidential/chat/completions";

    private readonly GatewayConnection connection;
    private readonly NodeDirectory directory;
    private readonly ConfidentialChatOptions options;

    internal ChatEndpoint(GatewayConnection connection, ConfidentialChatOptions options)
    {
        this.connection = connection;
        this.options = options;
        directory = new NodeDirectory(connection);
    }

    /// <summary>Asks for a whole answer.</summary>
    /// <param name="request">Read during the call and left as it is.</param>
    /// <param name="cancellation">Closes the connection, which stops the node.</param>
    /// <exception cref="ConfidentialChatException">Anything but an authentic answer.</exception>
    public async Task<ChatCompletion> CreateAsync(ChatCompletionRequest request, CancellationToken cancellation = default)
    {
        Check(request);
        using var clock = new CallClock(options.Timeout, cancellation);
        using var sealedRequest = await SealAsync(request, stream: false, clock).ConfigureAwait(false);
        var body = Write(sealedRequest);
        var answer = await connection.ReadJsonAsync(HttpMethod.Post, Path, body, clock, options.EventTimeout).ConfigureAwait(false);
        return Open<ChatCompletion>(sealedRequest, answer);
    }

    /// <summary>Asks for an answer in chunks, as the node makes them. The last one usually has no choices and carries the usage.</summary>
    /// <param name="request">Read when the enumeration begins, and left as it is.</param>
    /// <param name="cancellation">Closes the connection, which stops the node; so does ending the enumeration early.</param>
    /// <returns>Sends nothing until it is enumerated; every enumeration is a request of its own.</returns>
    /// <exception cref="ConfidentialChatException">
    /// Thrown by the enumeration. It ends without one only if every choice that began has finished: a stream never ends silently short.
    /// </exception>
    public IAsyncEnumerable<ChatCompletionChunk> CreateStreamAsync(ChatCompletionRequest request, CancellationToken cancellation = default)
    {
        Check(request);
        return StreamAsync(request, cancellation);
    }

    private async IAsyncEnumerable<ChatCompletionChunk> StreamAsync(
        ChatCompletionRequest request, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var clock = new CallClock(options.Timeout, cancellation);
        using var sealedRequest = await SealAsync(request, stream: true, clock).ConfigureAwait(false);
        var body = Write(sealedRequest);
        using var response = await connection.SendAsync(HttpMethod.Post, Path, body, "text/event-stream", clock).ConfigureAwait(false);
        var events = new EventReader(await response.Content.ReadAsStreamAsync(clock.Token).ConfigureAwait(false), clock.Token);
        await using var _ = events.ConfigureAwait(false);

        var ending = new StreamEnding();
        while (await ReadAsync(events, clock).ConfigureAwait(false) is { } data)
        {
            var chunk = Open<ChatCompletionChunk>(sealedRequest, data);
            ending.Note(chunk);
            clock.Pause();
            yield return chunk;
        }

        if (!ending.IsReached)
            throw new StreamTruncatedException();
    }

    private async ValueTask<byte[]?> ReadAsync(EventReader events, CallClock clock)
    {
        clock.Restart(options.EventTimeout);
        try
        {
            return await events.ReadAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            throw clock.Explain(e, broken => new StreamTruncatedException(broken));
        }
    }

    private static void Check(ChatCompletionRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.Model.Length is 0 or > EnvelopeRequest.MaxModelNameLength)
            throw new ArgumentException($"A model's name has 1 to {EnvelopeRequest.MaxModelNameLength} characters.", nameof(request));
        if (request.Extra is { } extra && (extra.ContainsKey("stream") || extra.ContainsKey("model")))
            throw new ArgumentException("Extra members cannot name the model or the stream: they would stand twice.", nameof(request));
    }

    private async Task<SealedRequest> SealAsync(ChatCompletionRequest request, bool stream, CallClock clock)
    {
        var json = request.ForWire(stream).ToJson();
        try
        {
            var units = Units(request);
            var node = await directory.LockAsync(request.Model, units, clock).ConfigureAwait(false);
            var outer = new OuterFields { NodeKey = node.Key, Model = request.Model, Stack = node.Stack, Stream = stream, Units = units };
            return SealedRequest.TrySeal(json, outer, out var sealedRequest) ? sealedRequest : throw new NodeKeyException();
        }
        finally
        {
            CryptographicOperations.ZeroMemory(json);
        }
    }

    // The gateway adds the prompt, by the ciphertext's size, to what the request names. So the bound of the completion is all that
    // needs naming, and only above the default that every lock has: below, it would tell the gateway more and win nothing.
    private static ComputeUnits? Units(ChatCompletionRequest request)
    {
        var bound = (Int128)(request.MaxCompletionTokens ?? request.MaxTokens ?? 0) * Math.Max(1, request.N ?? 1);
        return bound <= ComputeUnits.Default.Value ? null : new ComputeUnits((long)Int128.Min(bound, EnvelopeRequest.MaxUnits));
    }

    private static ReadOnlyMemory<byte> Write(SealedRequest request)
    {
        var body = new ArrayBufferWriter<byte>();
        request.Envelope.Write(body);
        return body.WrittenMemory;
    }

    // Nothing is parsed, and so nothing can be believed, before it has authenticated.
    private static T Open<T>(SealedRequest request, ReadOnlyMemory<byte> answer)
        where T : OpenAIObject
    {
        if (!request.Answer.TryOpen(answer, out var plaintext))
            throw new AnswerAuthenticationException();
        var read = ChatJson.TryRead<T>(plaintext);
        CryptographicOperations.ZeroMemory(plaintext);
        return read ?? throw new InvalidAnswerException("The answer is authentic, but no chat completion.");
    }

    /// <summary>Whether a stream has said all: every choice that began has a finish reason, and there was one.</summary>
    private sealed class StreamEnding
    {
        private readonly HashSet<int> open = [];
        private readonly HashSet<int> finished = [];

        public bool IsReached => open.Count == 0 && finished.Count > 0;

        public void Note(ChatCompletionChunk chunk)
        {
            foreach (var choice in chunk.Choices)
            {
                if (choice.FinishReason is not null)
                {
                    finished.Add(choice.Index);
                    open.Remove(choice.Index);
                }
                else if (!finished.Contains(choice.Index))
                {
                    open.Add(choice.Index);
                }
            }
        }
    }
}
