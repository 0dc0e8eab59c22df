namespace ConfidentialChat.Client.Transport;

/// <summary>What the confidential endpoints of one client share.</summary>
/// <param name="Raw">Seals here.</param>
/// <param name="Connection">Takes what came sealed.</param>
/// <param name="Options">The client's.</param>
internal sealed record ConfidentialCalls(RawCalls Raw, GatewayConnection Connection, ConfidentialChatOptions Options);
