using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway;

/// <summary>A user of this gateway.</summary>
internal readonly record struct UserId(long Value)
{
    public override string ToString() => Value.ToString();
}

/// <summary>A lock, within the gateway only: on the wire a lock has no name.</summary>
internal readonly record struct LockId(long Value)
{
    public override string ToString() => Value.ToString();
}

/// <summary>What one request holds while it runs; spec/gateway.md section 5.</summary>
/// <param name="Request">Names it for ever.</param>
/// <param name="Lock">The lock that it claimed.</param>
/// <param name="LockUnits">What the lock itself had promised.</param>
/// <param name="Stack">The stack that it holds units of.</param>
/// <param name="Held">What the request may use, prompt and completion together.</param>
internal sealed record Reservation(RequestId Request, LockId Lock, ComputeUnits LockUnits, StackId Stack, ComputeUnits Held);
