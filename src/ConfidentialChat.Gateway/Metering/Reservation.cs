using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>A lock, within the gateway only: on the wire a lock has no name.</summary>
internal readonly record struct LockId(long Value)
{
    public override string ToString() => Value.ToString();
}

/// <summary>A lock that a request claimed, and what it had promised.</summary>
internal readonly record struct ClaimedLock(LockId Id, ComputeUnits Units);

/// <summary>What one request holds while it runs; spec/gateway.md section 5.</summary>
/// <param name="Request">Names it for ever.</param>
/// <param name="Lock">The lock that it claimed; null where its envelope has none.</param>
/// <param name="Stack">The stack that it holds units of.</param>
/// <param name="Held">What the request may use, prompt and completion together.</param>
internal sealed record Reservation(RequestId Request, ClaimedLock? Lock, StackId Stack, ComputeUnits Held);
