// spec/envelope-v1.md sections 8 and 13, the client's side.
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client;

/// <summary>A confidential endpoint that can answer in chunks. Safe for concurrent use.</summary>
public abstract class StreamingEndpoint : ConfidentialEndpoint
{
    private protected StreamingEndpoint(ConfidentialCalls calls, InferenceEndpoint endpoint)
        : base(calls, endpoint)
    {
    }

    /// <summary>Sends a request that the caller has sealed, and hands out the events of its answer sealed.</summary>
    /// <param name="fields">What stands in the envelope; their <see cref="SealedFields.Stream"/> is not false.</param>
    /// <param name="options">What this call does differently. Repetitions send the same bytes.</param>
    /// <param name="cancellation">Closes the connection, which stops the node; so does ending the enumeration early.</param>
    /// <returns>
    /// Sends nothing until it is enumerated. A clean end means that the connection ended well and brought something: whether the answer is
    /// whole and in order, what is sealed tells. Refuse nonces that repeat, as <see cref="AnswerOpener"/> does, and events that are not the
    /// next, as <see cref="EventOrder"/> does.
    /// </returns>
    /// <exception cref="ArgumentException">The fields ask for a whole answer.</exception>
    /// <exception cref="ConfidentialChatException">Thrown by the enumeration.</exception>
    public IAsyncEnumerable<SealedAnswer> CreateStreamAsync(
        SealedFields fields, CallOptions? options = null, CancellationToken cancellation = default) =>
        Sealed.CreateStreamAsync(fields, options, cancellation);

    /// <summary>The same, of fields as they stand on the wire, in the order of the origin's SDKs.</summary>
    /// <param name="ciphertext">Base64.</param>
    /// <param name="clientDhPublicKey">Base64 of 32 bytes.</param>
    /// <param name="nonce">Base64 of 12 bytes.</param>
    /// <param name="plaintextBodyHash">Base64 of 32 bytes.</param>
    /// <param name="salt">Base64 of 16 bytes.</param>
    /// <param name="nodeDhPublicKey">Base64 of 32 bytes. This and the next two may be left out together: the five-field form.</param>
    /// <param name="modelName">1 to 256 characters.</param>
    /// <param name="stackSmallId">From 0.</param>
    /// <param name="stream">True or null.</param>
    /// <param name="numComputeUnits">1 to 2^40; null for the default.</param>
    /// <param name="options">What this call does differently.</param>
    /// <param name="cancellation">Closes the connection, which stops the node; so does ending the enumeration early.</param>
    /// <exception cref="ArgumentException">A field is not what is said here, or <paramref name="stream"/> is false.</exception>
    /// <exception cref="ConfidentialChatException">Thrown by the enumeration.</exception>
    public IAsyncEnumerable<SealedAnswer> CreateStreamAsync(
        string ciphertext,
        string clientDhPublicKey,
        string nonce,
        string plaintextBodyHash,
        string salt,
        string? nodeDhPublicKey = null,
        string? modelName = null,
        long? stackSmallId = null,
        bool? stream = true,
        long? numComputeUnits = null,
        CallOptions? options = null,
        CancellationToken cancellation = default)
    {
        var fields = SealedFields.Read(
            ciphertext, clientDhPublicKey, nonce, plaintextBodyHash, salt, nodeDhPublicKey, modelName, stackSmallId, stream, numComputeUnits);
        return Sealed.CreateStreamAsync(fields, options, cancellation);
    }
}
