// spec/gateway.md section 4.
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>A request that holds its units: all that the relay needs to know of it, and all that it is told.</summary>
internal sealed record AdmittedRequest
{
    public required RelayRoute Route { get; init; }

    public required UserId User { get; init; }

    public required KnownNode Node { get; init; }

    public required string Model { get; init; }

    /// <summary>The keys that it was sealed to.</summary>
    public required KeySetDigest KeySet { get; init; }

    public required Reservation Reservation { get; init; }
}

/// <summary>One way through the relay, as an envelope defines it. The relay knows no envelope.</summary>
/// <param name="Path">At the node.</param>
/// <param name="RequestType">The body's media type.</param>
/// <param name="AnswerTypes">Media types of what a node seals; a 200 of any other is none.</param>
/// <param name="ReadRefusal">Reads a node's error.</param>
internal sealed record RelayRoute(string Path, string RequestType, IReadOnlyList<string> AnswerTypes, RefusalReader ReadRefusal);

/// <summary>Reads an error body of a node: only what the protocol knows comes through, never the peer's text.</summary>
internal delegate bool RefusalReader(ReadOnlyMemory<byte> body, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Rejection? rejection);
