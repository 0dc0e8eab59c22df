// spec/connect.md section 7.
using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Cli.Agents;

namespace ConfidentialChat.Cli.Commands;

/// <summary>How a connection stands to its file and to the sidecar.</summary>
internal enum ConnectionCondition
{
    Connected,

    /// <summary>Some of what was set is another by now, or the file is broken.</summary>
    Changed,

    /// <summary>The file, or all that was set in it.</summary>
    Gone,

    /// <summary>At another sidecar than the one that is asked.</summary>
    Elsewhere,
}

/// <summary><c>cchat status</c>: the sidecar, its verdict, and who is connected.</summary>
internal static class StatusCommand
{
    private static readonly Option<bool> Json = new("--json") { Description = "Print JSON." };

    public static Command Create()
    {
        var command = new Command("status", "Show the sidecar, its gateway, node and verdict, and which agents are connected. Exit code 0 where a verdict is accepted.")
        {
            Json, AgentArguments.Sidecar, AgentArguments.Model, AgentArguments.LocalKey, AgentArguments.Data,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var root = AgentArguments.Root(parsed);
        SidecarEndpoint? endpoint = null;
        CommandException? refusal = null;
        try
        {
            endpoint = await SidecarEndpoint.AskAsync(root, parsed.GetValue(AgentArguments.Model), AgentArguments.Key(parsed), cancellation);
        }
        catch (CommandException e)
        {
            refusal = e;
        }

        var sidecar = root.GetLeftPart(UriPartial.Authority);
        var status = new SidecarStatus(
            $"{sidecar}/v1", endpoint?.Gateway, endpoint?.Model,
            endpoint?.Nodes ?? [],
            refusal?.Message,
            [.. ConnectJournal.Read(parsed.GetRequiredValue(AgentArguments.Data).FullName)
                .Select(one => new ConnectionStatus(one.Agent, one.File, $"{one.Sidecar}/v1", one.Model, ConditionOf(one, sidecar)))]);
        if (parsed.GetValue(Json))
            Console.Out.WriteLine(JsonSerializer.Serialize(status, CliJson.Readable.SidecarStatus));
        else
            await PrintAsync(status, refusal);
        return refusal?.ExitCode ?? ExitCode.Success;
    }

    private static async Task PrintAsync(SidecarStatus status, CommandException? refusal)
    {
        Console.Out.WriteLine($"sidecar  {status.Sidecar}");
        if (refusal is null)
        {
            Console.Out.WriteLine($"gateway  {status.Gateway ?? "unknown"}");
            Console.Out.WriteLine($"model    {status.Model}");
            foreach (var node in status.Nodes)
                Console.Out.WriteLine($"node     {node.Node} ({node.Tee}): {(node.IsAccepted ? $"accepted until {node.Until}" : "refused")}");
        }
        else
        {
            await Console.Error.WriteLineAsync($"error: {refusal.Message}");
            await Console.Error.WriteLineAsync($"hint: {refusal.Hint}");
        }

        foreach (var agent in Agent.All)
        {
            var connections = status.Connections.Where(one => one.Agent == agent.Name).ToList();
            if (connections.Count == 0)
                Console.Out.WriteLine($"{agent.Name}  not connected");
            foreach (var one in connections)
            {
                var state = one.State switch
                {
                    ConnectionCondition.Connected => $"connected, model {one.Model}",
                    ConnectionCondition.Changed => "connected, and changed since: connect it again, or disconnect it",
                    ConnectionCondition.Gone => "no more connected: what was set is gone from its file",
                    _ => $"connected to another sidecar: {one.Sidecar}",
                };
                Console.Out.WriteLine($"{agent.Name}  {state}: {one.File}");
            }
        }
    }

    private static ConnectionCondition ConditionOf(Connection connection, string sidecar)
    {
        try
        {
            var file = ConfigurationFile.Read(connection.File);
            if (file.Content is null)
                return ConnectionCondition.Gone;
            var text = ConfigurationText.Parse(connection.Format, file.Text!);
            var standing = connection.Edits.Count(edit => text.Find(edit.Path) == edit.After);
            return standing == 0 ? ConnectionCondition.Gone
                : standing < connection.Edits.Count ? ConnectionCondition.Changed
                : connection.Sidecar != sidecar ? ConnectionCondition.Elsewhere
                : ConnectionCondition.Connected;
        }
        catch (Exception e) when (e is AgentFileException or IOException or UnauthorizedAccessException)
        {
            return ConnectionCondition.Changed;
        }
    }
}

/// <summary>The line of <c>cchat status --json</c>.</summary>
internal sealed record SidecarStatus(
    string Sidecar,
    string? Gateway,
    string? Model,
    IReadOnlyList<SidecarNode> Nodes,
    string? Error,
    IReadOnlyList<ConnectionStatus> Connections);

internal sealed record ConnectionStatus(string Agent, string File, string Sidecar, string Model, ConnectionCondition State);
