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
/// <param name="User">Whose it is.</param>
/// <param name="Held">What the request may use, prompt and completion together.</param>
internal sealed record Reservation(RequestId Request, UserId User, ComputeUnits Held)
{
    /// <summary>The lock that it claimed; null where its envelope has none.</summary>
    public ClaimedLock? Lock { get; init; }

    /// <summary>The stack that it holds units of; null where it holds money, or nothing because it is free.</summary>
    public StackId? Stack { get; init; }

    /// <summary>What it holds of its user's balance.</summary>
    public MicroDollars HeldMoney { get; init; }
}
