// spec/envelope-v1.md section 1.
using ConfidentialChat.Client.Images;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>Pictures that are asked for and made under seal. Safe for concurrent use.</summary>
public sealed class ImagesEndpoint : ConfidentialEndpoint
{
    internal ImagesEndpoint(ConfidentialCalls calls)
        : base(calls, InferenceEndpoint.ImageGenerations)
    {
    }

    /// <summary>Asks for pictures.</summary>
    /// <param name="request">Read when the call begins, and left as it is.</param>
    /// <param name="cancellation">Closes the connection, which stops the node.</param>
    /// <exception cref="ConfidentialChatException">Anything but an authentic answer.</exception>
    public Task<ImageList> GenerateAsync(ImageRequest request, CancellationToken cancellation = default) =>
        Typed.CreateAsync<ImageList>(request, null, cancellation);

    /// <summary>Asks for pictures, with options of this call's own.</summary>
    /// <inheritdoc cref="GenerateAsync(ImageRequest, CancellationToken)"/>
    public Task<ImageList> GenerateAsync(ImageRequest request, CallOptions options, CancellationToken cancellation = default) =>
        Typed.CreateAsync<ImageList>(request, options, cancellation);
}
