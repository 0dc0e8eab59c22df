using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Transport;

namespace ConfidentialChat.Client;

/// <summary>The models of a gateway. Safe for concurrent use.</summary>
public sealed class ModelsEndpoint
{
    private readonly GatewayConnection connection;
    private readonly ConfidentialChatOptions options;

    internal ModelsEndpoint(GatewayConnection connection, ConfidentialChatOptions options)
    {
        this.connection = connection;
        this.options = options;
    }

    /// <summary>Lists them.</summary>
    /// <exception cref="ConfidentialChatException">The gateway was not reached, refused, or answered something else.</exception>
    public async Task<ModelList> ListAsync(CancellationToken cancellation = default)
    {
        using var clock = CallClock.Start(options, call: null, cancellation);
        var attempts = new Attempts(options.Retries, clock, isSealedAnew: false);
        var json = await attempts.RunAsync(() => connection.ReadJsonAsync(HttpMethod.Get, "v1/models", null, clock)).ConfigureAwait(false);
        return OpenAIJson.TryRead<ModelList>(json.Span)
            ?? throw new InvalidAnswerException("The gateway's list of models is malformed.") { Attempts = attempts.Count };
    }
}
