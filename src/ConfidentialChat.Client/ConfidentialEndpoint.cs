// spec/envelope-v1.md sections 1, 3, 7 and 13, the client's side.
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Client.Transport.V1;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client;

/// <summary>
/// An endpoint that takes sealed requests. These are its sealed calls, for callers who lock, seal and open for themselves; the typed calls
/// do all that. <b>The sealed calls are unverified</b>: whoever seals chooses the key, and no evidence is asked for. Safe for concurrent use.
/// </summary>
public abstract class ConfidentialEndpoint
{
    private protected ConfidentialEndpoint(ConfidentialCalls calls, InferenceEndpoint endpoint)
    {
        Typed = new TypedCalls(calls.Raw, endpoint);
        Sealed = new SealedCalls(calls.Connection, calls.Options, endpoint);
    }

    private protected TypedCalls Typed { get; }

    private protected SealedCalls Sealed { get; }

    /// <summary>Sends a request that the caller has sealed, and hands out its answer sealed.</summary>
    /// <param name="fields">What stands in the envelope; their <see cref="SealedFields.Stream"/> is not true.</param>
    /// <param name="options">
    /// What this call does differently. Repetitions send the same bytes: a lock that is gone (425) is the caller's to mend.
    /// </param>
    /// <param name="cancellation">Closes the connection, which stops the node.</param>
    /// <returns>The sealed answer. Nothing of it has been authenticated: that is what opening it does.</returns>
    /// <exception cref="ArgumentException">The fields ask for a stream.</exception>
    /// <exception cref="ConfidentialChatException">Anything but a sealed answer.</exception>
    /// <example>
    /// <code>
    /// using var request = sealedRequest; // of SealedRequest.TrySeal, to the key of a lock
    /// var answer = await client.ConfidentialChat.CreateAsync(SealedFields.From(request.Envelope));
    /// if (request.Answer.TryOpen(answer, out var json)) { /* UTF-8 JSON of the answer */ }
    /// </code>
    /// </example>
    public Task<SealedAnswer> CreateAsync(SealedFields fields, CallOptions? options = null, CancellationToken cancellation = default) =>
        Sealed.CreateAsync(fields, options, cancellation);

    /// <summary>The same, of fields as they stand on the wire, in the order of the origin's SDKs.</summary>
    /// <param name="ciphertext">Base64.</param>
    /// <param name="clientDhPublicKey">Base64 of 32 bytes.</param>
    /// <param name="nonce">Base64 of 12 bytes.</param>
    /// <param name="plaintextBodyHash">Base64 of 32 bytes.</param>
    /// <param name="salt">Base64 of 16 bytes.</param>
    /// <param name="nodeDhPublicKey">Base64 of 32 bytes. This and the next two may be left out together: the five-field form.</param>
    /// <param name="modelName">1 to 256 characters.</param>
    /// <param name="stackSmallId">From 0.</param>
    /// <param name="stream">False or null.</param>
    /// <param name="numComputeUnits">1 to 2^40; null for the default.</param>
    /// <param name="options">What this call does differently.</param>
    /// <param name="cancellation">Closes the connection, which stops the node.</param>
    /// <exception cref="ArgumentException">A field is not what is said here, or <paramref name="stream"/> is true.</exception>
    /// <exception cref="ConfidentialChatException">Anything but a sealed answer.</exception>
    public Task<SealedAnswer> CreateAsync(
        string ciphertext,
        string clientDhPublicKey,
        string nonce,
        string plaintextBodyHash,
        string salt,
        string? nodeDhPublicKey = null,
        string? modelName = null,
        long? stackSmallId = null,
        bool? stream = null,
        long? numComputeUnits = null,
        CallOptions? options = null,
        CancellationToken cancellation = default)
    {
        var fields = SealedFields.Read(
            ciphertext, clientDhPublicKey, nonce, plaintextBodyHash, salt, nodeDhPublicKey, modelName, stackSmallId, stream, numComputeUnits);
        return Sealed.CreateAsync(fields, options, cancellation);
    }
}
