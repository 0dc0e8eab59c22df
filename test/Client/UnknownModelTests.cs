using System.Runtime.CompilerServices;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Client.Tests;

/// <summary>Users who mistype a model, and gateways that say odd things to them.</summary>
public sealed class UnknownModelTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Who_mistypes_a_model_is_told_of_those_that_there_are(bool listsNothing)
    {
        await using var gateway = await StartAsync(listsNothing);
        gateway.Models = """{"object":"list","data":[{"id":"alpha"},{"id":"beta"}]}""";
        var failure = await AskAsync(gateway);
        failure.Models.ShouldBe(["alpha", "beta"]);
        failure.Message.ShouldEndWith("\nhint: the gateway offers alpha, beta.");
        failure.Status.ShouldBe(404);
        failure.IsRetryable.ShouldBeFalse();
        gateway.Relays.ShouldBe(0);
    }

    [Fact]
    public async Task Where_there_is_none_that_is_said()
    {
        await using var gateway = await StartAsync(listsNothing: true);
        (await AskAsync(gateway)).Message.ShouldEndWith("\nhint: the gateway offers no model now.");
    }

    [Fact]
    public async Task Names_are_shown_on_one_line_and_are_not_without_end()
    {
        await using var gateway = await StartAsync(listsNothing: true);
        var names = string.Join(',', Enumerable.Range(0, 1000).Select(i => $$"""{"id":"m{{i}}\\u001b[2J\\n{{new string('x', 1000)}}"}"""));
        gateway.Models = $$"""{"object":"list","data":[{{names}}]}""";
        var failure = await AskAsync(gateway);
        failure.Models!.Count.ShouldBe(32);
        failure.Models.ShouldAllBe(name => name.Length <= 256);
        failure.Message.Split('\n').Length.ShouldBe(2);
        failure.Message.ShouldNotContain("\e");
    }

    [Theory]
    [InlineData("no JSON")]
    [InlineData("""{"data":7}""")]
    [InlineData("[]")]
    public async Task A_list_that_is_none_hides_no_error(string models)
    {
        await using var gateway = await StartAsync(listsNothing: false);
        gateway.Models = models;
        var failure = await AskAsync(gateway);
        failure.Code.ShouldBe("MODEL_NOT_FOUND");
        failure.Models.ShouldBeNull();
        failure.Message.ShouldNotContain("hint:");
    }

    [Theory]
    [InlineData("nobody")]
    [InlineData("nothing")]
    [InlineData("refused")]
    [InlineData("down")]
    public async Task Names_that_no_verified_node_serves_are_not_remembered(string why)
    {
        await using var gateway = await StartAsync(listsNothing: why == "nothing");
        if (why == "refused")
            gateway.List = null; // it lists its node, which does not serve them, for whatever name
        else if (why == "down")
            gateway.List = context => context.ProblemAsync(RequestError.ServiceUnavailable);
        using var client = gateway.Client();
        var said = new List<WeakReference>();
        for (var i = 0; i < 8; i++)
            said.Add(await RefusalAsync(client, $"hostile-{i}"));
        for (var tries = 0; said.Any(refusal => refusal.IsAlive) && tries < 100; tries++)
        {
            GC.Collect();
            await Task.Delay(20, TestContext.Current.CancellationToken); // threads let go of what they ran last
        }

        said.Count(refusal => refusal.IsAlive).ShouldBe(0);
        GC.KeepAlive(client);
    }

    // What the SDK keeps of a name holds the failure that its look ended in, or what that look refused.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<WeakReference> RefusalAsync(ConfidentialChatClient client, string model)
    {
        var failure = await Should.ThrowAsync<ConfidentialChatException>(() => client.ConfidentialChat.CreateAsync(
            new ChatCompletionRequest { Model = model, Messages = [ChatMessage.User("a")] }, TestContext.Current.CancellationToken));
        return new WeakReference(failure is AttestationException refusal ? refusal.Refused[0] : failure);
    }

    private static async Task<RelayGateway> StartAsync(bool listsNothing)
    {
        var gateway = await RelayGateway.StartAsync();
        gateway.List = listsNothing
            ? context => context.JsonAsync("""{"nodes":[]}""")
            : context => context.ProblemAsync(RequestError.ModelNotFound, forwarded: false);
        return gateway;
    }

    private static async Task<GatewayApiException> AskAsync(RelayGateway gateway)
    {
        using var client = gateway.Client();
        return await Should.ThrowAsync<GatewayApiException>(() => client.ConfidentialChat.CreateAsync(
            new ChatCompletionRequest { Model = "typo", Messages = [ChatMessage.User("a")] }, TestContext.Current.CancellationToken));
    }
}
