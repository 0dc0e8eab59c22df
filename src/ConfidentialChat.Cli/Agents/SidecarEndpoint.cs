// spec/connect.md section 1.
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Cli.Commands;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Agents;

/// <summary>A node that a sidecar seals to, as it says.</summary>
/// <param name="Node">Its number.</param>
/// <param name="Tee">What protects it.</param>
/// <param name="IsAccepted">By the sidecar's policy.</param>
/// <param name="Until">Nothing is sealed to its keys from then on.</param>
internal sealed record SidecarNode(long Node, string Tee, [property: JsonPropertyName("accepted")] bool IsAccepted, string Until);

/// <summary>A sidecar whose model has a node with an accepted verdict: whoever holds one has asked.</summary>
internal sealed record SidecarEndpoint
{
    /// <summary>Holds the local key, for the sidecar, for this program and for the agents.</summary>
    public const string KeyVariable = ProxyCommand.LocalKeyVariable;

    /// <summary>Names the sidecar where no argument does.</summary>
    public const string UrlVariable = "CONFIDENTIALCHAT_SIDECAR_URL";

    private const string Checks = "./cchat verify --node shows every check";
    private const int MaxAnswerBytes = 4 * 1024 * 1024;
    private const int MostModels = 32;
    private const int MostFactors = 4; // of a node, in a message
    private const int MaxShown = 200; // UTF-16 units
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Without a path.</summary>
    public required Uri Root { get; init; }

    public required string Model { get; init; }

    /// <summary>All that there are, <see cref="Model"/> first.</summary>
    public required IReadOnlyList<string> Models { get; init; }

    public required IReadOnlyList<SidecarNode> Nodes { get; init; }

    /// <summary>Whom the sidecar asks; null where it does not say.</summary>
    public required string? Gateway { get; init; }

    /// <summary>The local key; null where it wants none.</summary>
    public required string? Key { get; init; }

    /// <summary>What agents take a model to hold, in tokens.</summary>
    public int ContextTokens { get; init; } = 32768;

    /// <summary>The longest answer that they ask for, in tokens.</summary>
    public int AnswerTokens { get; init; } = 4096;

    public bool NeedsKey => Key is not null;

    public string OpenAIUrl => $"{AnthropicUrl}/v1";

    public string AnthropicUrl => Root.GetLeftPart(UriPartial.Authority);

    public override string ToString() => $"{nameof(SidecarEndpoint)} {{ {AnthropicUrl} }}"; // no key

    /// <summary>Without a path, or nothing: a sidecar is on this machine.</summary>
    /// <exception cref="CommandException">It is not, or the text is no URL.</exception>
    public static Uri RootOf(Uri url)
    {
        if (url.Scheme != Uri.UriSchemeHttp || !IsHere(url.DnsSafeHost) || url.UserInfo.Length > 0)
            throw new CommandException(
                $"{url.GetLeftPart(UriPartial.Authority)} is no sidecar of this machine.",
                "what an agent asks a sidecar is in plain: run \"cchat proxy\" where the agent runs, and name http://127.0.0.1:PORT", ExitCode.Usage);
        if (url.AbsolutePath.TrimEnd('/') is not ("" or "/v1") || url.Query.Length > 0)
            throw new CommandException($"{url} is no sidecar's URL.", "http://127.0.0.1:PORT, with or without /v1", ExitCode.Usage);
        return new Uri(url.GetLeftPart(UriPartial.Authority));
    }

    /// <summary>Asks a sidecar.</summary>
    /// <param name="root">Where it is.</param>
    /// <param name="model">Null takes the first.</param>
    /// <param name="key">Its local key, if it has one.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="CommandException">It is not there, is none, or no verdict is accepted.</exception>
    public static async Task<SidecarEndpoint> AskAsync(Uri root, string? model, string? key, CancellationToken cancellation)
    {
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, UseCookies = false })
        {
            BaseAddress = root,
            Timeout = Patience,
            MaxResponseContentBufferSize = MaxAnswerBytes,
        };
        if (key is not null)
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        var listed = await GetAsync(http, "/v1/models", cancellation);
        var models = Names(listed) ?? throw NoSidecar(root);
        if (models.Count == 0)
            throw new CommandException("the gateway offers no model now.", "start a node; ./cchat models lists what there is", ExitCode.Refused);
        if (model is not null && !models.Contains(model, StringComparer.Ordinal))
            throw new CommandException(
                "nobody serves this model.", $"--model takes one of: {string.Join(", ", models.Select(name => ForeignText.Line(name, ModelNames.MaxLength)))}",
                ExitCode.Usage);
        var chosen = model ?? models[0];
        var shown = await GetAsync(http, $"/v1/attestation?model={Uri.EscapeDataString(chosen)}", cancellation);
        var nodes = NodesOf(shown) ?? throw NoSidecar(root);
        if (!nodes.Any(node => node.IsAccepted))
            throw new CommandException(
                "no node of this model has an accepted verdict, and nothing was changed.", Checks, ExitCode.EvidenceRefused);
        return new SidecarEndpoint
        {
            Root = root,
            Model = chosen,
            Models = [chosen, .. models.Where(name => name != chosen).Take(MostModels - 1)],
            Nodes = nodes,
            Gateway = Text(shown, "gateway") is { } gateway ? ForeignText.Line(gateway, MaxShown) : null,
            Key = key,
        };
    }

    private static bool IsHere(string host) =>
        string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address));

    private static async Task<JsonElement> GetAsync(HttpClient http, string path, CancellationToken cancellation)
    {
        var root = http.BaseAddress!;
        try
        {
            using var answer = await http.GetAsync(path, cancellation);
            var body = await answer.Content.ReadAsByteArrayAsync(cancellation);
            using var document = JsonDocument.Parse(body);
            var json = document.RootElement.Clone();
            return answer.IsSuccessStatusCode ? json : throw Refused(root, (int)answer.StatusCode, json);
        }
        catch (JsonException)
        {
            throw NoSidecar(root);
        }
        catch (HttpRequestException e) when (e.HttpRequestError is HttpRequestError.ConfigurationLimitExceeded)
        {
            throw NoSidecar(root);
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            throw new CommandException(
                $"no sidecar answers at {root.GetLeftPart(UriPartial.Authority)}.",
                "start one: ./cchat up, or ./cchat proxy --gateway URL; --sidecar names another", ExitCode.NotReached);
        }
    }

    private static CommandException NoSidecar(Uri root) => new(
        $"what answers at {root.GetLeftPart(UriPartial.Authority)} is no sidecar, and nothing was changed.",
        "another program has that port: --sidecar names the one at which \"up\" or \"proxy\" says that its sidecar listens", ExitCode.NotReached);

    private static CommandException Refused(Uri root, int status, JsonElement answer)
    {
        if (answer.ValueKind != JsonValueKind.Object || !answer.TryGetProperty("error", out var error) || Text(error, "code") is not { } code)
            return NoSidecar(root);
        var said = ForeignText.Line(Text(error, "message") ?? "", 1000);
        return code switch
        {
            "ATTESTATION_FAILED" => new CommandException(
                $"the policy accepts no node of this model, and nothing was changed: {Failing(error) ?? said}", Checks, ExitCode.EvidenceRefused),
            "LOCAL_KEY_WRONG" => new CommandException(
                "the sidecar asks for its local key.", $"--local-key FILE, or export {KeyVariable}=…", ExitCode.Refused),
            _ => new CommandException(
                $"the sidecar refuses ({ForeignText.Line(code, 64)}): {said}", "its log says more; ./cchat status asks again",
                status is 502 or 503 or 504 ? ExitCode.NotReached : ExitCode.Refused),
        };
    }

    private static string? Failing(JsonElement error) => error.TryGetProperty("nodes", out var nodes) && nodes.ValueKind == JsonValueKind.Array
        ? string.Join("; ", nodes.EnumerateArray().Take(8).Select(node => $"node {Number(node, "node")}: {string.Join(
            ", ", node.TryGetProperty("factors", out var factors) && factors.ValueKind == JsonValueKind.Array
                ? factors.EnumerateArray().Take(MostFactors).Select(factor => $"{Line(factor, "factor")} ({Line(factor, "code")})")
                : [])}"))
        : null;

    private static List<string>? Names(JsonElement answer) =>
        answer.ValueKind == JsonValueKind.Object && answer.TryGetProperty("data", out var data) && data.ValueKind == JsonValueKind.Array
            ? [.. data.EnumerateArray().Select(model => Text(model, "id")).OfType<string>().Where(ModelNames.IsValid).Distinct(StringComparer.Ordinal)]
            : null;

    private static List<SidecarNode>? NodesOf(JsonElement answer) =>
        answer.ValueKind == JsonValueKind.Object && answer.TryGetProperty("nodes", out var nodes) && nodes.ValueKind == JsonValueKind.Array
            ? [.. nodes.EnumerateArray().Select(node =>
                new SidecarNode(Number(node, "node"), Line(node, "tee"), IsAccepted(node), Line(node, "sealed_to_until")))]
            : null;

    private static bool IsAccepted(JsonElement node) =>
        node.ValueKind == JsonValueKind.Object && node.TryGetProperty("verdict", out var verdict) && verdict.ValueKind == JsonValueKind.Object
        && verdict.TryGetProperty("accepted", out var accepted) && accepted.ValueKind == JsonValueKind.True;

    private static long Number(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var number) && number.ValueKind == JsonValueKind.Number
        && number.TryGetInt64(out var value) ? value : 0;

    private static string Line(JsonElement element, string name) => ForeignText.Line(Text(element, name) ?? "?", MaxShown);

    private static string? Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var text) && text.ValueKind == JsonValueKind.String
            ? text.GetString() : null;
}
