// spec/connect.md sections 1 to 4.
using System.CommandLine;
using ConfidentialChat.Cli.Agents;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat connect</c>: points a coding agent at a sidecar.</summary>
internal static class ConnectCommand
{
    private const int MaxLine = 2000; // UTF-16 units

    private static readonly Argument<Agent> Tool = AgentArguments.Agent();
    private static readonly Option<bool> Yes = new("--yes") { Description = "Change the file without asking." };
    private static readonly Option<bool> Print = new("--print")
    {
        Description = "Show what would be changed and how the agent is started, and change nothing.",
    };
    private static readonly Option<bool> OfProject = new("--project") { Description = "Change the file of the folder that you are in, not that of your user." };

    public static Command Create()
    {
        var command = new Command(
            "connect",
            "Point a coding agent at a sidecar whose verdict is accepted: shows what it changes in the agent's file, asks, and keeps what was there.\n\"disconnect\" takes it back.")
        {
            Tool, Yes, Print, OfProject, AgentArguments.Sidecar, AgentArguments.Model, AgentArguments.ContextTokens, AgentArguments.AnswerTokens,
            AgentArguments.LocalKey, AgentArguments.Data,
        };
        command.SetAction(RunAsync);
        return command;
    }

    /// <summary>A refusal of an agent's file, which is as it was.</summary>
    public static CommandException Refused(string file, AgentFileException fault, string hint) =>
        new($"{file} is left as it is: {fault.Message}.", hint, ExitCode.Usage);

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var (agent, surroundings, onlyPrint) = (parsed.GetRequiredValue(Tool), Surroundings.OfThisProcess(), parsed.GetValue(Print));
        var (found, looked) = agent.Look(surroundings);
        var place = agent.Find(surroundings, parsed.GetValue(OfProject));
        if (found.Count == 0 && !onlyPrint && place is not null)
            throw AgentArguments.NotInstalled(agent, looked);
        var endpoint = await AgentArguments.AskAsync(parsed, cancellation);
        if (found.Count == 0)
            await NoteAsync($"{agent.FullName} is not installed here: looked for {looked}");
        if (found.Count > 1)
            await NoteAsync($"there are {found.Count} of {agent.FullName}, which read the same files: {string.Join(", ", found)}; the first is run");
        if (place is null)
        {
            await PrintVariablesAsync(agent, endpoint);
            return ExitCode.Success;
        }

        using var journal = ConnectJournal.Open(parsed.GetRequiredValue(AgentArguments.Data).FullName);
        ConnectionPlan plan;
        try
        {
            plan = ConnectionPlan.Make(agent, place, endpoint, journal, DateTimeOffset.UtcNow);
        }
        catch (AgentFileException e)
        {
            throw Refused(place.File, e, "put it right, or connect without it: ./cchat run");
        }

        foreach (var note in plan.Notes)
            await NoteAsync(note);
        if (plan.ChangesNothing)
        {
            Console.Out.WriteLine($"{agent.FullName} is connected already: {place.File}");
            PrintStart(agent, endpoint);
            return ExitCode.Success;
        }

        if (plan.File.Target != plan.File.Path)
            await NoteAsync($"{plan.File.Path} is a link: {plan.File.Target} is changed");
        Console.Out.Write(plan.Diff());
        if (onlyPrint)
        {
            PrintStart(agent, endpoint);
            if (agent.CanRun)
                Console.Out.WriteLine($"or once    {LineOf(agent, endpoint)}");
            return ExitCode.Success;
        }

        if (!parsed.GetValue(Yes) && !await AskAsync(place.File, cancellation))
        {
            await Console.Error.WriteLineAsync("nothing was changed");
            return ExitCode.Failure;
        }

        try
        {
            plan.Apply(journal);
        }
        catch (AgentFileException e)
        {
            throw Refused(place.File, e, "what it was is what it is");
        }

        Console.Out.WriteLine($"connected  {place.File}");
        if (plan.Before is not null)
            Console.Out.WriteLine($"kept       {journal.BeforeFile(plan.Connection.Id)}");
        PrintStart(agent, endpoint);
        return ExitCode.Success;
    }

    private static async Task<bool> AskAsync(string file, CancellationToken cancellation)
    {
        if (Console.IsInputRedirected)
            throw new CommandException(
                "nobody can be asked: standard input is no terminal, and nothing was changed.", "--yes changes it without asking, --print only shows it",
                ExitCode.Usage);
        await Console.Error.WriteAsync($"Change {file}? [y/N] ");
        var answer = await Console.In.ReadLineAsync(cancellation);
        return answer?.Trim().ToUpperInvariant() is "Y" or "YES";
    }

    private static void PrintStart(Agent agent, SidecarEndpoint endpoint)
    {
        Console.Out.WriteLine($"verdict    {Verdict(endpoint)}");
        Console.Out.WriteLine($"start it   {agent.StartLine(endpoint)}");
    }

    // To be pasted: what "run" sets, and a key by its variable.
    private static string LineOf(Agent agent, SidecarEndpoint endpoint)
    {
        var variables = agent.Variables(endpoint).Select(variable =>
            $"{variable.Key}={(variable.Value == endpoint.Key ? $"\"${SidecarEndpoint.KeyVariable}\"" : ShellWord.Of(variable.Value))}");
        return string.Join(' ', [.. variables, agent.Programs[0], .. agent.Arguments(endpoint).Select(ShellWord.Of)]);
    }

    private static async Task PrintVariablesAsync(Agent agent, SidecarEndpoint endpoint)
    {
        await NoteAsync($"{agent.FullName} reads variables alone: no file is changed, and this line is to be pasted, or: ./cchat run {agent.Name} -- …");
        Console.Out.WriteLine($"verdict    {Verdict(endpoint)}");
        Console.Out.WriteLine($"start it   {LineOf(agent, endpoint)} …");
    }

    private static string Verdict(SidecarEndpoint endpoint) =>
        $"accepted: {string.Join(", ", endpoint.Nodes.Where(node => node.IsAccepted).Select(node => $"node {node.Node} ({node.Tee}) until {node.Until}"))}";

    private static Task NoteAsync(string note) => Console.Error.WriteLineAsync($"note: {ForeignText.Line(note, MaxLine)}");
}
