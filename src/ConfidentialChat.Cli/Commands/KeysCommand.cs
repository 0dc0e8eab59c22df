using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Gateway;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat keys</c>: the API keys of a gateway.</summary>
internal static class KeysCommand
{
    private const string KeyHead = "cc_";

    private static readonly Option<string> User = new("--user")
    {
        Description = "Whose key it is; made where missing.",
        DefaultValueFactory = _ => "default",
        HelpName = "NAME",
    };
    private static readonly Argument<string> Prefix = new("key") { Description = "The eight characters after cc_, as \"list\" shows them." };

    public static Command Create()
    {
        var command = new Command("keys", "Make, list and revoke a gateway's API keys.");
        command.Subcommands.Add(CreateCommand());
        command.Subcommands.Add(ListCommand());
        command.Subcommands.Add(RevokeCommand());
        return command;
    }

    private static Command CreateCommand()
    {
        var command = new Command(
            "create", "Make an API key and print it. It is shown this once; the gateway keeps a hash.")
        {
            User, GatewayData.Option, GatewayData.Postgres, GatewayData.Json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var gateway = await GatewayData.OpenAsync(parsed, cancellation);
            var user = parsed.GetRequiredValue(User);
            try
            {
                var key = await gateway.CreateApiKeyAsync(user, cancellation);
                Console.Out.WriteLine(parsed.GetValue(GatewayData.Json)
                    ? JsonSerializer.Serialize(new CreatedKey(key.Text, key.Prefix, user), CliJson.Readable.CreatedKey)
                    : key.Text);
            }
            catch (ArgumentException)
            {
                throw new CommandException(
                    "--user: that is no name for a user.", $"a name has 1 to {GatewayOperator.MaxNameLength} characters, all of which are seen",
                    ExitCode.Usage);
            }

            return ExitCode.Success;
        });
        return command;
    }

    private static Command ListCommand()
    {
        var command = new Command("list", "List all API keys by their public part; revoked ones too.")
        {
            GatewayData.Option, GatewayData.Postgres, GatewayData.Json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var keys = await (await GatewayData.OpenAsync(parsed, cancellation)).ListApiKeysAsync(cancellation);
            if (parsed.GetValue(GatewayData.Json))
                Console.Out.WriteLine(JsonSerializer.Serialize(keys, CliJson.Readable.IReadOnlyListApiKeyEntry));
            else
                GatewayData.PrintTable(["KEY", "USER", "CREATED", "REVOKED"], [.. keys.Select(Row)]);
            return ExitCode.Success;
        });
        return command;
    }

    private static Command RevokeCommand()
    {
        var command = new Command("revoke", "Revoke an API key: from the gateway's next request on it opens nothing. Requests in flight end as they would.")
        {
            Prefix, GatewayData.Option, GatewayData.Postgres,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var prefix = Public(parsed.GetRequiredValue(Prefix));
            if (!await (await GatewayData.OpenAsync(parsed, cancellation)).RevokeApiKeyAsync(prefix, cancellation))
                throw new CommandException($"there is no key {KeyHead}{prefix}_… that could be revoked.", "./cchat keys list shows them", ExitCode.Usage);
            await Console.Error.WriteLineAsync($"revoked {KeyHead}{prefix}_…");
            return ExitCode.Success;
        });
        return command;
    }

    private static IReadOnlyList<string> Row(ApiKeyEntry key) =>
        [$"{KeyHead}{key.Prefix}_…", key.User, GatewayData.Time(key.CreatedAt), key.RevokedAt is { } at ? GatewayData.Time(at) : "-"];

    // As listed, or the whole key pasted: of that only the public part is used, or shown again.
    public static string Public(string text, string list = "./cchat keys list")
    {
        var bare = text.StartsWith(KeyHead, StringComparison.Ordinal) ? text[KeyHead.Length..] : text;
        var end = bare.IndexOf('_', StringComparison.Ordinal);
        var prefix = end < 0 ? bare : bare[..end];
        return prefix.Length == 8 && prefix.All(char.IsAsciiLetterOrDigit)
            ? prefix
            : throw new CommandException(
                "that is no key's public part.", $"it is the eight characters after cc_, as {list} shows them", ExitCode.Usage);
    }
}

/// <summary>The line of <c>cchat keys create --json</c>.</summary>
internal sealed record CreatedKey(string ApiKey, string Prefix, string User);
