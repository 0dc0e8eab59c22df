using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>A request is served once, whoever sends it again and however it is spelled.</summary>
public sealed class ReplayTests(RunningStack stack) : IDisposable
{
    private readonly RawClient client = new(stack);

    public void Dispose() => client.Dispose();

    [Fact]
    public async Task The_same_bytes_again_find_their_lock_spent()
    {
        using var user = new RawClient(stack, await stack.NewUserAsync());
        using var request = await user.SealAsync(RawClient.Chat(stack.Model, "once", false));
        var envelope = RawClient.ToJson(request);
        using var first = await user.SendAsync(envelope);
        await RawClient.OpenAsync(request, first);
        var used = await Ledger.SettledAsync(stack);
        using var second = await user.SendAsync(envelope);

        (await RawClient.ErrorAsync(second)).ShouldBe((425, "UNAVAILABLE_STACK", null));
        (await Ledger.SettledAsync(stack)).ShouldBe(used);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_same_bytes_under_a_new_lock_are_a_replay(bool topBit)
    {
        using var request = await client.SealAsync(RawClient.Chat(stack.Model, "once", false));
        var envelope = RawClient.ToJson(request);
        using var first = await client.SendAsync(envelope);
        await RawClient.OpenAsync(request, first);
        var used = await Ledger.SettledAsync(stack);

        if (topBit) // X25519 masks it: another spelling of the same key
        {
            var key = Convert.FromBase64String((string)envelope["client_dh_public_key"]!);
            key[31] ^= 0x80;
            envelope["client_dh_public_key"] = Convert.ToBase64String(key);
        }

        await client.LockAsync(timeout: 1);
        using var second = await client.SendAsync(envelope);

        (await RawClient.ErrorAsync(second)).ShouldBe((409, "REPLAY", null));
        (await Ledger.SettledAsync(stack)).ShouldBe(used);
    }
}
