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
internal sealed record RelayRoute
{
    /// <summary>At the node.</summary>
    public required string Path { get; init; }

    /// <summary>What the relay token names.</summary>
    public required string Endpoint { get; init; }

    /// <summary>The body's media type.</summary>
    public required string RequestType { get; init; }

    /// <summary>Media types of what a node seals; a 200 of any other is none.</summary>
    public required IReadOnlyList<string> AnswerTypes { get; init; }

    /// <summary>Reads a node's error.</summary>
    public required RefusalReader ReadRefusal { get; init; }
}

/// <summary>Reads an error body of a node: only what the protocol knows comes through, never the peer's text.</summary>
internal delegate bool RefusalReader(ReadOnlyMemory<byte> body, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Rejection? rejection);
