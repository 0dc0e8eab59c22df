using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Completions;
using ConfidentialChat.Client.Embeddings;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>The endpoints beside chat, from the SDK through gateway and node to the embedded engine.</summary>
public sealed class EndpointTests(RunningStack stack)
{
    [Fact]
    public async Task Completions_come_whole_and_streamed()
    {
        using var client = await ClientAsync();
        var request = new CompletionRequest { Model = stack.Model, Prompt = "Hello", MaxTokens = 12, Temperature = 0 };

        var whole = await client.ConfidentialCompletions.CreateAsync(request, TestContext.Current.CancellationToken);
        whole.Usage!.CompletionTokens.ShouldBeInRange(1, 12);
        var text = new StringBuilder();
        await foreach (var piece in client.ConfidentialCompletions.CreateStreamAsync(request, TestContext.Current.CancellationToken))
            text.Append(piece.Choices.FirstOrDefault()?.Text);

        text.ToString().ShouldBe(whole.Choices[0].Text);
    }

    [Fact]
    public async Task Embeddings_tell_texts_apart_and_are_charged_for_what_was_read()
    {
        using var client = await ClientAsync();
        var before = await Ledger.SettledAsync(stack);
        var list = await client.ConfidentialEmbeddings.CreateAsync(
            new EmbeddingRequest { Model = stack.Model, Input = new[] { FixtureModel.Answer, FixtureModel.Answer, "words that the fixture does not know" } },
            TestContext.Current.CancellationToken);

        var vectors = list.Data.Select(item => item.Vector.ToFloats()).ToList();
        vectors[0].ShouldBe(vectors[1]);
        vectors[0].ShouldNotBe(vectors[2]);
        (await Ledger.SettledAsync(stack) - before).ShouldBeGreaterThanOrEqualTo(list.Usage!.TotalTokens);
    }

    [Fact]
    public async Task The_older_five_fields_are_enough_where_one_lock_is_open()
    {
        var key = await stack.NewUserAsync();
        using var raw = new RawClient(stack, key);
        using var client = new ConfidentialChatClient(stack.Options(key));
        var request = await raw.SealAsync(RawClient.Chat(stack.Model, "Hello?", stream: false), timeout: 60);
        var fields = SealedFields.From(request.Envelope) with { NodeDhPublicKey = null, ModelName = null, StackSmallId = null, Stream = null };

        var answer = await client.ConfidentialChat.CreateAsync(fields, cancellation: TestContext.Current.CancellationToken);

        request.Answer.TryOpen(answer, out var json).ShouldBeTrue();
        ((string?)JsonNode.Parse(json)!["choices"]![0]!["message"]!["content"]).ShouldNotBeNullOrEmpty();
        var refusal = await Should.ThrowAsync<ApiException>(
            () => client.ConfidentialChat.CreateAsync(fields, cancellation: TestContext.Current.CancellationToken));
        (refusal.Status, refusal.Code, refusal.Param).ShouldBe((400, "INVALID_FIELD", "node_dh_public_key")); // the lock is spent
    }

    private async Task<ConfidentialChatClient> ClientAsync() =>
        new(stack.Options(await stack.NewUserAsync()));
}
