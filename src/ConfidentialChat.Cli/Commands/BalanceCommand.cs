// spec/gateway.md section 11.
using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Client;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat balance</c>: what the API key's user has.</summary>
internal static class BalanceCommand
{
    public static Command Create()
    {
        var command = new Command("balance", "Show what the API key's user has to spend, in dollars. A model without a price needs none.")
        {
            Asking.Gateway, Asking.Data, GatewayData.Json, Asking.DangerousPlainHttp,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        using var client = new ConfidentialChatClient(Asking.Options(parsed)); // nothing is sealed
        var balance = await client.Account.GetBalanceAsync(cancellation);
        Console.Out.WriteLine(parsed.GetValue(GatewayData.Json)
            ? JsonSerializer.Serialize(
                new BalanceLine(balance.Balance.Value, balance.Held.Value, balance.Available.Value), CliJson.Readable.BalanceLine)
            : $"{balance.Available.ToDollars()} to spend: a balance of {balance.Balance.ToDollars()}, of which running requests hold {balance.Held.ToDollars()}");
        return ExitCode.Success;
    }
}

/// <summary>The line of <c>cchat balance --json</c>, in micro-dollars.</summary>
internal sealed record BalanceLine(long Balance, long Held, long Available);
