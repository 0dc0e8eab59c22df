using System.Net;
using System.Text;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/envelope-v2.md sections 3 and 7, at the gateway.</summary>
public class SealedRelayTests : IDisposable
{
    private const string Answer = ChunkedAnswerSealer.MediaType;

    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Fact]
    public async Task The_node_gets_the_bytes_as_they_are_a_token_and_no_header_of_the_client()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        node.Script = context =>
        {
            context.Response.Headers["X-Node-Secret"] = "1";
            return ScriptedNode.AnswerAsync(context, 200, "sealed", Answer);
        };
        using var user = await gateway.UserAsync();
        var call = new SealedCall(node.Id, keys.Digest);
        var request = call.Request();
        request.Headers.TryAddWithoutValidation("Cookie", "session=1");
        request.Headers.TryAddWithoutValidation("User-Agent", "test");
        request.Headers.TryAddWithoutValidation("Confidential-Relay-Token", "forged");

        var response = await user.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
        (await response.Content.ReadAsStringAsync()).ShouldBe("sealed");
        response.Content.Headers.ContentType!.ToString().ShouldBe(Answer);
        response.Headers.CacheControl!.ToString().ShouldBe("no-store, no-transform");
        response.Headers.GetValues("x-request-id").ShouldBe([call.Id.ToString()]);
        response.Headers.Contains("X-Node-Secret").ShouldBeFalse();
        var seen = await node.SeenAsync();
        seen.Body.ShouldBe(await call.Body.ReadAsByteArrayAsync());
        seen.Path.ShouldBe("/v2/relay");
        seen.Headers.Keys.ShouldBe(["Host", "Content-Type", "Content-Length", "Confidential-Relay-Token"], ignoreOrder: true);
        seen.Headers.ContentType.ToString().ShouldBe(ChunkedRequestSealer.MediaType);
        var token = seen.Token();
        (token.Node.Value, token.KeySet, token.Endpoint, token.Model, token.Units.Value, token.Request.Value)
            .ShouldBe((node.Id, keys.Digest, RelayHeaders.RelayEndpoint, GatewayUnderTest.Model, 4096, call.Id));

        (await gateway.UnitsAsync()).Reserved.ShouldBe(4096); // the body's length enters nothing
        await node.VouchAsync(Usage(call, 100, 20));
        var stack = await gateway.UnitsAsync();
        (stack.Reserved, stack.Used).ShouldBe((0, 120));
    }

    [Fact]
    public async Task Both_directions_are_streamed()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        var (first, half) = (new TaskCompletionSource<int>(), new TaskCompletionSource());
        node.AtOnce = async context =>
        {
            first.SetResult(await context.Request.Body.ReadAtLeastAsync(new byte[4096], 4096));
            await context.Request.Body.CopyToAsync(Stream.Null);
            context.Response.ContentType = Answer;
            await context.Response.WriteAsync("one");
            await context.Response.Body.FlushAsync();
            await half.Task;
            await context.Response.WriteAsync("two");
            return true;
        };
        using var user = await gateway.UserAsync();
        var gate = new TaskCompletionSource();
        var call = new SealedCall(node.Id, keys.Digest) { Body = new HeldContent(gate.Task) };
        var sending = user.SendAsync(call.Request(), HttpCompletionOption.ResponseHeadersRead);
        (await first.Task.Soon()).ShouldBe(4096); // while the rest is not even written
        sending.IsCompleted.ShouldBeFalse();
        gate.SetResult();
        using var response = await sending.Soon();
        await using var stream = await response.Content.ReadAsStreamAsync();
        var buffer = new byte[10];
        (await stream.ReadAsync(buffer).AsTask().Soon()).ShouldBe(3);
        half.SetResult();
        (await stream.ReadAsync(buffer).AsTask().Soon()).ShouldBe(3);
        gateway.App.Services.GetRequiredService<BodyBudget>().Taken.ShouldBe(0);
    }

    [Theory]
    [InlineData(RelayHeaders.Model, "model", null, "", "a b", "%7e", "%zz")]
    [InlineData(RelayHeaders.RequestId, "request_id", null, "", "7", "{00000000-0000-4000-8000-000000000000}")]
    [InlineData(RelayHeaders.KeySet, "key_set", null, "", "AAAA", "not base64")]
    [InlineData(RelayHeaders.MaxUnits, "max_units", "0", "-1", "1e3", "many", "99999999999999999999")]
    public async Task A_header_that_is_missing_or_none_is_named_and_nothing_is_held(string header, string param, params string?[] values)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        using var user = await gateway.UserAsync();
        foreach (var value in values)
        {
            var call = new SealedCall(node.Id, keys.Digest) { Changes = [(header, value)] };
            await (await user.SendAsync(call.Request())).ShouldBeProblemAsync(RequestError.InvalidField, forwarded: false, param);
        }

        node.RequestsSeen.ShouldBe(0);
        (await gateway.ReservationsAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task What_cannot_go_to_that_node_is_refused_before_anything_is_held_or_read()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var plain = node.KeySets[0].Digest;
        var keys = await node.AttestAsync(platform);
        using var user = await gateway.UserAsync();
        using var anyone = gateway.Client();
        var call = new SealedCall(node.Id, keys.Digest);
        await RefuseAsync(RequestError.UnknownNodeKey, call with { KeySet = new KeySetDigest(new byte[32]) });
        await RefuseAsync(RequestError.UnknownNodeKey, call with { KeySet = plain }); // of envelope v1 alone
        await RefuseAsync(RequestError.NotFound, call with { Node = 99 });
        await RefuseAsync(RequestError.ModelNotFound, call with { Changes = [(RelayHeaders.Model, "another")] });
        await gateway.SetPriceAsync(node, 1, 1);
        await RefuseAsync(RequestError.BalanceError, call with { Units = "999999999999" });
        await (await anyone.SendAsync(call.Request())).ShouldBeProblemAsync(RequestError.AuthError, forwarded: false);
        var json = (call with { Body = new ByteArrayContent("{}"u8.ToArray()) }).Request();
        json.Content!.Headers.ContentType = new("application/json");
        await (await user.SendAsync(json)).ShouldBeProblemAsync(RequestError.UnsupportedMediaType, forwarded: false);
        await RefuseAsync(RequestError.BodyTooLarge, call with { Body = new ByteArrayContent(new byte[(32 << 20) + 1]) });

        node.State = NodeState.Draining;
        await node.BeatAsync();
        await RefuseAsync(RequestError.ServiceUnavailable, call);
        gateway.Clock.Advance(TimeSpan.FromHours(2));
        await RefuseAsync(RequestError.UnknownNodeKey, call); // the keys have expired
        (await gateway.ReservationsAsync()).ShouldBeEmpty();
        node.RequestsSeen.ShouldBe(0);

        async Task RefuseAsync(RequestError error, SealedCall refused)
        {
            var sent = refused with { Body = refused.Body is ByteArrayContent ? refused.Body : new ByteArrayContent([1]) };
            await (await user.SendAsync(sent.Request())).ShouldBeProblemAsync(error, forwarded: false);
        }
    }

    [Fact]
    public async Task An_id_that_was_used_before_by_anybody_is_409_and_reaches_nobody()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "sealed", Answer);
        using var alice = await gateway.UserAsync("alice");
        using var mallory = await gateway.UserAsync("mallory");
        var id = Guid.NewGuid();
        (await alice.SendAsync(new SealedCall(node.Id, keys.Digest) { Id = id }.Request())).StatusCode.ShouldBe(HttpStatusCode.OK);
        foreach (var user in (HttpClient[])[alice, mallory])
        {
            using var again = await user.SendAsync(new SealedCall(node.Id, keys.Digest) { Id = id }.Request());
            await again.ShouldBeProblemAsync(RequestError.Replay, forwarded: false);
        }

        node.RequestsSeen.ShouldBe(1);
        (await gateway.ReservationsAsync()).Count.ShouldBe(1);
    }

    [Theory]
    [InlineData(RequestError.TooManyRequests, false)]
    [InlineData(RequestError.ServiceUnavailable, false)]
    [InlineData(RequestError.UnknownNodeKey, null)]
    [InlineData(RequestError.DecryptionFailed, null)]
    [InlineData(RequestError.Replay, null)]
    public async Task What_the_node_refuses_outside_is_told_and_holds_nothing(RequestError error, bool? forwarded)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        node.Script = context => ScriptedNode.AnswerAsync(
            context, error.Row().Status, Encoding.UTF8.GetString(new ProblemDocument(error).ToJson()), ProblemDocument.MediaType);
        using var user = await gateway.UserAsync();
        await (await user.SendAsync(new SealedCall(node.Id, keys.Digest).Request())).ShouldBeProblemAsync(error, forwarded);
        (await gateway.UnitsAsync()).Reserved.ShouldBe(0);
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("released");
    }

    [Theory]
    [InlineData(401, "", "application/problem+json", true)]
    [InlineData(418, "short and stout", "text/plain", true)]
    [InlineData(429, """{"error":{"code":"TOO_MANY_REQUESTS"}}""", "application/json", true)] // in the shape of envelope v1
    [InlineData(500, """{"code":"BALANCE_ERROR"}""", "application/problem+json", true)]
    [InlineData(200, """{"choices":[]}""", "application/json", false)] // an invented answer in plain
    [InlineData(200, "data: {}\n\n", "text/event-stream", false)]
    public async Task An_answer_that_no_node_gives_is_the_gateways_500(int status, string body, string contentType, bool isReleased)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        node.Script = context => ScriptedNode.AnswerAsync(context, status, body, contentType);
        using var user = await gateway.UserAsync();
        await (await user.SendAsync(new SealedCall(node.Id, keys.Digest).Request())).ShouldBeProblemAsync(RequestError.InternalError, forwarded: null);
        (await gateway.UnitsAsync()).Reserved.ShouldBe(isReleased ? 0 : 4096); // it may have computed
    }

    [Fact]
    public async Task A_node_that_is_not_there_was_sent_nothing_and_holds_nothing()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        await node.StopAsync();
        using var user = await gateway.UserAsync();
        await (await user.SendAsync(new SealedCall(node.Id, keys.Digest).Request())).ShouldBeProblemAsync(RequestError.ServiceUnavailable, forwarded: false);
        (await gateway.UnitsAsync()).Reserved.ShouldBe(0);
    }

    // Without "Expect: 100-continue" the gateway would still be sending when the node closes, and meet a reset instead of the words.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_node_without_a_seat_reads_nothing_of_a_large_body_and_its_refusal_arrives(bool isChunked)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        node.AtOnce = async context =>
        {
            var refusal = Encoding.UTF8.GetString(new ProblemDocument(RequestError.TooManyRequests).ToJson());
            await ScriptedNode.AnswerAsync(context, 429, refusal, ProblemDocument.MediaType);
            return true;
        };
        using var user = await gateway.UserAsync();
        for (var i = 0; i < 5; i++)
        {
            HttpContent body = isChunked ? new StreamContent(new MemoryStream(new byte[8 << 20])) : new ByteArrayContent(new byte[8 << 20]);
            var request = new SealedCall(node.Id, keys.Digest) { Body = body }.Request();
            request.Headers.TransferEncodingChunked = isChunked ? true : null;
            request.Headers.ExpectContinue = true;
            await (await user.SendAsync(request)).ShouldBeProblemAsync(RequestError.TooManyRequests, forwarded: false);
        }

        (await gateway.UnitsAsync()).Reserved.ShouldBe(0);
    }

    [Fact]
    public async Task A_body_of_unknown_length_that_grows_too_large_is_cut_and_its_connection_closed()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxBodyBytes = 100_000 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        using var user = await gateway.UserAsync();
        var call = new SealedCall(node.Id, keys.Digest) { Body = new StreamContent(new MemoryStream(new byte[150_000])) };
        var request = call.Request();
        request.Headers.TransferEncodingChunked = true;
        using var response = await user.SendAsync(request);
        await response.ShouldBeProblemAsync(RequestError.BodyTooLarge, forwarded: null);
        response.Headers.ConnectionClose.ShouldBe(true);
        node.RequestsSeen.ShouldBe(0); // it broke off
        await node.VouchAsync(Usage(call, 0, 0)); // as a node does for whatever it was given a token for
        (await gateway.UnitsAsync()).Reserved.ShouldBe(0);
    }

    [Fact]
    public async Task A_body_that_drips_is_cut_and_its_connection_closed()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        var key = await gateway.KeyAsync();
        using var connection = await RawConnection.OpenAsync(gateway.Url);
        var headers = string.Concat(new SealedCall(node.Id, keys.Digest).Request().Headers.Select(header => $"{header.Key}: {header.Value.Single()}\r\n"));
        await connection.SendAsync(
            $"POST /v2/nodes/{node.Id}/relay HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: {ChunkedRequestSealer.MediaType}\r\n"
            + $"{headers}Content-Length: 30000000\r\n\r\n");
        await Waiting.UntilAsync(async () => (await gateway.ReservationsAsync()).Count == 1);
        var began = gateway.Clock.GetUtcNow();

        // Aside: what the clock sets off may go on on the threads that run tests, and has to find one.
        while (!await Task.Run(() => connection.Socket.Poll(TimeSpan.FromMilliseconds(20), System.Net.Sockets.SelectMode.SelectRead)))
        {
            gateway.Clock.Advance(TimeSpan.FromSeconds(1));
            await connection.SendAsync("a few bytes");
        }

        // 5; the rest for a machine that lets the answer wait.
        (gateway.Clock.GetUtcNow() - began).ShouldBeInRange(TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(60));
        var answer = new byte[4096];
        var text = Encoding.ASCII.GetString(answer, 0, await connection.Socket.ReceiveAsync(answer));
        text.ShouldStartWith("HTTP/1.1 408 ");
        text.ShouldContain("Connection: close");
        text.ShouldContain("application/problem+json");
        text.ShouldContain("BODY_TOO_SLOW");
    }

    [Fact]
    public async Task A_client_that_leaves_in_the_middle_of_its_body_leaves_no_place_taken_and_its_units_wait_for_the_nodes_word()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxRelaysPerUser = 1 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = await node.AttestAsync(platform);
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "sealed", Answer);
        var key = await gateway.KeyAsync();
        var call = new SealedCall(node.Id, keys.Digest) { Body = new HeldContent(Task.Delay(Timeout.Infinite)) };
        using (var leaver = gateway.Client(key, hangsUpAtOnce: true))
        {
            using var leaving = new CancellationTokenSource();
            var sending = leaver.SendAsync(call.Request(), leaving.Token);
            await Waiting.UntilAsync(async () => (await gateway.ReservationsAsync()).Count == 1);
            await leaving.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(() => sending);
        }

        using var user = gateway.Client(key);
        await Waiting.UntilAsync(async () =>
            (await user.SendAsync(new SealedCall(node.Id, keys.Digest).Request())).StatusCode == HttpStatusCode.OK);
        node.RequestsSeen.ShouldBe(1);
        (await gateway.ReservationsAsync()).Single(row => row.RequestId == call.Id.ToString()).State.ShouldBe("held");
        await node.VouchAsync(Usage(call, 0, 0));
        (await gateway.ReservationsAsync()).Single(row => row.RequestId == call.Id.ToString()).State.ShouldBe("settled");
    }

    private static UsageReport Usage(SealedCall call, long prompt, long completion) =>
        new(call.Id, GatewayUnderTest.Model, prompt, completion, 0);

    /// <summary>More than HTTP libraries keep for themselves, and the rest when it may.</summary>
    private sealed class HeldContent(Task rest) : HttpContent
    {
        private const int First = 32_000;

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
            SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            await stream.WriteAsync(new byte[First], cancellationToken);
            await stream.FlushAsync(cancellationToken);
            await rest.WaitAsync(cancellationToken);
            await stream.WriteAsync(new byte[1000], cancellationToken);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = First + 1000;
            return true;
        }
    }
}
