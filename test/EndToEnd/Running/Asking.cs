using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Client;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>Options of a client that accepts the simulated nodes of this machine, and nothing else.</summary>
internal static class Asking
{
    /// <summary>Of nodes that a test started itself.</summary>
    /// <param name="gateway">Where to ask.</param>
    /// <param name="key">The API key.</param>
    /// <param name="engines">The HTTP engines that the nodes may use.</param>
    public static ConfidentialChatOptions Options(Uri gateway, string key, params Uri[] engines) => new()
    {
        ServerUrl = gateway,
        BearerKey = key,
        Policy = Policy.Default with { AllowSimulated = true, Upstreams = [.. engines.Select(engine => engine.GetLeftPart(UriPartial.Path))] },
    };
}
