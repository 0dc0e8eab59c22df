using System.Text.Json.Serialization;
using ConfidentialChat.Client.Chat;

namespace ConfidentialChat.Client.Images;

/// <summary>The pictures of a request.</summary>
public sealed class ImageList : OpenAIObject
{
    /// <summary>Seconds since 1970, on the engine's clock.</summary>
    public long? Created { get; set; }

    public required IList<GeneratedImage> Data { get; set; }
}

/// <summary>One picture: its bytes, or where they are.</summary>
public sealed class GeneratedImage : OpenAIObject
{
    /// <summary>The picture's file in base64.</summary>
    [JsonPropertyName("b64_json")]
    public string? B64Json { get; set; }

    /// <summary>Where the engine put the picture. Whoever serves it sees who fetches it, and it is not sealed.</summary>
    public string? Url { get; set; }

    /// <summary>What the engine made of the prompt.</summary>
    public string? RevisedPrompt { get; set; }
}
