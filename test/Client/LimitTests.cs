using System.Text;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Tests;

/// <summary>What is just as large as it may be passes; a byte more does not.</summary>
public sealed class LimitTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task An_event_with_the_comments_before_it_has_16_MiB_at_the_most(int more)
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            var data = $"\ndata: {call.Event(Chats.Chunk("a", "stop"), isLast: true)}\n\n";
            await FillAsync(call, ":", EventReader.MaxEventSize + more - data.Length, data);
        });
        using var client = gateway.Client();
        if (more == 0)
            (await client.ReadAsync()).ShouldBe("a");
        else
            await Should.ThrowAsync<InvalidAnswerException>(() => client.ReadAsync());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_whole_answer_has_64_MiB_at_the_most(int more)
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.Context.Response.ContentType = "application/json";
            var answer = call.Whole(Chats.Answer);
            await FillAsync(call, " ", GatewayConnection.MaxBodySize + more - answer.Length, answer);
        });
        using var client = gateway.Client();
        if (more == 0)
            (await client.ConfidentialChat.CreateAsync(Chats.Request)).Choices[0].Message.Content!.Text.ShouldBe(Chats.Secret);
        else
            await Should.ThrowAsync<InvalidAnswerException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
    }

    [Fact]
    public async Task A_models_name_has_256_characters_at_the_most()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        foreach (var size in new[] { 1, 256 })
        {
            var model = new string('m', size);
            await client.ConfidentialChat.CreateAsync(new ChatCompletionRequest { Model = model, Messages = [] });
            await using var answer = await client.SendAsync(InferenceEndpoint.ChatCompletions, Raw(model));
            await answer.ReadWholeAsync();
            gateway.Calls.TakeLast(2).ShouldAllBe(call => call.Envelope.ModelName == model);
        }

        foreach (var size in new[] { 0, 257 })
        {
            var model = new string('m', size);
            await Should.ThrowAsync<ArgumentException>(() => client.ConfidentialChat.CreateAsync(new ChatCompletionRequest { Model = model, Messages = [] }));
            await Should.ThrowAsync<ArgumentException>(() => client.SendAsync(InferenceEndpoint.ChatCompletions, Raw(model)));
        }

        gateway.Calls.Count.ShouldBe(4);

        static byte[] Raw(string model) => Encoding.UTF8.GetBytes($$"""{"model":"{{model}}","messages":[],"stream":false}""");
    }

    [Fact]
    public async Task A_stack_may_have_the_number_zero()
    {
        TestGateway? gateway = null;
        gateway = await TestGateway.StartAsync(
            call => call.WholeAsync(Chats.Answer),
            context => context.JsonAsync($$"""{"public_key":"{{gateway!.NodeKey.PublicKey}}","node_small_id":0,"stack_small_id":0,"stack_entry_digest":null}"""));
        await using var _ = gateway;
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(Chats.Request);
        gateway.Calls.Single().Envelope.Stack.Value.ShouldBe(0);
    }

    private static async Task FillAsync(NodeCall call, string sign, int size, string then)
    {
        await call.SendAsync(sign);
        var filler = new string(sign == " " ? ' ' : 'x', 1 << 20);
        for (size -= sign.Length; size > 0; size -= filler.Length)
            await call.SendAsync(filler[..Math.Min(size, filler.Length)]);
        await call.SendAsync(then);
    }
}
