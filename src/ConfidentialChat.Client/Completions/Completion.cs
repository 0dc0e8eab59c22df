using System.Text.Json;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Client.Completions;

/// <summary>An answer, or a piece of one: streamed completions have the same shape, and each piece's text is to be appended.</summary>
public sealed class Completion : OpenAIObject
{
    /// <summary>The same in every piece of one answer.</summary>
    public string? Id { get; set; }

    /// <summary><c>text_completion</c>.</summary>
    public string? Object { get; set; }

    /// <summary>Seconds since 1970, on the engine's clock.</summary>
    public long? Created { get; set; }

    public string? Model { get; set; }

    /// <summary>Empty in the piece of a stream that carries the usage.</summary>
    public required IList<CompletionChoice> Choices { get; set; }

    public ChatUsage? Usage { get; set; }

    public string? SystemFingerprint { get; set; }

    internal override bool IsWhole => Says("choices");

    private protected override bool StandInFor(string name)
    {
        Choices = [];
        NoteLoose(name, Choices, isRead: false);
        return true;
    }
}

/// <summary>One of the completions of a request.</summary>
public sealed class CompletionChoice : OpenAIObject, IPlaced
{
    public string? Text { get; set; }

    /// <summary>Its place in the list where the engine says none.</summary>
    public int Index { get; set; }

    /// <summary>As the engine writes them: there are several shapes.</summary>
    public JsonElement? Logprobs { get; set; }

    /// <summary>Such as <c>stop</c> or <c>length</c>; null until a stream's last piece.</summary>
    public string? FinishReason { get; set; }
}
