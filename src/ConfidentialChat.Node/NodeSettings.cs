using System.Globalization;
using System.Net;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node;

/// <summary>
/// Reads the bare node's configuration: <c>Data</c>, <c>Gateway</c>, <c>EnrolmentToken</c>, <c>Listen</c>, <c>Port</c>, <c>Address</c>, <c>Model</c>,
/// <c>EngineDirectory</c>, <c>Upstream</c> (URLs with blanks between), <c>UpstreamModel</c> (NAME or NAME=ENGINE_NAME), <c>UpstreamKeyEnv</c>,
/// <c>UpstreamKind</c>, <c>UpstreamConcurrency</c>, <c>MaxConnections</c>, <c>DrainTimeout</c>, <c>MaxBufferedBytes</c>, <c>LogRequests</c>,
/// <c>UsageMultiple</c>, <c>DangerousPlainHttp</c>, <c>DangerousRemoteEngine</c>, <c>DangerousSharedPrefixCache</c>. One of <c>Model</c> and
/// <c>Upstream</c> is needed.
/// </summary>
internal sealed record NodeSettings(NodeOptions Node, EmbeddedEngineOptions? Engine, UpstreamOptions? Upstream)
{
    /// <exception cref="NodeOptionsException">A setting is missing or not valid.</exception>
    public static NodeSettings Read(IConfiguration configuration)
    {
        var upstream = ReadUpstream();
        var engine = configuration["Model"] is null && upstream is not null
            ? null
            : new EmbeddedEngineOptions { ModelPath = Required("Model"), EngineDirectory = configuration["EngineDirectory"] };
        var standard = new NodeOptions { DataDirectory = Required("Data"), GatewayUrl = Url("Gateway") ?? throw Missing("Gateway") };
        return new NodeSettings(
            standard with
            {
                EnrolmentToken = Secret("CONFIDENTIALCHAT_NODE_EnrolmentToken"), // never an argument: other users read those
                ListenAddress = configuration["Listen"] is not { } listen ? standard.ListenAddress
                    : IPAddress.TryParse(listen, out var address) ? address : throw Invalid("Listen", "an IP address"),
                Port = configuration["Port"] is not { } port ? standard.Port
                    : int.TryParse(port, out var number) ? number : throw Invalid("Port", "a port"),
                PublicAddress = Url("Address"),
                DangerousPlainHttp = Flag("DangerousPlainHttp"),
                LogRequests = Flag("LogRequests"),
                UsageMultiple = configuration["UsageMultiple"] is not { } multiple ? standard.UsageMultiple
                    : int.TryParse(multiple, out var parts) ? parts : throw Invalid("UsageMultiple", "a number"),
                DrainTimeout = configuration["DrainTimeout"] is not { } drain ? standard.DrainTimeout
                    : TimeSpan.TryParse(drain, CultureInfo.InvariantCulture, out var time) && time >= TimeSpan.Zero && time <= TimeSpan.FromHours(1) ? time
                    : throw Invalid("DrainTimeout", "a time from 00:00:00 to 01:00:00"),
                MaxConnections = configuration["MaxConnections"] is not { } connections ? standard.MaxConnections
                    : int.TryParse(connections, out var places) ? places : throw Invalid("MaxConnections", "a number"),
                MaxBufferedBytes = configuration["MaxBufferedBytes"] is not { } buffered ? standard.MaxBufferedBytes
                    : long.TryParse(buffered, out var bytes) && bytes > 0 ? bytes : throw Invalid("MaxBufferedBytes", "a number of bytes"),
                MaxConcurrent = (engine?.Sequences ?? 0) + ((upstream?.MaxConcurrent * upstream?.Urls.Count) ?? 0),
            },
            engine,
            upstream);

        UpstreamOptions? ReadUpstream()
        {
            if (configuration["Upstream"] is not { Length: > 0 } urls)
                return null;
            var names = Required("UpstreamModel").Split('=', 2);
            var kind = EngineKind.Unknown;
            if (configuration["UpstreamKind"] is { } text && !UpstreamOptions.TryParseKind(text, out kind))
                throw Invalid("UpstreamKind", "vllm, sglang, llama-server, ollama or tei");
            var standard = new UpstreamOptions
            {
                Model = names[0],
                EngineModel = names.Length == 2 ? names[1] : null,
                Urls = [.. urls.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(url =>
                    Uri.TryCreate(url, UriKind.Absolute, out var parsed) ? parsed : throw Invalid("Upstream", "a list of absolute URLs"))],
            };
            return standard with
            {
                ApiKey = configuration["UpstreamKeyEnv"] is { } variable
                    ? Secret(variable) ?? throw Invalid("UpstreamKeyEnv", "the name of a variable that is set")
                    : null,
                Kind = kind == EngineKind.Unknown ? null : kind,
                MaxConcurrent = configuration["UpstreamConcurrency"] is not { } most ? standard.MaxConcurrent
                    : int.TryParse(most, out var number) && number > 0 ? number : throw Invalid("UpstreamConcurrency", "a number above zero"),
                DangerousRemoteEngine = Flag("DangerousRemoteEngine"),
                DangerousSharedPrefixCache = Flag("DangerousSharedPrefixCache"),
            };
        }

        static string? Secret(string variable) => Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? SecretText.WithoutLineEnd(text) : null;

        bool Flag(string name) => configuration[name] is { } value && (bool.TryParse(value, out var flag) ? flag : throw Invalid(name, "true or false"));

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
        UpstreamException e => (e.Message, e.Hint),
        _ => null,
    };
}
