// spec/connect.md section 5.
using System.CommandLine;
using ConfidentialChat.Cli.Agents;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat disconnect</c>: takes back what <c>connect</c> changed.</summary>
internal static class DisconnectCommand
{
    private static readonly Argument<Agent> Tool = AgentArguments.Agent();

    public static Command Create()
    {
        var command = new Command("disconnect", "Take back what \"connect\" changed in an agent's files. Needs no sidecar; twice is harmless.")
        {
            Tool, AgentArguments.Data,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        var agent = parsed.GetRequiredValue(Tool);
        using var journal = ConnectJournal.Open(parsed.GetRequiredValue(AgentArguments.Data).FullName);
        var connections = journal.Connections.Where(one => one.Agent == agent.Name).ToList();
        if (connections.Count == 0)
            Console.Out.WriteLine($"{agent.FullName} is not connected: there is nothing to take back");
        foreach (var connection in connections)
            Restore(agent, connection, journal);
        return ExitCode.Success;
    }

    private static void Restore(Agent agent, Connection connection, ConnectJournal journal)
    {
        try
        {
            var file = ConfigurationFile.Read(connection.File);
            var restored = Restoration.Of(connection, file, journal);
            if (file.Content is null)
            {
                journal.Forget(connection);
                Console.Out.WriteLine($"{connection.File} is gone: there is nothing to take back");
                return;
            }

            journal.BeginRestoring(connection);
            file.Become(restored.Content, connection.Id);
            journal.Forget(connection);
            Console.Out.WriteLine(
                !restored.IsExact ? $"{connection.File} was changed meanwhile: only what {agent.FullName} was connected by is taken out"
                : restored.Content is null ? $"{connection.File} was made by \"connect\": it is removed"
                : $"{connection.File} is byte for byte what it was");
            if (restored.Left.Count > 0)
                Console.Out.WriteLine($"left as it is by now: {string.Join(", ", restored.Left)}");
        }
        catch (AgentFileException e)
        {
            throw ConnectCommand.Refused(
                connection.File, e,
                connection.Made ? "\"connect\" made it: put it right, or remove it"
                : $"put it right, or take the copy of before: {journal.BeforeFile(connection.Id)}");
        }
    }
}
