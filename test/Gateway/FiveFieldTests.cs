using System.Net;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/envelope-v1.md section 3.1: the older form says nothing of where it goes.</summary>
public sealed class FiveFieldTests
{
    private const string Chat = GatewayUnderTest.ChatPath;

    [Fact]
    public async Task The_callers_one_open_lock_says_where_it_goes()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        await LockedNode.LockAsync(user); // a second one of the same place changes nothing
        var older = Older(locked);

        (await user.PostAsync(Chat, Http.Json(older))).StatusCode.ShouldBe(HttpStatusCode.OK);

        var sent = JsonElement.Parse((await node.SeenAsync()).Body);
        foreach (var member in JsonElement.Parse(older).EnumerateObject())
            JsonElement.DeepEquals(sent.GetProperty(member.Name), member.Value).ShouldBeTrue(member.Name);
        sent.GetProperty("node_dh_public_key").GetString().ShouldBe(locked.PublicKey);
        sent.GetProperty("model_name").GetString().ShouldBe(GatewayUnderTest.Model);
        sent.GetProperty("stack_small_id").GetInt64().ShouldBe(locked.Stack);
        (await gateway.ReadAsync(state => state.Locks.Select(row => row.State).ToListAsync())).ShouldBe(["spent", "open"], ignoreOrder: true);
    }

    [Fact]
    public async Task Stream_and_units_may_stand_beside_the_five()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        (await user.PostAsync(Chat, Http.Json(Older(locked, ("stream", true), ("num_compute_units", 9000))))).StatusCode.ShouldBe(HttpStatusCode.OK);
        var seen = await node.SeenAsync();
        JsonElement.Parse(seen.Body).GetProperty("stream").GetBoolean().ShouldBeTrue();
        seen.Token().Units.Value.ShouldBe(9000 + 64);
    }

    [Fact]
    public async Task No_open_lock_and_locks_of_two_places_are_refused()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Models = [GatewayUnderTest.Model, "second"];
        await node.BeatAsync();
        using var alice = await gateway.UserAsync("alice");
        using var bob = await gateway.UserAsync("bob");
        var locked = await LockedNode.LockAsync(alice);

        await (await bob.PostAsync(Chat, Http.Json(Older(locked)))).ShouldBeErrorAsync(400, "INVALID_FIELD", "node_dh_public_key"); // another's lock

        await LockedNode.LockAsync(alice, """{"model":"second"}""");
        await (await alice.PostAsync(Chat, Http.Json(Older(locked)))).ShouldBeErrorAsync(400, "INVALID_FIELD", "node_dh_public_key");
        node.RequestsSeen.ShouldBe(0);
        (await gateway.ReservationsAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_lock_says_where_it_goes_until_it_expires()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        await ExpireAsync(gateway, TimeSpan.Zero);
        await (await user.PostAsync(Chat, Http.Json(Older(locked)))).ShouldBeErrorAsync(400, "INVALID_FIELD", "node_dh_public_key");
        node.RequestsSeen.ShouldBe(0);

        await ExpireAsync(gateway, TimeSpan.FromMilliseconds(1));
        (await user.PostAsync(Chat, Http.Json(Older(locked)))).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task An_expired_lock_of_another_place_is_not_in_the_way_of_the_open_one()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Models = [GatewayUnderTest.Model, "second"];
        await node.BeatAsync();
        using var user = await gateway.UserAsync();
        await LockedNode.LockAsync(user, """{"model":"second"}""");
        await ExpireAsync(gateway, TimeSpan.Zero);
        var locked = await LockedNode.LockAsync(user);
        (await user.PostAsync(Chat, Http.Json(Older(locked)))).StatusCode.ShouldBe(HttpStatusCode.OK);
        JsonElement.Parse((await node.SeenAsync()).Body).GetProperty("model_name").GetString().ShouldBe(GatewayUnderTest.Model);
    }

    [Fact]
    public async Task An_envelope_that_lacks_one_of_three_is_not_the_older_form()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        string[] three = ["node_dh_public_key", "model_name", "stack_small_id"];
        foreach (var missing in three)
        {
            await (await user.PostAsync(Chat, Http.Json(locked.Envelope(64, (missing, new LockedNode.Missing())))))
                .ShouldBeErrorAsync(400, "INVALID_FIELD", missing);
            (string, object?)[] others = [.. three.Where(name => name != missing).Select(name => (name, (object?)new LockedNode.Missing()))];
            await (await user.PostAsync(Chat, Http.Json(locked.Envelope(64, others))))
                .ShouldBeErrorAsync(400, "INVALID_FIELD", three.First(name => name != missing));
        }

        foreach (var missing in (string[])["ciphertext", "nonce", "salt", "client_dh_public_key", "plaintext_body_hash"])
            await (await user.PostAsync(Chat, Http.Json(Older(locked, (missing, new LockedNode.Missing()))))).ShouldBeErrorAsync(400, "INVALID_FIELD", missing);
        node.RequestsSeen.ShouldBe(0);
        (await gateway.LastLockAsync()).State.ShouldBe("open");
    }

    // Every lock so far ends so long from now. The clock stands still: were it moved, the sweeper would come, and end them before they are asked for.
    private static async Task ExpireAsync(GatewayUnderTest gateway, TimeSpan rest)
    {
        var at = gateway.Clock.GetUtcNow() + rest;
        (await gateway.ReadAsync(state => state.Locks.ExecuteUpdateAsync(row => row.SetProperty(held => held.ExpiresAt, at)))).ShouldBePositive();
    }

    private static byte[] Older(LockedNode locked, params (string Member, object? Value)[] changes) => locked.Envelope(
        64,
        [
            ("node_dh_public_key", new LockedNode.Missing()), ("model_name", new LockedNode.Missing()), ("stack_small_id", new LockedNode.Missing()),
            ("stream", new LockedNode.Missing()), .. changes,
        ]);
}
