using ConfidentialChat.Client.Transport;
using ConfidentialChat.Client.Transport.V1;
using ConfidentialChat.Client.Transport.V2;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>
/// Chats with models behind a gateway that is to see ciphertext only. Safe for concurrent use; one serves a whole program.
/// </summary>
/// <remarks>
/// <para>
/// A call is sealed on this machine, under fresh keys, to a node that <see cref="ConfidentialChatOptions.Policy"/> accepts by its evidence, and
/// the answer is opened here. Nothing is sealed or sent before that, and nothing to any other key: where no node is accepted, the call fails with
/// <see cref="AttestationException"/>, and there is no weaker way.
/// </para>
/// <para>
/// What the gateway or the node refused for now is tried again, for half a minute, under a new key each time; nothing is once an answer
/// has begun. <see cref="ConfidentialChatOptions.Retries"/> and <see cref="CallOptions.Retries"/> say otherwise.
/// </para>
/// </remarks>
public sealed class ConfidentialChatClient : IDisposable
{
    private readonly ConfidentialChatOptions options;
    private readonly GatewayConnection connection;
    private readonly NodeDirectory directory;
    private readonly RawCalls raw;

    /// <summary>Makes a client; nothing is sent yet.</summary>
    /// <param name="options">Null takes key and gateway from the environment.</param>
    /// <exception cref="ConfigurationException">There is no usable key, gateway or policy.</exception>
    public ConfidentialChatClient(ConfidentialChatOptions? options = null)
    {
        this.options = options ??= new ConfidentialChatOptions();
        connection = new GatewayConnection(options);
        directory = new NodeDirectory(connection, options.RequireJudge());
        raw = new RawCalls(EnvelopeOf(options), options);
        var calls = new ConfidentialCalls(raw, connection, options);
        ConfidentialChat = new ChatEndpoint(calls);
        ConfidentialCompletions = new CompletionsEndpoint(calls);
        ConfidentialEmbeddings = new EmbeddingsEndpoint(calls);
        ConfidentialImages = new ImagesEndpoint(calls);
        Models = new ModelsEndpoint(connection, options);
        Account = new AccountEndpoint(connection, options);
    }

    /// <summary>The gateway, as it is asked: with a slash at its end.</summary>
    public Uri ServerUrl => connection.Root;

    /// <summary>Chat completions, sealed.</summary>
    public ChatEndpoint ConfidentialChat { get; }

    /// <summary>Completions of plain text, sealed.</summary>
    public CompletionsEndpoint ConfidentialCompletions { get; }

    /// <summary>Embeddings, sealed.</summary>
    public EmbeddingsEndpoint ConfidentialEmbeddings { get; }

    /// <summary>Pictures, sealed.</summary>
    public ImagesEndpoint ConfidentialImages { get; }

    /// <summary>The models that the gateway offers. Not sealed: the gateway answers this itself.</summary>
    public ModelsEndpoint Models { get; }

    /// <summary>What the API key's user has and has used. Not sealed: the gateway answers this itself.</summary>
    public AccountEndpoint Account { get; }

    /// <summary>
    /// The raw call, on which the typed ones stand: seals a request that is JSON already, sends it, and waits until its answer begins.
    /// Every member passes as it stands, known here or not.
    /// </summary>
    /// <param name="endpoint">What is asked for.</param>
    /// <param name="json">
    /// The request as the endpoint's API has it, UTF-8 JSON with a <c>model</c>. <c>stream</c> says whether the answer comes in events; where chat
    /// leaves it out, <c>"stream":false</c> is added. The bytes stay as they are until the task ends.
    /// </param>
    /// <param name="options">What this call does differently.</param>
    /// <param name="cancellation">Closes the connection, which stops the node; also while the answer is read.</param>
    /// <returns>The answer, opened as it is read; the caller disposes of it.</returns>
    /// <exception cref="ArgumentException">
    /// The request is none that could be sealed, or the envelope does not carry it: responses, messages and paced streams are of envelope v2.
    /// </exception>
    /// <exception cref="ConfidentialChatException">No answer began.</exception>
    /// <example>
    /// <code>
    /// await using var answer = await client.SendAsync(InferenceEndpoint.ChatCompletions, json);
    /// if (!answer.IsStream)
    ///     await output.WriteAsync(await answer.ReadWholeAsync());
    /// else await foreach (var chunk in answer.ReadEventsAsync())
    ///     await output.WriteAsync(chunk.Data);
    /// </code>
    /// </example>
    public Task<OpenedAnswer> SendAsync(
        InferenceEndpoint endpoint, ReadOnlyMemory<byte> json, CallOptions? options = null, CancellationToken cancellation = default) =>
        raw.SendAsync(PlainRequest.Read(endpoint, json), options, cancellation);

    /// <summary>
    /// A node that a request for a model could be sealed to now. It is looked for and verified where that has not been done yet, as the first request
    /// would have it done; nothing of a request is sent.
    /// </summary>
    /// <param name="model">A model of the gateway.</param>
    /// <param name="cancellation">Stops waiting.</param>
    /// <exception cref="AttestationException">The policy accepts no node of the model.</exception>
    /// <exception cref="ConfidentialChatException">The gateway was not reached, refused, or knows no such model.</exception>
    public async Task<VerifiedNode> VerifyNodeAsync(string model, CancellationToken cancellation = default)
    {
        if (!ModelNames.IsValid(model))
            throw new ArgumentException($"A model's name has 1 to {ModelNames.MaxLength} characters.", nameof(model));
        using var clock = CallClock.Start(options, call: null, cancellation);
        return await directory.ChooseAsync(model, clock).ConfigureAwait(false);
    }

    /// <summary>As <see cref="VerifyNodeAsync"/>, all of them.</summary>
    /// <param name="model">A model of the gateway.</param>
    /// <param name="cancellation">Stops waiting.</param>
    /// <returns>The nodes that are sealed to, at least one.</returns>
    /// <exception cref="AttestationException">The policy accepts none.</exception>
    /// <exception cref="ConfidentialChatException">The gateway was not reached, refused, or knows no such model.</exception>
    public async Task<IReadOnlyList<VerifiedNode>> VerifyNodesAsync(string model, CancellationToken cancellation = default)
    {
        if (!ModelNames.IsValid(model))
            throw new ArgumentException($"A model's name has 1 to {ModelNames.MaxLength} characters.", nameof(model));
        using var clock = CallClock.Start(options, call: null, cancellation);
        return await directory.VerifyAsync(model, clock).ConfigureAwait(false);
    }

    /// <summary>Closes the connections, unless the caller gave the HTTP client. Calls that still run may fail.</summary>
    public void Dispose()
    {
        connection.Dispose();
        directory.Dispose();
    }

    public override string ToString() => $"{nameof(ConfidentialChatClient)} {{ {connection.Root} }}";

    private IEnvelope EnvelopeOf(ConfidentialChatOptions options) => options.Envelope switch
    {
        EnvelopeVersion.V1 => new EnvelopeV1(connection, directory, options.TimeProvider),
        EnvelopeVersion.V2 => new EnvelopeV2(connection, directory, options.TimeProvider),
        _ => throw new ConfigurationException($"{nameof(ConfidentialChatOptions.Envelope)} is no envelope that there is."),
    };
}
