// spec/gateway.md sections 10 and 11.
using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using ConfidentialChat.Gateway;
using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat admin</c>: users, keys, money and prices of a gateway, over its database.</summary>
internal static class AdminCommand
{
    private const int MostListed = 1_000_000;

    private static readonly Argument<string> User = new("user") { Description = "The user's name." };
    private static readonly Argument<string> Amount = new("amount")
    {
        Description = "Dollars, with a point before the fraction, exact to the micro-dollar: 25 or 0.000125.",
    };
    private static readonly Argument<string> SignedAmount = new("amount")
    {
        Description = "Dollars as with \"deposit\"; -0.50 takes away, what is held excepted.",
    };
    private static readonly Option<string?> Reference = new("--reference")
    {
        Description = "The payer's, kept for ever: a second movement of it, for this user, changes nothing.",
        HelpName = "TEXT",
    };
    private static readonly Option<string?> Note = new("--note") { Description = "For the audit log.", HelpName = "TEXT" };
    private static readonly Option<string?> OfUser = new("--user") { Description = "Of this user only.", HelpName = "NAME" };
    private static readonly Option<string?> OfModel = new("--model") { Description = "Of this model only.", HelpName = "NAME" };
    private static readonly Option<string[]> Scopes = new("--scope")
    {
        Description = "What the key opens: inference, admin, or both where given twice.",
        HelpName = "inference|admin",
        DefaultValueFactory = _ => ["inference"],
    };
    private static readonly Option<string?> Expires = new("--expires")
    {
        Description = "When it ends, 2027-07-04 or 2027-07-04T10:16:31Z for example. Default: when it is revoked.",
        HelpName = "TIME",
    };
    private static readonly Argument<string> Prefix = new("key") { Description = "The eight characters after cc_, as \"list\" shows them." };
    private static readonly Argument<long> Node = new("node") { Description = "The node's number, as \"cchat nodes list\" shows it." };
    private static readonly Argument<string> Model = new("model") { Description = "The model's name." };
    private static readonly Option<string> PromptPrice = Price("--prompt", "prompt tokens");
    private static readonly Option<string> CompletionPrice = Price("--completion", "completion tokens");
    private static readonly Option<string> ImagePrice = Price("--image", "pixels");
    private static readonly Option<string> By = new("--by")
    {
        Description = "What is summed apart: day, model, user, with a comma between.",
        HelpName = "LIST",
        DefaultValueFactory = _ => "day,model,user",
    };
    private static readonly Option<int> Limit = CommonOptions.Between("--limit", 1, MostListed, Page.UsualLimit, "So many, the newest first.");

    public static Command Create() => new("admin", "Users, API keys, money and prices of a gateway. Every act is in its audit log.")
    {
        Users(), Keys(), Deposit(), Correct(), Prices(), Usage(), Ledger(), Audit(),
    };

    private static Command Users()
    {
        var list = Made("list", "List all users with what they have.", GatewayData.Json, Listing.Csv);
        list.SetAction(async (parsed, cancellation) =>
        {
            var admin = await OpenAsync(parsed, cancellation);
            WriteUsers(parsed, await AllAsync(page => admin.ListUsersAsync(null, page, cancellation)));
            return ExitCode.Success;
        });
        var create = Made("create", "Make a user, without a key.", User);
        create.SetAction(async (parsed, cancellation) =>
        {
            var name = parsed.GetRequiredValue(User);
            if (!Administration.IsName(name))
                throw new CommandException(
                    "that is no name for a user.", $"a name has 1 to {Administration.MaxTextLength} characters, all of which are seen", ExitCode.Usage);
            var user = await (await OpenAsync(parsed, cancellation)).CreateUserAsync(name, Administration.Operator, cancellation)
                ?? throw new CommandException(
                    $"there is a user {ForeignText.Line(name)} already.", "./cchat admin users list shows them; ./cchat admin keys create makes a key",
                    ExitCode.Usage);
            await Console.Error.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"made user {user.Id}"));
            return ExitCode.Success;
        });
        var show = Made("show", "Show one user.", User, GatewayData.Json, Listing.Csv);
        show.SetAction(async (parsed, cancellation) =>
        {
            WriteUsers(parsed, [await FindAsync(await OpenAsync(parsed, cancellation), parsed.GetRequiredValue(User), cancellation)]);
            return ExitCode.Success;
        });
        return new Command("users", "List, make and show users.") { list, create, show };
    }

    private static Command Keys()
    {
        var list = Made("list", "List API keys by their public part, with what they open; revoked ones too.", OfUser, GatewayData.Json, Listing.Csv);
        list.SetAction(async (parsed, cancellation) =>
        {
            var admin = await OpenAsync(parsed, cancellation);
            var user = await FindIdAsync(admin, parsed.GetValue(OfUser), cancellation);
            var keys = await AllAsync(page => admin.ListKeysAsync(user, page, cancellation));
            Listing.Write(
                parsed, keys, CliJson.Readable.IReadOnlyListApiKeyEntry,
                new("KEY", "prefix", key => key.Prefix, key => $"cc_{key.Prefix}_…"),
                new("USER", "user", key => key.User),
                new("SCOPES", "scopes", key => WordsOf(key.Scopes)),
                new("CREATED", "created_at", key => key.CreatedAt),
                new("EXPIRES", "expires_at", key => key.ExpiresAt),
                new("LAST USED", "last_used_at", key => key.LastUsedAt),
                new("REVOKED", "revoked_at", key => key.RevokedAt));
            return ExitCode.Success;
        });
        var create = Made(
            "create", "Make an API key for a user who is there, and print it. It is shown this once; the gateway keeps a hash.", User, Scopes, Expires,
            GatewayData.Json);
        create.SetAction(async (parsed, cancellation) =>
        {
            var (scopes, expires) = (ScopesOf(parsed.GetRequiredValue(Scopes)), ExpiryOf(parsed.GetValue(Expires)));
            var admin = await OpenAsync(parsed, cancellation);
            var user = await FindAsync(admin, parsed.GetRequiredValue(User), cancellation);
            var key = (await admin.CreateKeyAsync(user.Id, scopes, expires, Administration.Operator, cancellation))!;
            Console.Out.WriteLine(parsed.GetValue(GatewayData.Json)
                ? JsonSerializer.Serialize(new CreatedKey(key.Text, key.Prefix, user.Name), CliJson.Readable.CreatedKey)
                : key.Text);
            return ExitCode.Success;
        });
        var revoke = Made("revoke", "Revoke an API key: within a second it opens nothing. Requests in flight end as they would.", Prefix);
        revoke.SetAction(async (parsed, cancellation) =>
        {
            var prefix = KeysCommand.Public(parsed.GetRequiredValue(Prefix), "./cchat admin keys list");
            if (!await (await OpenAsync(parsed, cancellation)).RevokeKeyAsync(prefix, Administration.Operator, cancellation))
                throw new CommandException($"there is no key cc_{prefix}_… that could be revoked.", "./cchat admin keys list shows them", ExitCode.Usage);
            await Console.Error.WriteLineAsync($"revoked cc_{prefix}_…");
            return ExitCode.Success;
        });
        return new Command("keys", "List, make and revoke API keys, with what they open and until when.") { list, create, revoke };
    }

    private static Command Deposit()
    {
        var command = Made(
            "deposit", "Add what a user has paid. With --reference a repeated command adds it once.", User, Amount, Reference, Note, GatewayData.Json);
        command.SetAction(async (parsed, cancellation) =>
        {
            var text = parsed.GetRequiredValue(Amount);
            if (!MicroDollars.TryParseDollars(text, out var amount) || amount == MicroDollars.Zero)
                throw NoAmount(text, "above nothing");
            return await MoveAsync(parsed, amount, (admin, user, reference, note) =>
                admin.DepositAsync(user, amount, Administration.Operator, reference, note), cancellation);
        });
        return command;
    }

    private static Command Correct()
    {
        var command = Made(
            "correct", "Move a balance by hand, up or down; a mistake is corrected so, because no row of the ledger is changed.", User, SignedAmount, Reference,
            Note, GatewayData.Json);
        command.SetAction(async (parsed, cancellation) =>
        {
            var text = parsed.GetRequiredValue(SignedAmount);
            var isAdded = !text.StartsWith('-');
            if (!MicroDollars.TryParseDollars(isAdded ? text : text[1..], out var amount) || amount == MicroDollars.Zero)
                throw NoAmount(text, "with or without a minus, and not nothing");
            return await MoveAsync(parsed, amount, (admin, user, reference, note) =>
                admin.CorrectAsync(user, amount, isAdded, Administration.Operator, reference, note), cancellation);
        });
        return command;
    }

    private static Command Prices()
    {
        var list = Made("list", "List the current prices, in dollars for a million units; models without one are free.", GatewayData.Json, Listing.Csv);
        list.SetAction(async (parsed, cancellation) =>
        {
            var admin = await OpenAsync(parsed, cancellation);
            Listing.Write(
                parsed, await AllAsync(page => admin.ListPricesAsync(null, null, page, cancellation)), CliJson.Readable.IReadOnlyListPriceEntry,
                new("NODE", "node", price => price.Node),
                new("MODEL", "model", price => price.Model),
                new("PROMPT", "prompt_microdollars", price => price.Prompt, price => Listing.Dollars(price.Prompt)),
                new("COMPLETION", "completion_microdollars", price => price.Completion, price => Listing.Dollars(price.Completion)),
                new("IMAGE", "image_microdollars", price => price.Image, price => Listing.Dollars(price.Image)),
                new("SINCE", "valid_from", price => price.ValidFrom),
                new("SET BY", "set_by", price => price.SetBy));
            return ExitCode.Success;
        });
        var set = Made(
            "set", "Set what a model costs on a node, within a second and for what is reserved from then on.", Node, Model, PromptPrice, CompletionPrice,
            ImagePrice);
        set.SetAction(async (parsed, cancellation) =>
        {
            var parts = (PriceOf(parsed, PromptPrice), PriceOf(parsed, CompletionPrice), PriceOf(parsed, ImagePrice));
            await SetPriceAsync(parsed, new UnitPrices(parts.Item1, parts.Item2, parts.Item3), cancellation);
            return ExitCode.Success;
        });
        var remove = Made("remove", "Take a price away: the model is free on the node from now on.", Node, Model);
        remove.SetAction(async (parsed, cancellation) =>
        {
            await SetPriceAsync(parsed, null, cancellation);
            return ExitCode.Success;
        });
        return new Command("prices", "List, set and remove what models cost on nodes.") { list, set, remove };
    }

    private static Command Usage()
    {
        var command = Made(
            "usage", "What was charged, summed by day, model and user. Days are UTC's; without any the last 30.", UsageOptions.From, UsageOptions.To, By,
            OfUser, OfModel, GatewayData.Json, Listing.Csv);
        command.SetAction(async (parsed, cancellation) =>
        {
            var query = UsageOptions.QueryOf(parsed) with { By = ByOf(parsed.GetRequiredValue(By)), Model = parsed.GetValue(OfModel) };
            var admin = await OpenAsync(parsed, cancellation);
            var usage = await admin.SumUsageAsync(query with { User = await FindIdAsync(admin, parsed.GetValue(OfUser), cancellation) }, cancellation);
            UsageOptions.Write(parsed, usage, query.By);
            return ExitCode.Success;
        });
        return command;
    }

    private static Command Ledger()
    {
        var command = Made("ledger", "List the movements of a user's money, the newest first.", User, Limit, GatewayData.Json, Listing.Csv);
        command.SetAction(async (parsed, cancellation) =>
        {
            var admin = await OpenAsync(parsed, cancellation);
            var user = await FindAsync(admin, parsed.GetRequiredValue(User), cancellation);
            var entries = await SomeAsync(page => admin.ListLedgerAsync(user.Id, page, cancellation), parsed.GetValue(Limit));
            Listing.Write(
                parsed, entries, CliJson.Readable.IReadOnlyListMoneyEntry,
                new("ENTRY", "id", entry => entry.Id),
                new("TIME", "created_at", entry => entry.CreatedAt),
                new("KIND", "kind", entry => entry.Kind),
                new("AMOUNT", "amount_microdollars", entry => entry.Amount, entry => Listing.Dollars(entry.Amount)),
                new("REQUEST", "request", entry => entry.Request),
                new("STACK", "stack", entry => entry.Stack),
                new("UNITS", "units", entry => entry.Units),
                new("BY", "made_by", entry => entry.MadeBy),
                new("REFERENCE", "reference", entry => entry.Reference));
            return ExitCode.Success;
        });
        return command;
    }

    private static Command Audit()
    {
        var command = Made("audit", "List what was done by whoever may, the newest first.", Limit, GatewayData.Json, Listing.Csv);
        command.SetAction(async (parsed, cancellation) =>
        {
            var admin = await OpenAsync(parsed, cancellation);
            var lines = await SomeAsync(page => admin.ListAuditAsync(page, cancellation), parsed.GetValue(Limit));
            Listing.Write(
                parsed, lines, CliJson.Readable.IReadOnlyListAuditLine,
                new("ACT", "id", line => line.Id),
                new("TIME", "created_at", line => line.CreatedAt),
                new("WHO", "actor", line => line.Actor),
                new("WHAT", "act", line => line.Act),
                new("OF", "subject", line => line.Subject),
                new("DETAIL", "detail", line => line.Detail));
            return ExitCode.Success;
        });
        return command;
    }

    // What every one of them takes stands behind its own.
    private static Command Made(string name, string description, params IReadOnlyList<Symbol> symbols)
    {
        var command = new Command(name, description);
        foreach (var symbol in symbols)
        {
            if (symbol is Argument argument)
                command.Arguments.Add(argument);
            else
                command.Options.Add((Option)symbol);
        }

        command.Options.Add(GatewayData.Option);
        command.Options.Add(GatewayData.Postgres);
        return command;
    }

    private static Option<string> Price(string name, string units) => new(name)
    {
        Description = $"Dollars for a million {units}, exact to the micro-dollar.",
        HelpName = "DOLLARS",
        DefaultValueFactory = _ => "0",
    };

    private static async Task<Administration> OpenAsync(ParseResult parsed, CancellationToken cancellation) =>
        (await GatewayData.OpenAsync(parsed, cancellation)).Administration;

    private static async Task<UserEntry> FindAsync(Administration admin, string name, CancellationToken cancellation) =>
        await admin.FindUserAsync(name, cancellation)
        ?? throw new CommandException($"there is no user {ForeignText.Line(name)}.", "./cchat admin users list shows them", ExitCode.Usage);

    private static async Task<long?> FindIdAsync(Administration admin, string? name, CancellationToken cancellation) =>
        name is null ? null : (await FindAsync(admin, name, cancellation)).Id;

    private static async Task<IReadOnlyList<T>> AllAsync<T>(Func<Page, Task<Listed<T>>> list)
    {
        var all = new List<T>();
        long? next = null;
        do
        {
            var page = await list(new Page(next, Page.MaxLimit));
            all.AddRange(page.Data);
            next = page.Next;
        }
        while (next is not null);
        return all;
    }

    private static async Task<IReadOnlyList<T>> SomeAsync<T>(Func<Page, Task<Listed<T>>> list, int most)
    {
        var some = new List<T>();
        for (long? next = null; some.Count < most;)
        {
            var page = await list(new Page(next, Math.Min(Page.MaxLimit, most - some.Count)));
            some.AddRange(page.Data);
            next = page.Next;
            if (next is null)
                return some;
        }

        await Console.Error.WriteLineAsync("there are more: --limit says how many are listed");
        return some;
    }

    private static void WriteUsers(ParseResult parsed, IReadOnlyList<UserEntry> users) => Listing.Write(
        parsed, users, CliJson.Readable.IReadOnlyListUserEntry,
        new("ID", "id", user => user.Id),
        new("USER", "name", user => user.Name),
        new("BALANCE", "balance_microdollars", user => user.Balance, user => Listing.Dollars(user.Balance)),
        new("HELD", "held_microdollars", user => user.Held, user => Listing.Dollars(user.Held)),
        new("CREATED", "created_at", user => user.CreatedAt));

    private static async Task<int> MoveAsync(
        ParseResult parsed, MicroDollars amount, Func<Administration, long, string?, string?, Task<MovementResult>> move, CancellationToken cancellation)
    {
        var (reference, note) = (Text(parsed, Reference), Text(parsed, Note));
        var admin = await OpenAsync(parsed, cancellation);
        var user = await FindAsync(admin, parsed.GetRequiredValue(User), cancellation);
        var (outcome, funds) = await move(admin, user.Id, reference, note);
        switch (outcome)
        {
            case ActOutcome.TooMuch:
                throw new CommandException(
                    $"with {amount.ToDollars()} dollars more the balance of {Listing.Dollars(funds!.Balance)} would be no amount.",
                    $"a balance is at most {new MicroDollars(MicroDollars.MaxValue).ToDollars()} dollars", ExitCode.Usage);
            case ActOutcome.TooLittle:
                throw new CommandException(
                    $"{amount.ToDollars()} dollars are more than what is not held of the balance: {Listing.Dollars(funds!.Available)}.",
                    "running requests hold the rest; ./cchat admin users show says how much", ExitCode.Usage);
            case ActOutcome.ReferenceTaken:
                throw new CommandException(
                    "--reference: there is a movement of it with another amount or of another kind.", "./cchat admin ledger shows it; nothing was changed",
                    ExitCode.Usage);
            case ActOutcome.NotFound:
                throw new CommandException("the user is not there any more.", "./cchat admin users list shows them", ExitCode.Usage);
        }

        var isRepeated = outcome is ActOutcome.Repeated;
        if (parsed.GetValue(GatewayData.Json))
        {
            var moved = new MovementEntry(funds!.Balance, funds.Held, funds.Available, isRepeated);
            Console.Out.WriteLine(JsonSerializer.Serialize(moved, CliJson.Readable.MovementEntry));
        }
        else
        {
            Console.Out.WriteLine($"balance {Listing.Dollars(funds!.Balance)}, of which {Listing.Dollars(funds.Held)} are held");
        }

        if (isRepeated)
            await Console.Error.WriteLineAsync("this was done before, by its reference: nothing was changed");
        return ExitCode.Success;
    }

    private static async Task SetPriceAsync(ParseResult parsed, UnitPrices? prices, CancellationToken cancellation)
    {
        var (node, model) = (parsed.GetRequiredValue(Node), parsed.GetRequiredValue(Model));
        if (!ModelNames.CanBeServed(model))
            throw new CommandException(
                "that is no model's name.", $"a name has 1 to {ModelNames.MaxLength} characters, all of which are seen", ExitCode.Usage);
        if (await (await OpenAsync(parsed, cancellation)).SetPriceAsync(node, model, prices, Administration.Operator, cancellation))
            return;
        throw prices is null
            ? new CommandException(
                $"node {node} has no price for {ForeignText.Line(model)}.", "./cchat admin prices list shows those that there are", ExitCode.Usage)
            : new CommandException($"there is no node {node}.", "./cchat nodes list shows them", ExitCode.Usage);
    }

    private static MicroDollars PriceOf(ParseResult parsed, Option<string> option)
    {
        var text = parsed.GetRequiredValue(option);
        return MicroDollars.TryParseDollars(text, out var price) && price.Value <= UnitPrices.MaxValue ? price
            : throw new CommandException(
                $"{option.Name}: '{ForeignText.Line(text)}' is no price.",
                $"dollars for a million units, from 0 to {Listing.Dollars(UnitPrices.MaxValue)}, with a point and at most six places", ExitCode.Usage);
    }

    private static CommandException NoAmount(string text, string what) => new(
        $"'{ForeignText.Line(text)}' is no amount.",
        $"dollars {what}, at most {new MicroDollars(MicroDollars.MaxValue).ToDollars()}, with a point and at most six places: 25 or 0.000125", ExitCode.Usage);

    private static string? Text(ParseResult parsed, Option<string?> option) => parsed.GetValue(option) switch
    {
        null => null,
        var text when Administration.IsText(text) => text,
        _ => throw new CommandException(
            $"{option.Name}: that is no text that is kept.", $"1 to {Administration.MaxTextLength} characters, all of which are seen", ExitCode.Usage),
    };

    private static string WordsOf(ApiKeyScopes scopes) => scopes switch
    {
        ApiKeyScopes.Inference => "inference",
        ApiKeyScopes.Admin => "admin",
        ApiKeyScopes.Inference | ApiKeyScopes.Admin => "inference admin",
        _ => "",
    };

    private static ApiKeyScopes ScopesOf(IEnumerable<string> words) => words.Aggregate(ApiKeyScopes.None, (all, word) => all | word switch
    {
        "inference" => ApiKeyScopes.Inference,
        "admin" => ApiKeyScopes.Admin,
        _ => throw new CommandException($"--scope: there is no scope {ForeignText.Line(word)}.", "there are inference and admin", ExitCode.Usage),
    });

    private static DateTimeOffset? ExpiryOf(string? text)
    {
        if (text is null)
            return null;
        if (!VerifyOptions.TryReadTime(text, out var time))
            throw new CommandException($"--expires is no time: {ForeignText.Line(text)}", "write it like 2027-07-04T10:16:31Z", ExitCode.Usage);
        return time > TimeProvider.System.GetUtcNow() ? time
            : throw new CommandException("--expires: that time is past.", "a key ends after now", ExitCode.Usage);
    }

    private static UsageBy ByOf(string text) => text.Split(',').Aggregate(UsageBy.None, (all, word) => all | word switch
    {
        "day" => UsageBy.Day,
        "model" => UsageBy.Model,
        "user" => UsageBy.User,
        _ => throw new CommandException(
            $"--by: '{ForeignText.Line(word)}' is nothing that usage is summed by.", "there are day, model and user", ExitCode.Usage),
    });
}
