using System.Net.Sockets;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>Whoever has shown nothing is answered before a byte of a body is read, and cannot go on sending it: spec/gateway.md section 8 rule 2.</summary>
public sealed class StrangerBodyTests
{
    private const string Node = "Confidential-Node: 1\r\nConfidential-Node-Time: 1\r\nConfidential-Node-Signature: AAAA\r\nConfidential-Node-Code: AAAA\r\n";

    [Theory]
    [InlineData(GatewayUnderTest.ChatPath, "", 401)]
    [InlineData(GatewayUnderTest.ChatPath, "Authorization: Bearer cc_aaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n", 401)]
    [InlineData("/v1/nodes/lock", "Authorization: Bearer nonsense\r\n", 401)]
    [InlineData("/v1/nodes/heartbeat", Node, 401)]
    [InlineData("/v2/usage-reports", Node, 401)]
    [InlineData("/v1/nodes/enrolment", Node, 401)]
    [InlineData("/v1/nodes/enrolment", "Authorization: Bearer cce_aaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n", 401)]
    [InlineData("/v1/models", "", 405)]
    [InlineData("/health", "", 405)]
    [InlineData("/docs", "", 405)]
    [InlineData("/openapi/v1.json", "", 405)]
    [InlineData("/nowhere", "", 404)]
    public async Task A_large_body_of_a_stranger_is_neither_waited_for_nor_taken(string path, string headers, int status)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        foreach (var length in (string[])["Content-Length: 33554432", "Transfer-Encoding: chunked"])
        {
            using var connection = await RawConnection.OpenAsync(gateway.Url);
            await connection.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}{length}\r\n\r\n");
            (await connection.StatusAsync()).ShouldBe(status);
            // The buffers of two sockets.
            (await SendOnAsync(connection, chunked: length.StartsWith("Transfer", StringComparison.Ordinal))).ShouldBeLessThan(16 * 1024 * 1024);
        }
    }

    [Fact]
    public async Task A_small_body_that_nobody_reads_leaves_the_connection_as_it_is()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var connection = await RawConnection.OpenAsync(gateway.Url);
        for (var i = 0; i < 2; i++)
        {
            await connection.SendAsync($"POST {GatewayUnderTest.ChatPath} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
            (await connection.StatusAsync()).ShouldBe(401);
            await connection.SendAsync(new string('x', 60_000));
        }
    }

    [Fact]
    public async Task One_enrolment_token_shown_by_many_has_few_bodies_in_memory()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        using var identity = Ed25519PrivateKey.Generate(out _);
        var signature = NodeSignature.Over(NodePaths.Enrolment, gateway.Clock.GetUtcNow().ToUnixTimeMilliseconds(), new byte[60_000]);
        var head = $"POST {NodePaths.Enrolment} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\nAuthorization: Bearer {token}\r\n"
            + $"{NodeSignature.KeyHeaderName}: {identity.PublicKey}\r\n{NodeSignature.TimeHeaderName}: {signature.TimeMs}\r\n"
            + $"{NodeSignature.DigestHeaderName}: {signature.DigestText}\r\n{NodeSignature.HeaderName}: {signature.Sign(identity)}\r\n\r\n";
        var connections = await RawConnection.OpenAsync(gateway.Url, 17);
        Task<int>[] statuses = [.. connections.Select(AskAsync)];
        (await await Task.WhenAny(statuses)).ShouldBe(429); // the others wait for their bodies
        connections.ForEach(connection => connection.Dispose());
        await using var node = await ScriptedNode.StartAsync(gateway);

        async Task<int> AskAsync(RawConnection connection)
        {
            await connection.SendAsync(head);
            return await connection.StatusAsync();
        }
    }

    // How much of a body that has no end is taken before the connection is closed.
    private static async Task<long> SendOnAsync(RawConnection connection, bool chunked)
    {
        var piece = chunked ? "10000\r\n" + new string('x', 65536) + "\r\n" : new string('x', 65536);
        long sent = 0;
        try
        {
            for (; sent < 32 * 1024 * 1024; sent += 65536)
                await connection.SendAsync(piece);
        }
        catch (SocketException)
        {
        }

        return sent;
    }
}
