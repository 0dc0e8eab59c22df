// spec/vouchers.md section 6.
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>Judges what a node delivers as vouchers: each is good, refused for good, or of keys that are still on their way.</summary>
internal sealed class VoucherCheck(SigningKeys keys, GatewayKey gatewayKey, GatewayOptions options, TimeProvider time)
{
    /// <summary>A node waits for its answer for twice as long.</summary>
    private static readonly TimeSpan BundleTime = TimeSpan.FromSeconds(5);

    private readonly bool isKept = options.VoucherRetention > TimeSpan.Zero;
    private readonly string audience = SignedVoucher.AudienceOf(gatewayKey.Identity.PublicKey);

    /// <summary>One outcome for each, in their order.</summary>
    public async Task<IReadOnlyList<JudgedVoucher>> JudgeAsync(KnownNode node, IReadOnlyList<DeliveredVoucher> delivered, CancellationToken gone)
    {
        var known = new Dictionary<KeySetDigest, FoundKey>();
        var verified = new Dictionary<long, SignedVoucher>();
        var judged = new JudgedVoucher[delivered.Count];
        for (var i = 0; i < judged.Length; i++)
        {
            var request = delivered[i].Request;
            if (!StrictBase64.TryDecode(delivered[i].Voucher, out var bytes)
                || SignedVoucher.TryParse(bytes, out var signed) != CoseError.None || signed!.Voucher.Request.Value != request)
            {
                judged[i] = new(request, VoucherOutcome.Malformed, null);
                continue;
            }

            if (!string.Equals(signed.Audience, audience, StringComparison.Ordinal))
            {
                judged[i] = new(request, VoucherOutcome.OtherGateway, null);
                continue;
            }

            if (!known.TryGetValue(signed.KeySet, out var found))
                known.Add(signed.KeySet, found = await FindAsync(node, signed, gone));
            var outcome = Judge(signed, found, verified);
            judged[i] = new(request, outcome, outcome == VoucherOutcome.Good ? new ReportedUsage(ReportOf(signed.Voucher), isKept ? bytes : []) : null);
        }

        return judged;
    }

    private static UsageReport ReportOf(Voucher voucher) => new(
        voucher.Request.Value, voucher.Model, voucher.Usage.PromptTokens, voucher.Usage.CompletionTokens, voucher.Usage.Pixels);

    private VoucherOutcome Judge(SignedVoucher signed, FoundKey found, Dictionary<long, SignedVoucher> verified)
    {
        if (found.Key is not { } key)
            return found.IsAwaited ? VoucherOutcome.Awaited : VoucherOutcome.UnknownKey;
        var now = time.GetUtcNow();
        if (key.EndsAt + SigningKeys.Retention < now)
            return VoucherOutcome.RetiredKey;
        if (!IsSigned(signed, key, verified))
            return VoucherOutcome.WrongSignature;
        return signed.Time > now + ClockTolerance.Most ? VoucherOutcome.FromTheFuture : VoucherOutcome.Good;
    }

    // One verification for all of a batch: they bring the same signature, for the same root.
    private static bool IsSigned(SignedVoucher signed, SigningKey key, Dictionary<long, SignedVoucher> verified)
    {
        var name = signed.SignatureName;
        if (verified.TryGetValue(name, out var other) && other.KeySet == signed.KeySet && signed.IsSignedLike(other))
            return true;
        if (!signed.IsSignedBy(key.Key))
            return false;
        verified[name] = signed;
        return true;
    }

    // A set that the node announces now, and whose bundle has not come yet, is asked for; any other has to be known.
    private async Task<FoundKey> FindAsync(KnownNode node, SignedVoucher signed, CancellationToken gone)
    {
        if (await keys.FindAsync(node.Id, signed.KeySet) is { } key)
            return new FoundKey(key, IsAwaited: false);
        if (node.FindAttested(signed.KeySet, time.GetUtcNow()) is not { } announced)
            return default;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(gone);
        limit.CancelAfter(BundleTime);
        try
        {
            return new FoundKey(await keys.LearnAsync(node, announced, limit.Token), IsAwaited: true);
        }
        catch (OperationCanceledException) when (!gone.IsCancellationRequested)
        {
            return new FoundKey(null, IsAwaited: true);
        }
    }

    private readonly record struct FoundKey(SigningKey? Key, bool IsAwaited);
}

/// <summary>What became of a voucher before it is settled.</summary>
/// <param name="Request">By which it is acknowledged.</param>
/// <param name="Outcome">Why.</param>
/// <param name="Reported">What it says, where it is good.</param>
internal readonly record struct JudgedVoucher(Guid Request, VoucherOutcome Outcome, ReportedUsage? Reported);

/// <summary>In the order of spec/vouchers.md section 6.</summary>
internal enum VoucherOutcome
{
    Good,
    Malformed,
    OtherGateway,
    UnknownKey,
    RetiredKey,
    WrongSignature,
    FromTheFuture,

    /// <summary>Its key set is announced, and its bundle not here yet: the one outcome that is not acknowledged.</summary>
    Awaited,
}
