// spec/vouchers.md sections 1 and 4.
using System.Collections.Concurrent;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Node.Metering;

/// <summary>Signs what requests used, together what came together, and puts it into the outbox. <see cref="SignAll"/> is for one thread at a time.</summary>
internal sealed class VoucherDesk(KeyRing ring, GatewayEnrolment enrolment, Outbox outbox, TimeProvider time)
{
    private readonly ConcurrentQueue<Unsigned> unsigned = new();

    public bool IsEmpty => unsigned.IsEmpty;

    /// <summary>A request has ended. Costs it a place in a queue.</summary>
    /// <param name="token">Its token.</param>
    /// <param name="used">Exactly.</param>
    /// <param name="multiple">To which that is rounded up.</param>
    public void Take(RelayToken token, Usage used, int multiple)
    {
        var voucher = new Voucher { Request = token.Request, Model = token.Model, Usage = Voucher.Round(used, multiple, token.Units), Multiple = multiple };
        unsigned.Enqueue(new Unsigned(token.KeySet, voucher));
    }

    /// <summary>Signs what waits. Without a key set that has evidence, or without a gateway, it waits on.</summary>
    public void SignAll()
    {
        if (ring.Signing is not { } key || enrolment.Current is not { } gateway)
            return;
        var audience = SignedVoucher.AudienceOf(gateway.GatewayKey);
        while (unsigned.TryPeek(out var first) && ring.SetToVouchUnder(first.KeySet) is { } keySet)
        {
            var batch = new List<Voucher>();
            while (batch.Count < VoucherBatch.MaxSize && unsigned.TryPeek(out var next) && ring.SetToVouchUnder(next.KeySet) == keySet)
            {
                unsigned.TryDequeue(out _);
                batch.Add(next.Voucher);
            }

            if (batch.Count > 0)
                outbox.Add(VoucherBatch.Sign(batch, keySet, audience, time.GetUtcNow(), key));
        }
    }

    private sealed record Unsigned(KeySetDigest KeySet, Voucher Voucher);
}
