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

    /// <summary>In place of <see cref="ConfidentialChatOptions.PacedStreams"/>.</summary>
    public bool? PacedStreams { get; init; }

    /// <summary>The header <c>anthropic-version</c>, sealed, of calls to <c>/v1/messages</c> and below: 1 to 256 letters, digits and <c> ,.-_:</c>.</summary>
    public string? AnthropicVersion { get; init; }

    /// <summary>The header <c>anthropic-beta</c>, likewise.</summary>
    public string? AnthropicBeta { get; init; }

    /// <summary>
    /// Told which node the call is about to be sealed to, before each attempt. It is called by whichever thread makes
    /// the attempt, and what it throws ends the call.
    /// </summary>
    public Action<VerifiedNode>? OnNode { get; init; }

    /// <summary>In place of <see cref="ConfidentialChatOptions.RequireReceipts"/>; null also demands one where <see cref="OnReceipt"/> waits for it.</summary>
    public bool? RequireReceipt { get; init; }

    /// <summary>
    /// Told of the verified receipt once the answer has been read to its end, and of that of a stream whose engine broke off before the exception
    /// that says so. What it throws ends the reading.
    /// </summary>
    public Action<VerifiedReceipt>? OnReceipt { get; init; }
}
