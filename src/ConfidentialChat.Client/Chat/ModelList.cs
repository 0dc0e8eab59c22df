namespace ConfidentialChat.Client.Chat;

/// <summary>The models of a gateway.</summary>
public sealed class ModelList : OpenAIObject
{
    /// <summary><c>list</c>.</summary>
    public string? Object { get; set; }

    public required IList<Model> Data { get; set; }
}

/// <summary>One model.</summary>
public sealed class Model : OpenAIObject
{
    /// <summary>The name to ask for.</summary>
    public required string Id { get; set; }

    /// <summary><c>model</c>.</summary>
    public string? Object { get; set; }

    /// <summary>Seconds since 1970.</summary>
    public long? Created { get; set; }

    public string? OwnedBy { get; set; }
}
