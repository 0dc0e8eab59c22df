using System.ClientModel;
using System.ClientModel.Primitives;
using ConfidentialChat.Client;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Extensions.AI;
using ConfidentialChat.Fixtures;
using Microsoft.Extensions.AI;
using OpenAI;

namespace ConfidentialChat.Clients.Tests;

/// <summary>The same clients against <c>cchat up</c> with its own engine: chat and embeddings.</summary>
public sealed class EmbeddedEngineTests(RunningStack stack) : IClassFixture<RunningStack>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_OpenAI_package_asks_whole_and_streamed_and_has_vectors()
    {
        using var http = new HttpClient(new ConfidentialHttpHandler(stack.Options()));
        var openai = new OpenAIClient(
            new ApiKeyCredential("unused"),
            new OpenAIClientOptions { Endpoint = new Uri("https://confidential.invalid/v1"), Transport = new HttpClientPipelineTransport(http) });
        var chat = openai.GetChatClient(stack.Model);
        var coldly = new OpenAI.Chat.ChatCompletionOptions { Temperature = 0 };
        OpenAI.Chat.ChatCompletion whole = await chat.CompleteChatAsync([OpenAI.Chat.ChatMessage.CreateUserMessage("Hello?")], coldly, Cancellation);
        whole.Content.Single().Text.ShouldBe(FixtureModel.Answer);
        whole.FinishReason.ShouldBe(OpenAI.Chat.ChatFinishReason.Stop);
        var (text, updates) = ("", 0);
        await foreach (var update in chat.CompleteChatStreamingAsync([OpenAI.Chat.ChatMessage.CreateUserMessage("Hello?")], coldly, Cancellation))
        {
            text += string.Concat(update.ContentUpdate.Select(part => part.Text));
            updates++;
        }

        text.ShouldBe(FixtureModel.Answer);
        updates.ShouldBeGreaterThan(2);
        string[] texts = [FixtureModel.Answer, FixtureModel.Answer, "words that it does not know"];
        var vectors = (await openai.GetEmbeddingClient(stack.Model).GenerateEmbeddingsAsync(texts, null, Cancellation)).Value;
        vectors[0].ToFloats().ToArray().ShouldBe(vectors[1].ToFloats().ToArray());
        vectors[0].ToFloats().ToArray().ShouldNotBe(vectors[2].ToFloats().ToArray());
    }

    [Fact]
    public async Task Microsoft_Extensions_AI_asks_whole_and_streamed_and_has_vectors()
    {
        using var client = new ConfidentialChatClient(stack.Options());
        var chat = client.AsIChatClient(stack.Model);
        var coldly = new ChatOptions { Temperature = 0 };
        (await chat.GetResponseAsync("Hello?", coldly, Cancellation)).Text.ShouldBe(FixtureModel.Answer);
        var response = await chat.GetStreamingResponseAsync("Hello?", coldly, Cancellation).ToChatResponseAsync(Cancellation);
        response.Text.ShouldBe(FixtureModel.Answer);
        response.FinishReason.ShouldBe(ChatFinishReason.Stop);
        response.Usage!.OutputTokenCount!.Value.ShouldBeGreaterThan(0);
        string[] texts = [FixtureModel.Answer, "words that it does not know"];
        var vectors = await client.AsIEmbeddingGenerator(stack.Model).GenerateAsync(texts, cancellationToken: Cancellation);
        vectors[0].Vector.ToArray().ShouldNotBe(vectors[1].Vector.ToArray());
    }
}
