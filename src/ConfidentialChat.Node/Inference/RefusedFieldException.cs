namespace ConfidentialChat.Node.Inference;

/// <summary>A member is at fault: one of many, at any depth.</summary>
internal sealed class RefusedFieldException(string field, InferenceRefusal reason = InferenceRefusal.InvalidField) : Exception
{
    public string Field { get; } = field;

    public InferenceRefusal Reason { get; } = reason;

    /// <summary>More than the context can hold, whatever the tokenizer makes of it.</summary>
    public static RefusedFieldException TooLarge(string field) => new(field, InferenceRefusal.ContextTooLarge);
}
