using System.Text.Json;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Images;

/// <summary>A picture that is to be made: the OpenAI image generation request. Null members are not sent, and the engine's defaults hold.</summary>
public sealed class ImageRequest : OpenAIObject, IModelRequest
{
    /// <summary>A model of the gateway, 1 to 256 characters.</summary>
    public required string Model { get; set; }

    /// <summary>What is to be seen.</summary>
    public required string Prompt { get; set; }

    /// <summary>How many; 1 by default.</summary>
    public int? N { get; set; }

    /// <summary>Such as <c>1024x1024</c>. The call reserves a unit for each pixel, and 1024 × 1024 for each picture at the least.</summary>
    public string? Size { get; set; }

    public string? Quality { get; set; }

    public string? Style { get; set; }

    /// <summary><c>b64_json</c> keeps the picture within the sealed answer; <c>url</c> says where the engine put it.</summary>
    public string? ResponseFormat { get; set; }

    /// <summary>The application's own name of its user. It is sealed: the gateway does not see it, the node does.</summary>
    public string? User { get; set; }

    ComputeUnits? IModelRequest.Units => NamedUnits.OfImages(Size, N ?? 1);

    /// <summary>Reads a request from UTF-8 JSON, for instance one written for another client.</summary>
    /// <exception cref="JsonException">It is none.</exception>
    public static ImageRequest Parse(ReadOnlySpan<byte> json) =>
        OpenAIJson.TryRead<ImageRequest>(json) ?? throw new JsonException("The JSON is no image generation request.");

    byte[] IModelRequest.ToJson(bool stream) => ToJson(); // a member "stream" is not known here, and absent counts as false
}
