// spec/connect.md section 6.
using System.CommandLine;
using System.ComponentModel;
using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using ConfidentialChat.Cli.Agents;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat run</c>: runs an agent once against a sidecar, and changes no file.</summary>
internal static class RunCommand
{
    private static readonly Argument<Agent> Tool = AgentArguments.Agent();
    private static readonly Argument<string[]> Rest = new("arguments")
    {
        Description = "The agent's own, behind --.",
        Arity = ArgumentArity.ZeroOrMore,
    };

    public static Command Create()
    {
        var command = new Command("run", "Run a coding agent once against a sidecar whose verdict is accepted; no file is changed: cchat run AGENT -- ARGUMENTS")
        {
            Tool, Rest, AgentArguments.Sidecar, AgentArguments.Model, AgentArguments.ContextTokens, AgentArguments.AnswerTokens, AgentArguments.LocalKey,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var agent = parsed.GetRequiredValue(Tool);
        if (!agent.CanRun)
            throw new CommandException($"{agent.FullName} reads files alone, and cannot be told for one run.", $"./cchat connect {agent.Name}", ExitCode.Usage);
        var program = AgentArguments.Find(agent, Surroundings.OfThisProcess())[0];
        var endpoint = await AgentArguments.AskAsync(parsed, cancellation);

        var start = new ProcessStartInfo(program) { UseShellExecute = false };
        foreach (var argument in (string[])[.. agent.Arguments(endpoint), .. parsed.GetValue(Rest) ?? []])
            start.ArgumentList.Add(argument);
        foreach (var (name, value) in agent.Variables(endpoint))
            start.Environment[name] = value;
        if (endpoint.Key is { } key)
            start.Environment[SidecarEndpoint.KeyVariable] = key;
        using var interrupts = Interrupt.TakeOver(() => { }); // the terminal sends them to the agent as well
        var exitCode = await RunAsync(start, program, cancellation);
        if (exitCode != 0 && !await AnswersAsync(endpoint.Root))
            await Console.Error.WriteLineAsync($"note: the sidecar at {endpoint.AnthropicUrl} answers no more: was it stopped?");
        return exitCode;
    }

    private static async Task<int> RunAsync(ProcessStartInfo start, string program, CancellationToken cancellation)
    {
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (Win32Exception e)
        {
            throw new CommandException($"{program} cannot be started: {e.Message}.", "look at its owner and mode, and whether it is made for this machine");
        }

        using (process)
        {
            await using var stop = cancellation.Register(() => Terminate(process));
            await process.WaitForExitAsync(CancellationToken.None);
            return process.ExitCode;
        }
    }

    private static void Terminate(Process process)
    {
        try
        {
            if (OperatingSystem.IsWindows())
                process.Kill();
            else
                _ = Native.kill(process.Id, Native.Terminate);
        }
        catch (InvalidOperationException)
        {
            // It has ended by itself.
        }
    }

    private static async Task<bool> AnswersAsync(Uri root)
    {
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync(root.DnsSafeHost, root.Port).WaitAsync(TimeSpan.FromSeconds(2));
            return true;
        }
        catch (Exception e) when (e is SocketException or TimeoutException)
        {
            return false;
        }
    }

    private static class Native
    {
        public const int Terminate = 15; // SIGTERM

        [DllImport("libc")]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        public static extern int kill(int process, int signal);
    }
}
