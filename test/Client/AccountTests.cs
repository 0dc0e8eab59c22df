using System.Text;
using System.Text.Json;
using ConfidentialChat.Client.Money;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Client.Tests;

/// <summary>spec/gateway.md section 11: what the SDK makes of the gateway's word on money, and what of it a receipt contradicts.</summary>
public sealed class AccountTests
{
    private const string Listed = """{"prompt":150000,"completion":600000,"image":0}""";

    private static readonly string Audience = "urn:confidentialchat:gateway:" + new string('0', 64);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Balance_and_usage_are_read_and_asked_for_by_days()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        gateway.Account = context => AnswerAsync(context, """{"balance":12000345,"held":345,"available":12000000,"else":1}""");
        var balance = await client.Account.GetBalanceAsync(Cancellation);
        (balance.Balance.Value, balance.Held.Value, balance.Available.Value).ShouldBe((12_000_345, 345, 12_000_000));

        string? query = null;
        gateway.Account = context =>
        {
            query = context.Request.QueryString.Value;
            return AnswerAsync(context, """
                {"data":[{"day":"2026-07-04","model":"tiny","requests":3,"prompt":9,"completion":1,"pixels":0,"charge":7,"millionths":650000}],
                 "from":"2026-07-01","to":"2026-07-04","truncated":false}
                """);
        };
        var usage = await client.Account.SumUsageAsync(new DateOnly(2026, 7, 1), new DateOnly(2026, 7, 4), Cancellation);
        query.ShouldBe("?from=2026-07-01&to=2026-07-04");
        usage.Days.ShouldHaveSingleItem().ShouldBe(
            new UsageDay(new DateOnly(2026, 7, 4), "tiny", 3, new Usage(9, 1), new Cost(new MicroDollars(7), 650_000)));
        await client.Account.SumUsageAsync(cancellation: Cancellation);
        query.ShouldBe("");
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"balance":1}""")]
    [InlineData("""{"balance":-1,"held":0}""")]
    [InlineData("""{"balance":1,"held":2}""")]
    [InlineData("""{"balance":"1","held":0}""")]
    [InlineData("""{"balance":1.5,"held":0}""")]
    [InlineData("""{"balance":9007199254740992,"held":0}""")]
    [InlineData("""{"balance":1,"balance":2,"held":0}""")]
    [InlineData("""{"balance":1,"held":0""")]
    public async Task A_balance_that_is_none_is_a_malformed_answer(string json)
    {
        await using var gateway = await RelayGateway.StartAsync();
        gateway.Account = context => AnswerAsync(context, json);
        using var client = gateway.Client();
        await Should.ThrowAsync<InvalidAnswerException>(() => client.Account.GetBalanceAsync(Cancellation));
    }

    [Fact]
    public async Task A_usage_that_is_none_is_a_malformed_answer_whatever_member_is_at_fault()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        var request = new RequestId(Guid.NewGuid());
        var honest = Word(request, Voucher(request, new Usage(16, 16), 16, gateway.Node));
        foreach (var name in honest.Keys.ToList())
        {
            foreach (var wrong in (object?[])["x", -1, new { }, new[] { 1 }, true, long.MaxValue])
            {
                var said = new Dictionary<string, object?>(honest, StringComparer.Ordinal) { [name] = wrong };
                gateway.Account = context => AnswerAsync(context, JsonSerializer.Serialize(said));
                var mayPass = name is "model" && wrong is string || name is "reserved" or "node" && wrong is long or int;
                if (mayPass)
                    continue;
                await Should.ThrowAsync<InvalidAnswerException>(
                    () => client.Account.GetUsageAsync(request, Cancellation), $"{name} {JsonSerializer.Serialize(wrong)}");
            }

            gateway.Account = context => AnswerAsync(context, JsonSerializer.Serialize(honest.Where(member => member.Key != name).ToDictionary()));
            await Should.ThrowAsync<InvalidAnswerException>(() => client.Account.GetUsageAsync(request, Cancellation), $"without {name}");
        }
    }

    [Fact]
    public async Task What_agrees_with_the_receipt_agrees_and_what_a_gateway_changes_is_named()
    {
        await using var gateway = await StartAsync();
        using var client = gateway.Client();
        var receipt = await AskAsync(client);
        receipt.Price.ShouldBe(new UnitPrices(new(150_000), new(600_000), new(0)));
        var (request, node) = (receipt.Request, gateway.Node);
        var voucher = Voucher(request, new Usage(16, 16), 16, node);

        var honest = await CompareAsync(_ => { });
        honest.Differences.ShouldBeEmpty();
        honest.NotCompared.ShouldBeEmpty();

        await DiffersAsync(UsageFact.Model, word => word["model"] = "large");
        await DiffersAsync(UsageFact.Reserved, word => word["reserved"] = receipt.MaxUnits.Value + 1);
        await DiffersAsync(UsageFact.Charge, word => word["charge"] = 13);
        await DiffersAsync(UsageFact.Charge, word => word["millionths"] = 1);
        await DiffersAsync(UsageFact.Reported, word => word["reported"] = new { prompt = 32, completion = 16, pixels = 0 });
        (await CompareAsync(word => word["charged"] = new { prompt = 17, completion = 16, pixels = 0 })).Differences.Select(difference => difference.Fact)
            .ShouldBe([UsageFact.Charged, UsageFact.Charge]);

        // A price that rose behind the client's back, with a charge that is true to it.
        await DiffersAsync(UsageFact.Price, word => (word["price"], word["charge"]) = (new { prompt = 150_000, completion = 1_600_000, image = 0 }, 28));
        (await CompareAsync(word => (word["price"], word["charge"], word["millionths"]) = (null, 0, 0))).Agrees.ShouldBeTrue(); // nothing is charged

        // Vouchers that are another's, or say something else.
        await DiffersAsync(UsageFact.Voucher, word => word["voucher"] = Convert.ToBase64String([1, 2, 3]));
        await DiffersAsync(UsageFact.Request, word => word["voucher"] = Voucher(new RequestId(Guid.NewGuid()), new Usage(16, 16), 16, node));
        await DiffersAsync(UsageFact.Model, word => word["voucher"] = Voucher(request, new Usage(16, 16), 16, node, model: "large"));
        await DiffersAsync(UsageFact.Signature, word => word["voucher"] = Voucher(request, new Usage(16, 16), 16, node, isForeign: true));
        await DiffersAsync(UsageFact.Units, word => word["voucher"] = Voucher(request, new Usage(16, 16), 1, node));
        (await CompareAsync(word =>
        {
            // The node said more to the gateway than to the client, and all that follows is true to that.
            word["voucher"] = Voucher(request, new Usage(32, 16), 16, node);
            word["reported"] = word["charged"] = new { prompt = 32, completion = 16, pixels = 0 };
            (word["charge"], word["millionths"]) = (14, 400_000);
        })).Differences.Select(difference => difference.Fact).ShouldBe([UsageFact.Units]);

        // What is not there is said, and differs from nothing.
        var none = await CompareAsync(word => word["voucher"] = null);
        none.Agrees.ShouldBeTrue();
        none.NotCompared.ShouldBe([UsageFact.Voucher, UsageFact.Signature, UsageFact.Units, UsageFact.Reported]);
        var held = await CompareAsync(word =>
            (word["state"], word["voucher"], word["reported"], word["charged"], word["charge"], word["millionths"], word["settled_at"]) =
                ("held", null, null, null, null, null, null));
        held.Agrees.ShouldBeTrue();
        held.NotCompared.ShouldContain(UsageFact.Charged);

        // A receipt from a file has seen no list.
        var kept = ReceiptFile.Verify(receipt.ToFile().ToBytes(), TestNode.Simulated).Receipt.ShouldNotBeNull();
        gateway.Account = context => AnswerAsync(context, JsonSerializer.Serialize(Word(request, voucher, receipt.MaxUnits.Value)));
        var compared = await client.Account.CompareAsync(kept, Cancellation);
        compared.Agrees.ShouldBeTrue();
        compared.NotCompared.ShouldBe([UsageFact.Price]);

        async Task DiffersAsync(UsageFact fact, Action<Dictionary<string, object?>> change) =>
            (await CompareAsync(change)).Differences.Select(difference => difference.Fact).Distinct().ShouldBe([fact], $"{fact}");

        Task<UsageComparison> CompareAsync(Action<Dictionary<string, object?>> change)
        {
            var word = Word(request, voucher, receipt.MaxUnits.Value);
            change(word);
            gateway.Account = context => AnswerAsync(context, JsonSerializer.Serialize(word));
            return client.Account.CompareAsync(receipt, Cancellation);
        }
    }

    [Fact]
    public async Task A_request_of_somebody_else_is_the_gateways_404()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        gateway.Account = context =>
        {
            context.Response.StatusCode = 404;
            return AnswerAsync(context, """{"error":{"code":"NOT_FOUND","message":"x"}}""");
        };
        var refused = await Should.ThrowAsync<ApiException>(() => client.Account.GetUsageAsync(new RequestId(Guid.NewGuid()), Cancellation));
        (refused.Status, refused.Code).ShouldBe((404, "NOT_FOUND"));
    }

    // 16 × 0.15 + 16 × 0.6 = 12
    private static Dictionary<string, object?> Word(RequestId request, string? voucher, long reserved = 4096) => new(StringComparer.Ordinal)
    {
        ["request"] = request.ToString(),
        ["model"] = "tiny",
        ["node"] = 3,
        ["state"] = "reported",
        ["reserved"] = reserved,
        ["held"] = 0,
        ["price"] = new { prompt = 150_000, completion = 600_000, image = 0 },
        ["reported"] = new { prompt = 16, completion = 16, pixels = 0 },
        ["charged"] = new { prompt = 16, completion = 16, pixels = 0 },
        ["charge"] = 12,
        ["millionths"] = 0,
        ["settled_at"] = "2026-07-04T10:16:31+00:00",
        ["voucher"] = voucher,
    };

    private static string Voucher(RequestId request, Usage usage, int multiple, TestNode node, string model = "tiny", bool isForeign = false)
    {
        KeySetDigest.TryParse(node.KeySet, out var keySet).ShouldBeTrue();
        using var other = Ed25519PrivateKey.Generate(out _);
        var said = new Voucher { Request = request, Model = model, Usage = usage, Multiple = multiple };
        return Convert.ToBase64String(VoucherBatch.Sign([said], keySet, Audience, DateTimeOffset.UtcNow, isForeign ? other : node.Signing).Signed(0));
    }

    private static async Task<RelayGateway> StartAsync()
    {
        var gateway = await RelayGateway.StartAsync(call =>
        {
            call.Receipted(); // a prompt of 1, a completion of 2
            return call.WholeAsync(Chats.Answer);
        });
        gateway.Node.Price = Listed;
        return gateway;
    }

    private static async Task<VerifiedReceipt> AskAsync(ConfidentialChatClient client)
    {
        VerifiedReceipt? receipt = null;
        await client.ConfidentialChat.CreateAsync(Chats.Request, new CallOptions { OnReceipt = told => receipt = told }, Cancellation);
        return receipt.ShouldNotBeNull();
    }

    private static Task AnswerAsync(Microsoft.AspNetCore.Http.HttpContext context, string json)
    {
        context.Response.ContentType = "application/json";
        return context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(json)).AsTask();
    }
}
