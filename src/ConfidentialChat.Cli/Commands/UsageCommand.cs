// spec/gateway.md section 11.
using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Money;
using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat usage</c>: what the API key's user has used, and whether the gateway charges what the node signed.</summary>
internal static class UsageCommand
{
    private static readonly Argument<string?> Request = new("id")
    {
        Description = "Show this request alone, by its id.",
        Arity = ArgumentArity.ZeroOrOne,
    };
    private static readonly Option<FileInfo?> Receipt = new("--receipt")
    {
        Description = "Verify what \"cchat ask --receipt\" kept, and hold what the gateway charges for its request against it. Exit code 6 where they differ.",
        HelpName = "FILE",
    };

    public static Command Create()
    {
        var command = new Command(
            "usage", "Show what the API key's user has used and what it cost, by day and model, or of one request. Without days the last 30.")
        {
            Request, UsageOptions.From, UsageOptions.To, Receipt, Asking.Policy, Asking.Gateway, Asking.Data, GatewayData.Json, Listing.Csv,
            Asking.DangerousPlainHttp,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var (text, file) = (parsed.GetValue(Request), parsed.GetValue(Receipt));
        var query = UsageOptions.QueryOf(parsed);
        if (text is not null && file is not null)
            throw new CommandException("the receipt names its request.", "give a request's id or --receipt", ExitCode.Usage);
        if ((text ?? file?.FullName) is not null && parsed.GetValue(Listing.Csv))
            throw new CommandException("one request is no list.", "leave out --csv; --json prints it for programs", ExitCode.Usage);
        RequestId request = default;
        if (text is not null && !RequestId.TryParse(text, out request))
            throw new CommandException(
                $"'{ForeignText.Line(text)}' is no request's id.", "it is a UUID, as ask --receipt keeps it and a gateway's log shows it", ExitCode.Usage);
        var receipt = file is null ? null : Verified(file, parsed);
        using var client = new ConfidentialChatClient(Asking.Options(parsed)); // nothing is sealed
        if (receipt is not null)
            return await CompareAsync(parsed, client, receipt, cancellation);
        if (text is not null)
        {
            await ShowAsync(parsed, await FindAsync(() => client.Account.GetUsageAsync(request, cancellation), request), comparison: null);
            return ExitCode.Success;
        }

        var usage = await client.Account.SumUsageAsync(query.From, query.To, cancellation);
        var lines = usage.Days.Select(day => new UsageEntry(
            day.Day, day.Model, null, null, day.Requests, day.Units.PromptTokens, day.Units.CompletionTokens, day.Units.Pixels, day.Charge.Whole.Value,
            day.Charge.Part));
        UsageOptions.Write(parsed, new UsageList([.. lines], usage.From, usage.To, usage.IsTruncated), UsageBy.Day | UsageBy.Model);
        return ExitCode.Success;
    }

    private static VerifiedReceipt Verified(FileInfo file, ParseResult parsed)
    {
        var bytes = VerifyOptions.ReadFile(file, ReceiptFile.MaxSize);
        var verification = ReceiptFile.Verify(bytes, VerifyOptions.ReadPolicy(Asking.PolicyFile(parsed, parsed.GetValue(Asking.Policy))));
        var faults = verification.Verdict.Failures.Take(4).Select(factor => $"{factor.Name} ({factor.Code?.Spell()})");
        return verification.Receipt
            ?? throw new CommandException(
                $"the receipt is refused: {string.Join(", ", faults)}.", "./cchat receipt verify shows every check; --policy names whom you accept",
                ExitCode.EvidenceRefused);
    }

    private static async Task<int> CompareAsync(ParseResult parsed, ConfidentialChatClient client, VerifiedReceipt receipt, CancellationToken cancellation)
    {
        var comparison = await FindAsync(() => client.Account.CompareAsync(receipt, cancellation), receipt.Request);
        await ShowAsync(parsed, comparison.Usage, comparison);
        return comparison.Agrees ? ExitCode.Success : ExitCode.Untrustworthy;
    }

    private static async Task<T> FindAsync<T>(Func<Task<T>> ask, RequestId request)
    {
        try
        {
            return await ask();
        }
        catch (ApiException e) when (e.Status == 404)
        {
            throw new CommandException(
                $"this user has no request {request} at this gateway.", "an API key shows its own user's requests; --gateway names another gateway",
                ExitCode.Refused);
        }
    }

    private static async Task ShowAsync(ParseResult parsed, RequestUsage usage, UsageComparison? comparison)
    {
        if (parsed.GetValue(GatewayData.Json))
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(Line(usage, comparison), CliJson.Readable.RequestLine));
            return;
        }

        var (price, charged) = (PriceOf(usage.Price), UnitsOf(usage.Charged));
        Console.Out.WriteLine(
            $"""
            request     {usage.Request}
            model       {ForeignText.Line(usage.Model, ModelNames.MaxLength)}
            node        {usage.Node}
            state       {Word(usage.State)}{(usage.State is SettlementState.Held ? ": the node has not reported yet" : "")}
            reserved    {usage.Reserved} units
            price       {price}
            charged     {charged}
            charge      {(usage.Charge is { } cost ? string.Create(CultureInfo.InvariantCulture, $"{cost.Whole.ToDollars()}{cost.Part:D6}") : "-")}
            voucher     {(usage.Voucher is { } voucher ? $"{voucher.Length} bytes" : "-")}
            """);
        if (comparison is null)
            return;
        foreach (var difference in comparison.Differences)
            Console.Out.WriteLine($"DIFFERS     {Word(difference.Fact)}: {difference.Expected} was expected, and it is {difference.Found}");
        if (comparison.NotCompared.Count > 0)
            await Console.Error.WriteLineAsync($"not compared: {string.Join(", ", comparison.NotCompared.Select(fact => Word(fact)))}");
        if (comparison.Agrees)
            Console.Out.WriteLine("agrees      with the receipt, in all that was compared");
    }

    private static string PriceOf(UnitPrices? price) => price is { } fixedAt
        ? $"{fixedAt.Prompt.ToDollars()} prompt, {fixedAt.Completion.ToDollars()} completion, {fixedAt.Image.ToDollars()} image; dollars for a million"
        : "free";

    private static string UnitsOf(Usage? usage) =>
        usage is { } used ? $"{used.PromptTokens} prompt, {used.CompletionTokens} completion, {used.Pixels} pixels" : "-";

    private static RequestLine Line(RequestUsage usage, UsageComparison? comparison) => new(
        $"{usage.Request}",
        usage.Model,
        usage.Node.Value,
        Word(usage.State),
        usage.Reserved.Value,
        usage.Price is { } price ? new PriceLine(price.Prompt.Value, price.Completion.Value, price.Image.Value) : null,
        Units(usage.Reported),
        Units(usage.Charged),
        usage.Charge?.Whole.Value,
        usage.Charge?.Part,
        usage.SettledAt,
        usage.Voucher is { } voucher ? Convert.ToBase64String(voucher.Span) : null,
        comparison?.Differences.Select(difference => new DifferenceLine(Word(difference.Fact), difference.Expected, difference.Found)).ToList(),
        comparison?.NotCompared.Select(fact => Word(fact)).ToList());

    private static UnitsEntry? Units(Usage? usage) => usage is { } used ? new UnitsEntry(used.PromptTokens, used.CompletionTokens, used.Pixels) : null;

    private static string Word<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName($"{value}");
}

/// <summary>The line of <c>cchat usage REQUEST --json</c>: as the gateway has it; with a receipt, what differs from it.</summary>
internal sealed record RequestLine(
    string Request,
    string Model,
    long Node,
    string State,
    long Reserved,
    PriceLine? Price,
    UnitsEntry? Reported,
    UnitsEntry? Charged,
    long? Charge,
    int? Millionths,
    DateTimeOffset? SettledAt,
    string? Voucher,
    IReadOnlyList<DifferenceLine>? Differences,
    IReadOnlyList<string>? NotCompared);

internal sealed record PriceLine(long Prompt, long Completion, long Image);

internal sealed record DifferenceLine(string Fact, string Expected, string Found);
