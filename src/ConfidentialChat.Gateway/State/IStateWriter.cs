using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;

namespace ConfidentialChat.Gateway.State;

/// <summary>
/// The gateway's way to its database while it serves. A change is whole or not there, and changes happen in one order, which is that in
/// which they were given. One implementation for each database engine.
/// </summary>
internal interface IStateWriter
{
    /// <summary>Runs one change, perhaps together with others in one transaction.</summary>
    /// <param name="change">May be run again from its beginning where a neighbour in its transaction failed, so it changes nothing but rows.</param>
    /// <param name="commit">When the task completes.</param>
    /// <returns>What the change gave, once it is committed; or what it threw, with nothing changed.</returns>
    /// <exception cref="GatewayStateException">The database cannot be used; <see cref="WriteHealth"/> has heard it, and logs it.</exception>
    Task<T> RunAsync<T>(Func<IStateRows, ValueTask<T>> change, Commit commit = Commit.Promptly);
}

/// <summary>When a change is committed.</summary>
internal enum Commit
{
    /// <summary>With the next change that somebody waits for, or within a second. For what is of no use to wait for.</summary>
    Lazily,

    /// <summary>At once; a power loss may undo it, never half of it.</summary>
    Promptly,

    /// <summary>At once and on the disk.</summary>
    Durably,
}

/// <summary>The rows, within one transaction.</summary>
internal interface IStateRows
{
    ILedgerRows Ledger { get; }

    INodeRows Nodes { get; }

    IApiKeyRows ApiKeys { get; }

    /// <summary>A number that is another one after each change that another process made.</summary>
    ValueTask<long> ForeignVersionAsync();

    /// <summary>Writes something that means nothing.</summary>
    ValueTask<bool> ProbeAsync();
}
