using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Transport;

/// <summary>The calls of one endpoint with the types of the OpenAI API, on top of the raw ones. Safe for concurrent use.</summary>
internal sealed class TypedCalls(RawCalls calls, InferenceEndpoint endpoint)
{
    /// <summary>Asks for a whole answer.</summary>
    public async Task<T> CreateAsync<T>(IModelRequest request, CallOptions? call, CancellationToken cancellation)
        where T : OpenAIObject
    {
        Check(request);
        var answer = await BeginAsync(request, stream: false, call, cancellation).ConfigureAwait(false);
        await using var _ = answer.ConfigureAwait(false);
        var whole = Read<T>(answer, await answer.ReadWholeAsync().ConfigureAwait(false));
        return whole.IsWhole ? whole : throw Invalid(answer);
    }

    /// <summary>Asks for an answer in chunks, when it is enumerated.</summary>
    public IAsyncEnumerable<T> CreateStreamAsync<T>(IModelRequest request, CallOptions? call, CancellationToken cancellation)
        where T : OpenAIObject
    {
        Check(request);
        return StreamAsync<T>(request, call, cancellation);
    }

    private async IAsyncEnumerable<T> StreamAsync<T>(
        IModelRequest request, CallOptions? call, [EnumeratorCancellation] CancellationToken cancellation)
        where T : OpenAIObject
    {
        var answer = await BeginAsync(request, stream: true, call, cancellation).ConfigureAwait(false);
        await using var _ = answer.ConfigureAwait(false);
        await foreach (var chunk in answer.ReadEventsAsync().ConfigureAwait(false))
            yield return Read<T>(answer, chunk.Data);
    }

    private async Task<OpenedAnswer> BeginAsync(IModelRequest request, bool stream, CallOptions? call, CancellationToken cancellation)
    {
        var json = request.ToJson(stream); // once: what the caller changes meanwhile is for the next call
        try
        {
            var plain = new PlainRequest { Endpoint = endpoint, Json = json, Model = request.Model, Stream = stream, Units = request.Units, SaysStream = true };
            return await calls.SendAsync(plain, call, cancellation).ConfigureAwait(false);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(json);
        }
    }

    private static T Read<T>(OpenedAnswer answer, ReadOnlyMemory<byte> json)
        where T : OpenAIObject =>
        OpenAIJson.TryRead<T>(json.Span) is { SaysError: false } read ? read : throw Invalid(answer);

    private static InvalidAnswerException Invalid(OpenedAnswer answer) =>
        new("The answer is authentic, but not what this endpoint answers.") { Attempts = answer.Attempts };

    private static void Check(IModelRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.Model.Length is 0 or > PlainRequest.MaxModelLength)
            throw new ArgumentException($"A model's name has 1 to {PlainRequest.MaxModelLength} characters.", nameof(request));
        if (request.Extra is { } extra && (extra.ContainsKey("stream") || extra.ContainsKey("model")))
            throw new ArgumentException("Extra members cannot name the model or the stream: they would stand twice.", nameof(request));
    }
}
