// spec/envelope-v1.md section 1: which paths there are.
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway;

/// <summary>One confidential endpoint. All of them take one way through the gateway and differ in nothing but this row.</summary>
/// <param name="Path">At the gateway and at the node.</param>
/// <param name="MayStream">Whether an answer may be <c>text/event-stream</c>.</param>
/// <param name="DefaultUnits">What a request stands for that names no <c>num_compute_units</c>.</param>
internal sealed record ConfidentialEndpoint(string Path, bool MayStream, ComputeUnits DefaultUnits);

/// <summary>The table of confidential endpoints, and the paths beside it.</summary>
internal static class Endpoints
{
    public const string Health = "/health";
    public const string Live = "/health/live";
    public const string Ready = "/health/ready";
    public const string Models = "/v1/models";
    public const string Lock = "/v1/nodes/lock";

    public static IReadOnlyList<ConfidentialEndpoint> Confidential { get; } =
    [
        new("/v1/confidential/chat/completions", MayStream: true, ComputeUnits.Default),
        new("/v1/confidential/completions", MayStream: true, ComputeUnits.Default),
        new("/v1/confidential/embeddings", MayStream: false, ComputeUnits.Default),
        new("/v1/confidential/images/generations", MayStream: false, ComputeUnits.DefaultOfImages),
    ];
}
