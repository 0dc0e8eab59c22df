namespace ConfidentialChat.Client.Chat;

/// <summary>A whole answer.</summary>
public sealed class ChatCompletion : OpenAIObject
{
    public string? Id { get; set; }

    /// <summary><c>chat.completion</c>.</summary>
    public string? Object { get; set; }

    /// <summary>Seconds since 1970, on the engine's clock.</summary>
    public long? Created { get; set; }

    public string? Model { get; set; }

    public required IList<ChatChoice> Choices { get; set; }

    public ChatUsage? Usage { get; set; }

    public string? ServiceTier { get; set; }

    public string? SystemFingerprint { get; set; }
}

/// <summary>One of the answers to a request.</summary>
public sealed class ChatChoice : OpenAIObject, IPlaced
{
    /// <summary>Its place in the list where the engine says none.</summary>
    public int Index { get; set; }

    public required ChatMessage Message { get; set; }

    /// <summary>Such as <c>stop</c>, <c>length</c>, <c>tool_calls</c>, <c>content_filter</c>; null also where an engine writes an empty one.</summary>
    public string? FinishReason { get; set; }

    public ChatLogprobs? Logprobs { get; set; }
}

/// <summary>A piece of a streamed answer.</summary>
public sealed class ChatCompletionChunk : OpenAIObject
{
    /// <summary>The same in every chunk of one answer.</summary>
    public string? Id { get; set; }

    /// <summary><c>chat.completion.chunk</c>.</summary>
    public string? Object { get; set; }

    /// <summary>Seconds since 1970, on the engine's clock.</summary>
    public long? Created { get; set; }

    public string? Model { get; set; }

    /// <summary>Empty in the chunk that carries the usage.</summary>
    public required IList<ChatChunkChoice> Choices { get; set; }

    public ChatUsage? Usage { get; set; }

    public string? ServiceTier { get; set; }

    public string? SystemFingerprint { get; set; }

    private protected override bool StandInFor(string name)
    {
        Choices = [];
        NoteLoose(name, Choices, isRead: false);
        return true;
    }
}

/// <summary>What a chunk adds to one of the answers.</summary>
public sealed class ChatChunkChoice : OpenAIObject, IPlaced
{
    /// <summary>Which answer; its place in the list where the engine says none.</summary>
    public int Index { get; set; }

    public ChatDelta? Delta { get; set; }

    /// <summary>Null until the choice's last chunk, whatever an engine writes before it.</summary>
    public string? FinishReason { get; set; }

    public ChatLogprobs? Logprobs { get; set; }
}

/// <summary>The members of a message that a chunk begins or goes on with.</summary>
public sealed class ChatDelta : OpenAIObject
{
    /// <summary>In the first chunk only.</summary>
    public string? Role { get; set; }

    /// <summary>To be appended. Of an engine that writes parts, their text; the parts are in <see cref="OpenAIObject.Extra"/>.</summary>
    public string? Content { get; set; }

    /// <summary>To be appended.</summary>
    public string? Refusal { get; set; }

    public IList<ChatToolCall>? ToolCalls { get; set; }
}

/// <summary>How likely the tokens were.</summary>
public sealed class ChatLogprobs : OpenAIObject
{
    public IList<ChatTokenLogprob>? Content { get; set; }

    public IList<ChatTokenLogprob>? Refusal { get; set; }
}

/// <summary>How likely one token was.</summary>
public sealed class ChatTokenLogprob : OpenAIObject
{
    public required string Token { get; set; }

    /// <summary>Natural logarithm of the probability.</summary>
    public double Logprob { get; set; }

    /// <summary>The token's UTF-8 bytes, or a part of a character.</summary>
    public IList<int>? Bytes { get; set; }

    /// <summary>The likeliest tokens at this place.</summary>
    public IList<ChatTokenLogprob>? TopLogprobs { get; set; }
}

/// <summary>Tokens, as the engine counted them. The sealed count: the one that stands outside is the gateway's business.</summary>
public sealed class ChatUsage : OpenAIObject
{
    public long PromptTokens { get; set; }

    public long CompletionTokens { get; set; }

    public long TotalTokens { get; set; }

    public ChatPromptTokensDetails? PromptTokensDetails { get; set; }

    public ChatCompletionTokensDetails? CompletionTokensDetails { get; set; }
}

/// <summary>What the prompt's tokens were.</summary>
public sealed class ChatPromptTokensDetails : OpenAIObject
{
    public long? CachedTokens { get; set; }

    public long? AudioTokens { get; set; }
}

/// <summary>What the completion's tokens were.</summary>
public sealed class ChatCompletionTokensDetails : OpenAIObject
{
    public long? ReasoningTokens { get; set; }

    public long? AudioTokens { get; set; }

    public long? AcceptedPredictionTokens { get; set; }

    public long? RejectedPredictionTokens { get; set; }
}
