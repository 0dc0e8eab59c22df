using ConfidentialChat.Client.Transport;

namespace ConfidentialChat.Client;

/// <summary>
/// Chats with models behind a gateway that is to see ciphertext only. Safe for concurrent use; one serves a whole program.
/// </summary>
/// <remarks>
/// <para>
/// Every call locks a node, seals the request on this machine under a fresh key, and opens the answer here (envelope v1).
/// </para>
/// <para>
/// <b>The node's key is taken on trust.</b> There is no attestation yet: the key comes from the gateway's lock, and a dishonest
/// gateway can hand out a key of its own and read everything. Nothing is confidential against the gateway's operator until
/// evidence is verified.
/// </para>
/// <para>
/// What the gateway or the node refused for now is tried again, for half a minute, under a new key each time; nothing is once an answer
/// has begun. <see cref="ConfidentialChatOptions.Retries"/> and <see cref="CallOptions.Retries"/> say otherwise.
/// </para>
/// </remarks>
public sealed class ConfidentialChatClient : IDisposable
{
    private readonly GatewayConnection connection;

    /// <summary>Makes a client; nothing is sent yet.</summary>
    /// <param name="options">Null takes key and gateway from the environment.</param>
    /// <exception cref="ConfigurationException">There is no usable key or gateway.</exception>
    public ConfidentialChatClient(ConfidentialChatOptions? options = null)
    {
        options ??= new ConfidentialChatOptions();
        connection = new GatewayConnection(options);
        ConfidentialChat = new ChatEndpoint(connection, options);
        ConfidentialCompletions = new CompletionsEndpoint(connection, options);
        ConfidentialEmbeddings = new EmbeddingsEndpoint(connection, options);
        ConfidentialImages = new ImagesEndpoint(connection, options);
        Models = new ModelsEndpoint(connection, options);
    }

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

    /// <summary>Closes the connections, unless the caller gave the HTTP client. Calls that still run may fail.</summary>
    public void Dispose() => connection.Dispose();

    public override string ToString() => $"{nameof(ConfidentialChatClient)} {{ {connection.Root} }}";
}
