using System.CommandLine;
using System.CommandLine.Parsing;
using System.Runtime.InteropServices;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Cli.Commands;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Gateway;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node;
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Sidecar;

namespace ConfidentialChat.Cli;

/// <summary>Exit codes of every command; docs/operating.md explains them to people.</summary>
internal static class ExitCode
{
    public const int Success = 0;
    public const int Failure = 1;
    public const int Usage = 2;
    public const int NotEnrolled = NodeExitCode.NotEnrolled;
    public const int Refused = 4;
    public const int NotReached = 5;
    public const int Untrustworthy = 6;
    public const int EvidenceRefused = 7;
    public const int DatabaseBusy = 8;

    /// <summary>As shells say of a program that SIGINT ended.</summary>
    public const int Interrupted = 130;

    /// <summary>As shells say of a program that SIGPIPE ended.</summary>
    public const int OutputClosed = 141;
}

/// <summary>A command cannot go on. Shown as <c>error:</c> and <c>hint:</c>, without a stack trace.</summary>
internal sealed class CommandException(string message, string hint, int exitCode = ExitCode.Failure) : Exception(message)
{
    public string Hint { get; } = hint;

    public int ExitCode { get; } = exitCode;
}

/// <summary>Runs a command line: one place that turns faults into messages and exit codes.</summary>
internal static class Invocation
{
    public static async Task<int> RunAsync(RootCommand root, string[] args)
    {
        var parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (var error in parsed.Errors)
                await Console.Error.WriteLineAsync($"error: {error.Message}");
            var command = "";
            for (SymbolResult? part = parsed.CommandResult; part is CommandResult { Parent: not null } named; part = part.Parent)
                command = $"{named.Command.Name} {command}";
            await Console.Error.WriteLineAsync($"hint: ./cchat {command}--help");
            return ExitCode.Usage;
        }

        // Ctrl-C reaches every process of the terminal; the parent then stops its children in the right order.
        var followsParent = args.Contains(ChildProcess.FollowParentOption);
        using var signals = new Signals(
            signal => (followsParent && signal is PosixSignal.SIGINT) || Interrupt.IsTaken(signal), ServerRun.IsServer(parsed.CommandResult.Command));
        Interrupt.EndingAtOnce = signals.EndingAtOnce;
        try
        {
            // Signals are ours: a server drains for as long as its own options say.
            return await parsed.InvokeAsync(
                new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, signals.Stopping);
        }
        catch (Exception e) when (Explain(e) is { } fault)
        {
            await Console.Error.WriteLineAsync($"error: {fault.Message}");
            await Console.Error.WriteLineAsync($"hint: {fault.Hint}");
            return fault.ExitCode;
        }
        catch (OperationCanceledException) when (signals.Stopping.IsCancellationRequested)
        {
            return signals.ExitCode;
        }
    }

    private const int MaxNodes = 8;
    private const int MaxFactors = 4; // of a node

    private static string Hint(ApiException refusal) => refusal.Code switch
    {
        "MODEL_NOT_FOUND" => "./cchat models lists those that the gateway offers; without --model the first is taken",
        "NOT_FOUND" => "is this a gateway? A node's port answers like this too",
        null when refusal is NodeApiException => "spec/envelope-v1.md section 9 lists what this means",
        null when refusal.Status is 413 => "no gateway said this: a proxy before it takes no body that large; nginx has client_max_body_size",
        null => "no gateway said this: look at what stands before it, or whether this is one",
        _ => refusal.IsRetryable ? "try again" : "spec/envelope-v1.md section 9 lists what this means",
    };

    // The SDK's messages may end with a hint of their own, and speak of its properties where a command has options.
    private static CommandException Split(Exception exception, string hint, int exitCode)
    {
        var parts = exception.Message
            .Replace($"{nameof(ConfidentialChatOptions)}.{nameof(ConfidentialChatOptions.Policy)}", Asking.Policy.Name, StringComparison.Ordinal)
            .Replace(nameof(ConfidentialChatOptions.ServerUrl), Asking.Gateway.Name, StringComparison.Ordinal)
            .Replace(nameof(ConfidentialChatOptions.DangerousPlainHttp), Asking.DangerousPlainHttp.Name, StringComparison.Ordinal)
            .Split("\nhint: ", 2);
        return new CommandException(parts[0], parts.Length == 2 ? parts[1] : hint, exitCode);
    }

    // The first lines name the nodes, each with what refuses it.
    private static CommandException Refused(AttestationException refusal)
    {
        var hint = Split(refusal, "./cchat verify --node shows every check", ExitCode.EvidenceRefused).Hint;
        var nodes = string.Join("; ", refusal.Refused.Take(MaxNodes).Select(node =>
            $"node {node.Node}: {string.Join(", ", node.Factors.Take(MaxFactors).Select(factor => $"{factor.Name} ({factor.Code?.Spell()})"))}"));
        return new CommandException(
            $"the policy accepts no node of this model, and nothing was sent to any{(nodes.Length > 0 ? $": {nodes}" : ".")}", hint, ExitCode.EvidenceRefused);
    }

    /// <summary>What 401 is, whoever was asked for what.</summary>
    public static CommandException UnknownApiKey() => new(
        "the gateway does not know this API key (AUTH_ERROR).",
        "\"up\" prints the key and keeps it in its data directory; ./cchat keys create makes another", ExitCode.Refused);

    /// <summary>What a fault is to people, or null for a bug.</summary>
    public static CommandException? Explain(Exception exception) => exception switch
    {
        CommandException e => e,
        NodeOptionsException e => new CommandException(e.Message, e.Hint, ExitCode.Usage),
        SidecarOptionsException e => new CommandException(e.Message, e.Hint, ExitCode.Usage),
        GatewayOptionsException e => new CommandException(e.Message, e.Hint, ExitCode.Usage),
        GatewayStateException e => new CommandException(e.Message, e.Hint, e.Fault is StateFault.Busy ? ExitCode.DatabaseBusy : ExitCode.Failure),
        UpstreamException e => new CommandException(e.Message, e.Hint, ExitCode.Usage),
        ModelLoadException e => new CommandException(e.Message, e.Hint, ExitCode.Usage),
        LlamaLibraryException e => new CommandException(e.Message, e.Hint),
        PolicyException e => new CommandException(e.Message, e.Hint, ExitCode.Usage),
        ConfigurationException e => Split(e, "see --help", ExitCode.Usage),
        ApiException { Status: 401 } => UnknownApiKey(),
        AttestationException e => Refused(e),
        ApiException e => Split(e, Hint(e), ExitCode.Refused),
        GatewayConnectionException or CallTimeoutException or HttpIOException =>
            Split(exception, "is the gateway running there? --gateway names another", ExitCode.NotReached),
        IOException or UnauthorizedAccessException =>
            new CommandException(exception.Message, "look at the owner and mode of what is read or written, and at its disk"),
        ConfidentialChatException e => Split(e, "do not trust what was printed before; try again", ExitCode.Untrustworthy),
        _ => null,
    };
}
