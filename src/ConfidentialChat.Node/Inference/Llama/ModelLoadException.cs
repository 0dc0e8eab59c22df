namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>A model file cannot be served. For people: what happened, and what to do about it.</summary>
public sealed class ModelLoadException(string message, string hint, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What to do about it.</summary>
    public string Hint { get; } = hint;
}
