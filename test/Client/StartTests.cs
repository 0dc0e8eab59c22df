using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Client.Tests;

/// <summary>Programs that want to know when they start whether they could ask.</summary>
public sealed class StartTests
{
    private static readonly ConfidentialChatOptions Good = new()
    {
        BearerKey = "k",
        ServerUrl = new Uri("https://gateway.example"),
        Policy = TestNode.Simulated,
    };

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_node_is_verified_before_anything_is_asked_and_once()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        var node = await client.VerifyNodeAsync("tiny", Cancellation);
        node.Id.Value.ShouldBe(gateway.Node.Id);
        (await client.VerifyNodeAsync("tiny", Cancellation)).ShouldBeSameAs(node);
        (gateway.Lists, gateway.Bundles, gateway.Relays).ShouldBe((1, 1, 0));
        (await client.ConfidentialChat.CreateAsync(Chats.Request, Cancellation)).Choices.Count.ShouldBe(1);
        gateway.Bundles.ShouldBe(1);
        await Should.ThrowAsync<ArgumentException>(() => client.VerifyNodeAsync("", Cancellation));
    }

    [Fact]
    public async Task A_node_that_the_policy_refuses_is_no_answer()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client(options => options with { Policy = Policy.Default });
        (await Should.ThrowAsync<AttestationException>(() => client.VerifyNodeAsync("tiny", Cancellation))).Message.ShouldContain("bundle.tee");
    }

    [Fact]
    public void Options_are_checked_without_a_client()
    {
        Good.Validate();
        Should.Throw<ConfigurationException>((Good with { BearerKey = " " }).Validate).Message.ShouldContain("hint:");
        Should.Throw<ConfigurationException>((Good with { ServerUrl = new Uri("http://gateway.example") }).Validate);
        Should.Throw<ConfigurationException>((Good with { PolicyFile = "x" }).Validate).Message.ShouldContain("one of them");
        Should.Throw<ConfigurationException>((Good with { Policy = null, PolicyFile = "" }).Validate);
    }

    [Fact]
    public void A_policy_is_read_from_the_file_that_an_option_names()
    {
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, "version = 1\nallow_simulated = true\n");
            (Good with { Policy = null, PolicyFile = file }).Validate();
            File.WriteAllText(file, "version = 2");
            var failure = Should.Throw<ConfigurationException>((Good with { Policy = null, PolicyFile = file }).Validate);
            failure.Message.ShouldContain(file);
            failure.Message.ShouldContain("PolicyFile");
        }
        finally
        {
            File.Delete(file);
        }
    }
}
