using ConfidentialChat.Client;

namespace ConfidentialChat.Extensions.AI;

/// <summary>
/// What a configuration says of a <see cref="ConfidentialChatClient"/>: the section <see cref="ConfidentialChatServices.SectionName"/>, or code.
/// What is null is as <see cref="ConfidentialChatOptions"/> has it.
/// </summary>
public sealed class ConfidentialChatSettings
{
    /// <inheritdoc cref="ConfidentialChatOptions.ServerUrl"/>
    public Uri? ServerUrl { get; set; }

    /// <inheritdoc cref="ConfidentialChatOptions.BearerKey"/>
    /// <remarks>A secret: in user secrets, the environment or a vault, never in a file of the program's.</remarks>
    public string? BearerKey { get; set; }

    /// <inheritdoc cref="ConfidentialChatOptions.PolicyFile"/>
    public string? PolicyFile { get; set; }

    /// <summary>The model of chats. Without it every request names one in <c>ChatOptions.ModelId</c>.</summary>
    public string? Model { get; set; }

    /// <summary>The model of embeddings. Without it every request names one.</summary>
    public string? EmbeddingModel { get; set; }

    /// <inheritdoc cref="ConfidentialChatOptions.Timeout"/>
    public TimeSpan? Timeout { get; set; }

    /// <inheritdoc cref="ConfidentialChatOptions.EventTimeout"/>
    public TimeSpan? EventTimeout { get; set; }

    /// <inheritdoc cref="ConfidentialChatOptions.PacedStreams"/>
    public bool PacedStreams { get; set; }

    /// <inheritdoc cref="ConfidentialChatOptions.RequireReceipts"/>
    public bool RequireReceipts { get; set; }

    /// <inheritdoc cref="ConfidentialChatOptions.DangerousPlainHttp"/>
    public bool DangerousPlainHttp { get; set; }

    public override string ToString() => $"{nameof(ConfidentialChatSettings)} {{ {nameof(ServerUrl)} = {ServerUrl} }}";

    internal ConfidentialChatOptions ToOptions(TimeProvider? time)
    {
        var options = new ConfidentialChatOptions
        {
            ServerUrl = ServerUrl,
            BearerKey = BearerKey,
            PolicyFile = PolicyFile,
            PacedStreams = PacedStreams,
            RequireReceipts = RequireReceipts,
            DangerousPlainHttp = DangerousPlainHttp,
            TimeProvider = time ?? TimeProvider.System,
        };
        return options with { Timeout = Timeout ?? options.Timeout, EventTimeout = EventTimeout ?? options.EventTimeout };
    }
}
