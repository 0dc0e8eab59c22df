namespace ConfidentialChat.Client;

/// <summary>
/// Everything that goes wrong between this SDK, its gateway and the node. What the caller did wrong is an
/// <see cref="ArgumentException"/>; what the caller cancelled, an <see cref="OperationCanceledException"/>.
/// No text of these holds a key, a prompt or an answer.
/// </summary>
public abstract class ConfidentialChatException : Exception
{
    private protected ConfidentialChatException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }

    /// <summary>How many attempts the call made, this last one included; 0 where it failed before the first.</summary>
    public int Attempts { get; internal set; }
}

/// <summary>The options, or the environment, name no usable key, gateway or policy.</summary>
public sealed class ConfigurationException : ConfidentialChatException
{
    internal ConfigurationException(string message)
        : base(message)
    {
    }
}

/// <summary>
/// The gateway was not reached, or the connection broke before the answer was whole. Whether the node computed is unknown.
/// </summary>
public sealed class GatewayConnectionException : ConfidentialChatException
{
    internal GatewayConnectionException(Exception inner, Uri? gateway)
        : base(
            $"The gateway{(gateway is null ? "" : $" at {gateway.Scheme}://{gateway.Authority}")} could not be reached, or the connection to it broke.", inner)
    {
    }
}

/// <summary>
/// <see cref="ConfidentialChatOptions.Timeout"/> or <see cref="ConfidentialChatOptions.EventTimeout"/> passed; a
/// <see cref="TimeoutException"/> is inside.
/// </summary>
public sealed class CallTimeoutException : ConfidentialChatException
{
    internal CallTimeoutException(TimeoutException inner)
        : base(inner.Message, inner)
    {
    }
}

/// <summary>
/// A verified node has a key of envelope v1 that must not be sealed to: with a low-order key everyone knows the secret. Nothing was sent.
/// </summary>
public sealed class NodeKeyException : ConfidentialChatException
{
    internal NodeKeyException()
        : base("The node has a key that everyone can open (a low-order point); nothing was sent to it.")
    {
    }
}

/// <summary>
/// An answer, or an event of one, does not open under this call's key, repeats a nonce, or is not the one that follows. It was altered,
/// replayed, reflected, dropped, moved or sealed for another call. Of a stream, what was handed out before is authentic, and nothing more will come.
/// </summary>
public sealed class AnswerAuthenticationException : ConfidentialChatException
{
    internal AnswerAuthenticationException()
        : base("The answer is not authentic: it does not open under the key of this request, repeats an earlier one, or is out of order.")
    {
    }
}

/// <summary>
/// A stream ended before its answer did: abnormally, or without its last event or a finish reason. What was handed out before is authentic, but not all.
/// </summary>
public sealed class StreamTruncatedException : ConfidentialChatException
{
    internal StreamTruncatedException(Exception? inner = null)
        : base("The stream ended before the answer did.", inner)
    {
    }
}

/// <summary>What came back has the wrong type or shape, or is too large. It may or may not have been authentic.</summary>
public sealed class InvalidAnswerException : ConfidentialChatException
{
    internal InvalidAnswerException(string message)
        : base(message)
    {
    }
}
