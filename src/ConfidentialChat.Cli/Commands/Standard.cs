using ConfidentialChat.Client;
using ConfidentialChat.Gateway;
using ConfidentialChat.Node;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Sidecar;

namespace ConfidentialChat.Cli.Commands;

/// <summary>What holds where nothing is said, as the servers' own options have it: a default that were written here too would differ one day.</summary>
internal static class Standard
{
    // What they require has no default, and is not looked at.
    private static readonly Uri Nowhere = new("http://127.0.0.1");

    public static GatewayOptions Gateway { get; } = new() { DataDirectory = "" };

    public static NodeOptions Node { get; } = new() { DataDirectory = "", GatewayUrl = Nowhere };

    public static SidecarOptions Sidecar { get; } = new() { Client = new ConfidentialChatOptions() };

    public static EmbeddedEngineOptions Engine { get; } = new() { ModelPath = "" };

    public static UpstreamOptions Upstream { get; } = new() { Model = "", Urls = [] };
}
