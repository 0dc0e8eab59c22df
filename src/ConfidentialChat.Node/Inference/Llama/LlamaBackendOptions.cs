namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>What an embedded engine serves, and with how much.</summary>
public sealed record LlamaBackendOptions
{
    /// <summary><see cref="Sequences"/> where nobody says how many.</summary>
    public const int StandardSequences = 8;

    /// <summary>A GGUF file with a chat template that llama.cpp knows. It must not change while it is served.</summary>
    public required string ModelPath { get; init; }

    /// <summary>By which callers ask for the model. By default the file's <c>general.name</c>, else its name without the extension.</summary>
    public string? ModelName { get; init; }

    /// <summary>Requests that are computed at once, 1 to 64.</summary>
    public int Sequences { get; init; } = StandardSequences;

    /// <summary>Requests that may wait for one of those; a further one is refused as busy. 0 or more.</summary>
    public int WaitingMax { get; init; } = 8;

    /// <summary>Tokens of a request, prompt and completion together. By default the model's own limit, or 8192 where that is more; 2 or more.</summary>
    public int? ContextTokens { get; init; }

    /// <summary>Threads that compute. By default 1 for a tiny model, which more would slow down, else the processor's, 16 at most.</summary>
    public int? Threads { get; init; }

    /// <summary>Says when an answer was created.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
