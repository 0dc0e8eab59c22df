namespace ConfidentialChat.Client;

/// <summary>What one call does differently from its client. Null members leave the client's choice.</summary>
public sealed record CallOptions
{
    /// <summary>In place of <see cref="ConfidentialChatOptions.Retries"/>.</summary>
    public RetryConfig? Retries { get; init; }

    /// <summary>In place of <see cref="ConfidentialChatOptions.Timeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>In place of <see cref="ConfidentialChatOptions.EventTimeout"/>.</summary>
    public TimeSpan? EventTimeout { get; init; }
}
