using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Gateway;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat nodes</c>: the nodes of a gateway.</summary>
internal static class NodesCommand
{
    private static readonly Argument<long> Number = new("node") { Description = "The node's number, as \"list\" shows it." };

    public static Command Create()
    {
        var command = new Command("nodes", "List a gateway's nodes, let one in, take one out.");
        command.Subcommands.Add(ListCommand());
        command.Subcommands.Add(TokenCommand());
        command.Subcommands.Add(RemoveCommand());
        return command;
    }

    private static Command ListCommand()
    {
        var command = new Command("list", "List the enrolled nodes as they last said that they are.")
        {
            GatewayData.Option, GatewayData.Postgres, GatewayData.Json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var gateway = await GatewayData.OpenAsync(parsed, cancellation);
            var nodes = await gateway.ListNodesAsync(cancellation);
            if (parsed.GetValue(GatewayData.Json))
            {
                Console.Out.WriteLine(JsonSerializer.Serialize(nodes, CliJson.Readable.IReadOnlyListNodeEntry));
            }
            else
            {
                GatewayData.PrintTable(
                    ["NODE", "STATE", "HEARD", "RUNNING", "QUEUED", "UNREPORTED", "KEY UNTIL", "ADDRESS", "MODELS"],
                    [
                        .. nodes.Select(node => (IReadOnlyList<string>)
                        [
                            $"{node.Id}", State(node.State), Ago(DateTimeOffset.UtcNow - node.HeardAt), $"{node.Running}", $"{node.Queued}",
                            $"{node.Unreported}",
                            node.KeyExpiresAt is { } at ? GatewayData.Time(at) : "-", node.Address, string.Join(", ", node.Models),
                        ]),
                    ]);
                foreach (var node in nodes.Where(node => node.LastRefusal is not null))
                    Console.Out.WriteLine($"node {node.Id} was refused {Ago(DateTimeOffset.UtcNow - node.LastRefusal!.At)}: {node.LastRefusal.InWords}");
                if (gateway.LastRefusedStranger() is { } stranger)
                    Console.Out.WriteLine($"one that is not enrolled was refused {Ago(DateTimeOffset.UtcNow - stranger.At)}: {stranger.InWords}");
            }

            return ExitCode.Success;
        });
        return command;
    }

    private static Command TokenCommand()
    {
        var command = new Command("token", "Make a token with which one node enrols, and print it. It is good once, and for an hour.")
        {
            GatewayData.Option, GatewayData.Postgres,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var gateway = await GatewayData.OpenAsync(parsed, cancellation);
            await Console.Out.WriteLineAsync((await gateway.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1), cancellation)).Text);
            return ExitCode.Success;
        });
        return command;
    }

    private static Command RemoveCommand()
    {
        var command = new Command("remove", "Take a node out: no further requests, and it is heard no more until it enrols with a new token. What it serves now ends, and is not charged.")
        {
            Number, GatewayData.Option, GatewayData.Postgres,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var number = parsed.GetRequiredValue(Number);
            if (!await (await GatewayData.OpenAsync(parsed, cancellation)).RemoveNodeAsync(number, cancellation))
                throw new CommandException($"there is no node {number}.", "./cchat nodes list shows them", ExitCode.Usage);
            await Console.Error.WriteLineAsync($"removed node {number}");
            return ExitCode.Success;
        });
        return command;
    }

    private static string State(NodeCondition state) => state switch
    {
        NodeCondition.Ready => "ready",
        NodeCondition.Draining => "draining",
        NodeCondition.Unreachable => "unreachable",
        _ => throw new ArgumentOutOfRangeException(nameof(state)),
    };

    private static string Ago(TimeSpan age) => age switch
    {
        { TotalSeconds: < 120 } => $"{Math.Max(0, (int)age.TotalSeconds)} s ago",
        { TotalMinutes: < 120 } => $"{(int)age.TotalMinutes} min ago",
        { TotalHours: < 48 } => $"{(int)age.TotalHours} h ago",
        _ => $"{(int)age.TotalDays} days ago",
    };
}
