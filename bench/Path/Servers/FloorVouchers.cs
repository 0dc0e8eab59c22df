// spec/vouchers.md sections 2 to 4, and nothing of what a node does beside them.
using System.Collections.Concurrent;
using System.Net.Http.Headers;
using System.Text.Json;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Bench.WholePath.Servers;

/// <summary>
/// What a node cannot leave out of its vouchers: one signature for those of a hundredth of a second, a file that has them before they are
/// delivered, and their delivery by the tenth of a second. Nobody's acknowledgement is read.
/// </summary>
internal sealed class FloorVouchers
{
    private static readonly TimeSpan SigningPace = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan DeliveryPace = TimeSpan.FromMilliseconds(100);
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly ConcurrentQueue<Voucher> unsigned = new();
    private readonly ConcurrentQueue<DeliveredVoucher> signed = new();
    private readonly HttpMessageInvoker invoker = new(Connections.Handler());
    private readonly Ed25519PrivateKey key;
    private readonly KeySetDigest keySet;
    private readonly string audience;
    private readonly Uri to;

    public FloorVouchers(Ed25519PrivateKey key, KeySetDigest keySet, Uri engine)
    {
        (this.key, this.keySet) = (key, keySet);
        audience = SignedVoucher.AudienceOf(key.PublicKey);
        to = new Uri(engine, Engine.Sink);
        _ = SignAsync();
        _ = DeliverAsync();
    }

    /// <summary>A request has ended.</summary>
    public void Take(RequestId request) =>
        unsigned.Enqueue(new Voucher { Request = request, Model = Engine.Model, Usage = default, Multiple = 1 });

    private async Task SignAsync()
    {
        await using var file = new FileStream(
            Path.GetTempFileName(), FileMode.Open, FileAccess.Write, FileShare.Read, bufferSize: 0, FileOptions.DeleteOnClose);
        using var timer = new PeriodicTimer(SigningPace);
        while (await timer.WaitForNextTickAsync())
        {
            var some = new List<Voucher>();
            while (some.Count < VoucherBatch.MaxSize && unsigned.TryDequeue(out var voucher))
                some.Add(voucher);
            if (some.Count == 0)
                continue;
            var batch = VoucherBatch.Sign(some, keySet, audience, DateTimeOffset.UtcNow, key);
            file.Write(batch.Write());
            for (var i = 0; i < some.Count; i++)
                signed.Enqueue(new DeliveredVoucher(some[i].Request.Value, Convert.ToBase64String(batch.Signed(i))));
        }
    }

    private async Task DeliverAsync()
    {
        using var timer = new PeriodicTimer(DeliveryPace);
        while (await timer.WaitForNextTickAsync())
        {
            var some = new List<DeliveredVoucher>();
            while (signed.TryDequeue(out var one))
                some.Add(one);
            if (some.Count == 0)
                continue;
            var body = JsonSerializer.SerializeToUtf8Bytes(new UsageReports { Reports = [], Vouchers = some }, NodeMessageJson.Default.UsageReports);
            using var message = new HttpRequestMessage(HttpMethod.Post, to) { Content = new ByteArrayContent(body) };
            message.Content.Headers.ContentType = Json;
            using var answer = await invoker.SendAsync(message, default);
        }
    }
}
