using System.Net;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Llama;

namespace ConfidentialChat.Node;

/// <summary>Reads the bare node's configuration: <c>Data</c>, <c>Gateway</c>, <c>EnrolmentToken</c>, <c>Listen</c>, <c>Port</c>, <c>Address</c>, <c>Model</c>, <c>EngineDirectory</c>.</summary>
internal sealed record NodeSettings(NodeOptions Node, EmbeddedEngineOptions Engine)
{
    /// <exception cref="NodeOptionsException">A setting is missing or not valid.</exception>
    public static NodeSettings Read(IConfiguration configuration)
    {
        return new NodeSettings(
            new NodeOptions
            {
                DataDirectory = Required("Data"),
                GatewayUrl = Url("Gateway") ?? throw Missing("Gateway"),
                EnrolmentToken = Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_NODE_EnrolmentToken"), // never an argument: other users read those
                ListenAddress = configuration["Listen"] is not { } listen ? IPAddress.Loopback
                    : IPAddress.TryParse(listen, out var address) ? address : throw Invalid("Listen", "an IP address"),
                Port = configuration["Port"] is not { } port ? 8081
                    : int.TryParse(port, out var number) ? number : throw Invalid("Port", "a port"),
                PublicAddress = Url("Address"),
            },
            new EmbeddedEngineOptions { ModelPath = Required("Model"), EngineDirectory = configuration["EngineDirectory"] });

        string Required(string name) => configuration[name] is { Length: > 0 } value ? value : throw Missing(name);

        Uri? Url(string name) => configuration[name] is not { } text ? null
            : Uri.TryCreate(text, UriKind.Absolute, out var url) ? url : throw Invalid(name, "an absolute URL");

        static NodeOptionsException Missing(string name) =>
            new($"The setting {name} is missing.", $"give --{name} VALUE or set CONFIDENTIALCHAT_NODE_{name}");

        static NodeOptionsException Invalid(string name, string expected) =>
            new($"The setting {name} is not {expected}.", $"give --{name} VALUE or set CONFIDENTIALCHAT_NODE_{name}");
    }

    /// <summary>The faults that an operator can mend, in words.</summary>
    public static (string Message, string Hint)? Explain(Exception exception) => exception switch
    {
        NodeOptionsException e => (e.Message, e.Hint),
        ModelLoadException e => (e.Message, e.Hint),
        LlamaLibraryException e => (e.Message, e.Hint),
        _ => null,
    };
}
