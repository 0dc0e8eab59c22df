// spec/gateway.md section 11.
using System.Globalization;
using ConfidentialChat.Client.Money;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>What the API key's user has and has used, by the gateway's word, and what nodes signed of it. Safe for concurrent use.</summary>
public sealed class AccountEndpoint
{
    private readonly GatewayConnection connection;
    private readonly ConfidentialChatOptions options;

    internal AccountEndpoint(GatewayConnection connection, ConfidentialChatOptions options)
    {
        this.connection = connection;
        this.options = options;
    }

    /// <summary>What there is to spend.</summary>
    /// <exception cref="ConfidentialChatException">The gateway was not reached, refused, or answered something else.</exception>
    public Task<AccountBalance> GetBalanceAsync(CancellationToken cancellation = default) =>
        AskAsync("v1/balance", AccountBalance.Read, cancellation);

    /// <summary>What was used, by day and model.</summary>
    /// <param name="from">The first day, in UTC; null: 30 days from the last one.</param>
    /// <param name="to">The last day; null: 30 days from the first one, or today. No more than 366 days are summed at once.</param>
    /// <param name="cancellation">Stops waiting.</param>
    /// <exception cref="ConfidentialChatException">The gateway was not reached, refused, or answered something else.</exception>
    public Task<UsageRange> SumUsageAsync(DateOnly? from = null, DateOnly? to = null, CancellationToken cancellation = default)
    {
        var query = string.Join('&', new[] { Day("from", from), Day("to", to) }.Where(part => part is not null));
        return AskAsync(query.Length == 0 ? "v1/usage" : $"v1/usage?{query}", UsageRange.Read, cancellation);

        static string? Day(string name, DateOnly? day) =>
            day is { } given ? string.Create(CultureInfo.InvariantCulture, $"{name}={given:yyyy-MM-dd}") : null;
    }

    /// <summary>One request of this user: what it reserved, used and cost, and what its node signed.</summary>
    /// <param name="request">Its id: an answer's and a receipt's.</param>
    /// <param name="cancellation">Stops waiting.</param>
    /// <exception cref="ApiException">404: this user has no such request.</exception>
    /// <exception cref="ConfidentialChatException">The gateway was not reached, refused, or answered something else.</exception>
    public Task<RequestUsage> GetUsageAsync(RequestId request, CancellationToken cancellation = default) =>
        AskAsync($"v1/usage/{request}", RequestUsage.Read, cancellation);

    /// <summary>
    /// Holds what the gateway charges for a request, and the voucher that its node signed for the gateway, against the receipt that the node signed
    /// for this client, and against the price that was listed when the request was sealed.
    /// </summary>
    /// <param name="receipt">Of the request. Its report reaches the gateway a moment after the answer's end.</param>
    /// <param name="cancellation">Stops waiting.</param>
    /// <returns>What differs. That is nobody's exception: whoever pays decides what follows.</returns>
    /// <exception cref="ApiException">404: this user has no such request.</exception>
    /// <exception cref="ConfidentialChatException">The gateway was not reached, refused, or answered something else.</exception>
    public async Task<UsageComparison> CompareAsync(VerifiedReceipt receipt, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(receipt);
        return UsageComparison.Of(await GetUsageAsync(receipt.Request, cancellation).ConfigureAwait(false), receipt);
    }

    private async Task<T> AskAsync<T>(string path, Func<ReadOnlyMemory<byte>, T?> read, CancellationToken cancellation)
        where T : class
    {
        using var clock = CallClock.Start(options, call: null, cancellation);
        var attempts = new Attempts(options.Retries, clock, isSealedAnew: false);
        var json = await attempts.RunAsync(() => connection.ReadJsonAsync(HttpMethod.Get, path, null, clock)).ConfigureAwait(false);
        return read(json) ?? throw new InvalidAnswerException("What the gateway says of money is malformed.") { Attempts = attempts.Count };
    }
}
