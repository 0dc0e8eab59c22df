// spec/connect.md sections 1 and 2.
using System.CommandLine;
using ConfidentialChat.Cli.Agents;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary>What <c>connect</c>, <c>disconnect</c>, <c>run</c> and <c>status</c> share: which agent, and which sidecar.</summary>
internal static class AgentArguments
{
    private static readonly string Names = string.Join(", ", Agents.Agent.All.Select(agent => agent.Name));

    public static readonly Option<Uri?> Sidecar = CommonOptions.Url(
        "--sidecar", $"Sidecar to ask. Default: {SidecarEndpoint.UrlVariable}, else http://127.0.0.1:{Standard.Sidecar.Port}/v1.");
    public static readonly Option<DirectoryInfo> Data = CommonOptions.Data("the proxy, where the journal of connections is kept", made: true);
    public static readonly Option<FileInfo?> LocalKey = new("--local-key")
    {
        Description = $"File with the sidecar's local key. Default: {SidecarEndpoint.KeyVariable}. No file of an agent gets it.",
        HelpName = "FILE",
    };
    public static readonly Option<string?> Model = new("--model")
    {
        Description = "Model that the agent is to ask. Default: the first that the gateway offers.",
        HelpName = "NAME",
    };
    public static readonly Option<int> ContextTokens = CommonOptions.Positive(
        "--context-tokens", 32768, "Tokens that the model holds, for agents that want to know.");
    public static readonly Option<int> AnswerTokens = CommonOptions.Positive(
        "--answer-tokens", 4096, "Longest answer, in tokens, for agents that want to know.");

    public static Argument<Agent> Agent() => new("agent")
    {
        Description = $"{Names}.",
        CustomParser = argument =>
        {
            var name = argument.Tokens[0].Value;
            if (Agents.Agent.All.FirstOrDefault(agent => agent.Name == name) is { } agent)
                return agent;
            argument.AddError($"'{ForeignText.Line(name)}' is no agent that can be connected: {Names}.");
            return null!;
        },
    };

    /// <summary>Asks the sidecar that is named.</summary>
    public static async Task<SidecarEndpoint> AskAsync(ParseResult parsed, CancellationToken cancellation) =>
        (await SidecarEndpoint.AskAsync(Root(parsed), parsed.GetValue(Model), Key(parsed), cancellation)) with
        {
            ContextTokens = parsed.GetValue(ContextTokens),
            AnswerTokens = parsed.GetValue(AnswerTokens),
        };

    public static Uri Root(ParseResult parsed)
    {
        if (parsed.GetValue(Sidecar) is { } named)
            return SidecarEndpoint.RootOf(named);
        if (Environment.GetEnvironmentVariable(SidecarEndpoint.UrlVariable) is not { Length: > 0 } text)
            return new Uri($"http://127.0.0.1:{Standard.Sidecar.Port}");
        return Uri.TryCreate(text, UriKind.Absolute, out var url)
            ? SidecarEndpoint.RootOf(url)
            : throw new CommandException($"{SidecarEndpoint.UrlVariable} is no URL.", "http://127.0.0.1:PORT", ExitCode.Usage);
    }

    public static string? Key(ParseResult parsed)
    {
        if (parsed.GetValue(LocalKey) is not { } file)
            return CommonOptions.Secret(SidecarEndpoint.KeyVariable);
        try
        {
            return SecretText.WithoutLineEnd(File.ReadAllText(file.FullName)) is { Length: > 0 } key
                ? key
                : throw new CommandException($"{file} holds no key.", "it is the file that \"proxy\" has as --local-key", ExitCode.Usage);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"{file} cannot be read: {e.Message}", "--local-key names a file that this user may read", ExitCode.Usage);
        }
    }

    /// <summary>The agent's programs, of which there is one at the least.</summary>
    public static IReadOnlyList<string> Find(Agent agent, Surroundings surroundings)
    {
        var (found, looked) = agent.Look(surroundings);
        return found.Count > 0 ? found : throw NotInstalled(agent, looked);
    }

    public static CommandException NotInstalled(Agent agent, string looked) => new(
        $"{agent.FullName} is not installed: looked for {looked}.", agent.Install, ExitCode.Usage);
}
