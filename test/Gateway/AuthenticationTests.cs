using System.Net;

namespace ConfidentialChat.Gateway.Tests;

public sealed class AuthenticationTests
{
    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("Bearer")]
    [InlineData("Bearer ")]
    [InlineData("Bearer cc_")]
    [InlineData("Bearer cc_aaaaaaaa_")]
    [InlineData("Bearer cc_aaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("Bearer cc_AAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("Bearer cc_aaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=== ")]
    [InlineData("Basic YWxpY2U6c2VjcmV0")]
    [InlineData("Bearer sk-0123456789012345678901234567890123456789")]
    public async Task Without_a_good_key_nothing_else_is_looked_at(string? header)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var client = gateway.Client();
        if (header is not null)
            client.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", header);

        await (await client.GetAsync("/v1/models")).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await (await client.PostAsync("/v1/nodes/lock", new StringContent("not json"))).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await (await client.PostAsync(GatewayUnderTest.ChatPath, new StringContent("not json"))).ShouldBeErrorAsync(401, "AUTH_ERROR");
    }

    [Theory]
    [InlineData("Bearer ", true)]
    [InlineData("Bearer   ", true)]
    [InlineData("bearer ", true)]
    [InlineData("BEARER  ", true)]
    [InlineData("Bearer", false)]
    [InlineData("Bearer\t", false)]
    [InlineData("Bearer,", false)]
    [InlineData("Bearer Bearer ", false)]
    public async Task One_blank_or_more_is_between_the_scheme_and_the_key(string before, bool isGood)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var key = await gateway.KeyAsync();
        using var client = gateway.Client();
        client.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", before + key);
        ((int)(await client.GetAsync("/v1/models")).StatusCode).ShouldBe(isGood ? 200 : 401);
    }

    [Fact]
    public async Task A_key_with_one_character_changed_is_refused()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var key = await gateway.KeyAsync("alice");
        using var good = gateway.Client(key);
        (await good.GetAsync("/v1/models")).StatusCode.ShouldBe(HttpStatusCode.OK);

        for (var i = 0; i < key.Length; i += 5)
        {
            using var bad = gateway.Client(string.Concat(key.AsSpan(0, i), key[i] == 'a' ? "b" : "a", key.AsSpan(i + 1)));
            await (await bad.GetAsync("/v1/models")).ShouldBeErrorAsync(401, "AUTH_ERROR");
        }
    }

    [Fact]
    public async Task A_new_key_opens_at_once_and_a_revoked_one_no_more_once_the_gateway_has_looked()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var key = (await gateway.Operator.CreateUserAsync("alice"))!;
        using var client = gateway.Client(key.Text); // the gateway has not noticed it
        (await client.GetAsync("/v1/models")).StatusCode.ShouldBe(HttpStatusCode.OK);

        (await gateway.Operator.RevokeApiKeyAsync(key.Prefix)).ShouldBeTrue();
        (await gateway.Operator.RevokeApiKeyAsync(key.Prefix)).ShouldBeFalse();
        await gateway.NoticeAsync();

        await (await client.GetAsync("/v1/models")).ShouldBeErrorAsync(401, "AUTH_ERROR");
    }

    [Fact]
    public async Task An_enrolment_token_is_no_api_key_and_an_api_key_enrols_nobody()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var token = await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1));
        var key = await gateway.Operator.CreateUserAsync("alice");
        using var client = gateway.Client(token.Text);
        await (await client.GetAsync("/v1/models")).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await using var node = await ScriptedNode.StartAsync(gateway, enrol: false);
        await (await node.EnrolAsync(key!.Text)).ShouldBeErrorAsync(401, "AUTH_ERROR");
    }

    [Fact]
    public async Task A_name_is_given_once()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        (await gateway.Operator.CreateUserAsync("alice")).ShouldNotBeNull();
        (await gateway.Operator.CreateUserAsync("alice")).ShouldBeNull();
        await Should.ThrowAsync<ArgumentException>(() => gateway.Operator.CreateUserAsync("a\nb"));
    }
}
