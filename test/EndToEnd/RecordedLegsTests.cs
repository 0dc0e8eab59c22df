using System.Text;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;
using ConfidentialChat.Protocol.Shape;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>Envelope v2 as a proxy sees it that stands on both legs: between client and gateway, and between gateway and node.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class RecordedLegsTests
{
    private const string PromptCanary = "quillfeather-4c1f";
    private const string Path = "/v1/chat/completions";

    // Sealed chunk of 16,384 bytes at most: its tag.
    private const int TagSize = 16;

    // Header of the encapsulation and the X-Wing ciphertext; spec/oblivious-v2.md section 5.
    private const int RequestHeadSize = 7 + 1120;
    private const int ResponseNonceSize = 32;

    /// <summary>What the inner messages have and nothing outside does.</summary>
    private static readonly string[] Inner =
        [PromptCanary, FixtureModel.Canary, Path, "text/event-stream", "chat.completion", "finish_reason", "invalid_request_error", "INVALID_FIELD"];

    [Fact]
    public async Task Neither_prompt_answer_path_header_nor_status_of_what_is_inside_is_on_either_leg()
    {
        await using var stack = new RunningStack();
        await stack.InitializeAsync();
        using (var client = Client(stack))
        {
            var request = Request(stack, $"What is {PromptCanary}?");
            (await client.ConfidentialChat.CreateAsync(request, TestContext.Current.CancellationToken)).Choices[0].Message.Content!.Text
                .ShouldContain(FixtureModel.Canary);
            (await StreamAsync(client, request)).ShouldContain(FixtureModel.Canary);

            // A refusal from inside is a status, a code and words.
            var refused = await Should.ThrowAsync<NodeApiException>(
                () => client.ConfidentialChat.CreateAsync(Request(stack, PromptCanary, temperature: 99), TestContext.Current.CancellationToken));
            (refused.Status, refused.Code).ShouldBe((400, "INVALID_FIELD"));
        }

        var legs = stack.RecordedLegs;
        foreach (var leg in legs)
        {
            var relayed = Relayed(leg);
            relayed.Count.ShouldBe(3);
            relayed.ShouldAllBe(exchange => exchange.Answer!.FirstLine.StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal)); // the refusal too
            relayed.ShouldAllBe(exchange => exchange.Answer!.Header("Content-Type") == "message/ohttp-chunked-res");
            foreach (var text in Inner)
                leg.ShouldNotContain(recording => Needle.IsIn(recording.Bytes, text), $"{text} is on the wire");
            leg.ShouldNotContain(recording => Encoding.Latin1.GetString(recording.Bytes).Contains("\r\n\r\n{\"error\"", StringComparison.Ordinal));
        }

        // A whole answer and a refusal differ by the class of their sizes alone, and here not even by that.
        var outside = Relayed(legs[0]);
        outside[2].Answer!.Body.Length.ShouldBe(outside[0].Answer!.Body.Length);
        outside.Select(exchange => Names(exchange.Answer!)).Distinct().Count().ShouldBe(1);
        outside.Select(exchange => Names(exchange.Request)).Distinct().Count().ShouldBe(1);
    }

    // The search is able to find: the same words are on the wire where nothing is sealed.
    [Fact]
    public async Task What_is_searched_for_is_found_where_it_is_not_sealed()
    {
        await using var stack = new RunningStack();
        await stack.InitializeAsync();
        using var http = new HttpClient();
        using var content = new StringContent($$"""{"model":"{{PromptCanary}}","finish_reason":1}""", Encoding.UTF8, "text/event-stream");
        using var answer = await http.PostAsync(new Uri(stack.Gateway, Path), content, TestContext.Current.CancellationToken);
        var leg = stack.RecordedLegs[0];
        foreach (var text in (string[])[PromptCanary, Path, "text/event-stream", "finish_reason"])
            leg.ShouldContain(recording => Needle.IsIn(recording.Bytes, text), text);
    }

    [Fact]
    public async Task A_hundred_prompts_of_one_size_class_have_one_size_and_those_of_the_next_another()
    {
        await using var stack = new RunningStack();
        await stack.InitializeAsync();
        using var client = Client(stack);
        var random = new Random(20_261_128);
        for (var i = 0; i < 100; i++)
        {
            // From a word to about 1,500 bytes: with what stands around it, all are messages of at most 2,048.
            var prompt = string.Concat(Enumerable.Range(0, 1 + (i * 15)).Select(_ => (char)random.Next('a', 'z' + 1)));
            await client.ConfidentialChat.CreateAsync(Request(stack, prompt, maxTokens: 1), TestContext.Current.CancellationToken);
        }

        await client.ConfidentialChat.CreateAsync(Request(stack, new string('x', 2_100), maxTokens: 1), TestContext.Current.CancellationToken);
        foreach (var leg in stack.RecordedLegs)
        {
            var relayed = Relayed(leg);
            relayed.Count.ShouldBe(101);
            relayed[..100].Select(exchange => exchange.Request.Body.Length).Distinct().ShouldHaveSingleItem();
            relayed[..100].Select(exchange => exchange.Request.Header("Confidential-Max-Units")).Distinct().ShouldHaveSingleItem();
            relayed[0].Request.Body.Length.ShouldBe(RequestHeadSize + 1 + MessagePadding.MinSize + TagSize);
            relayed[100].Request.Body.Length.ShouldBeGreaterThan(relayed[0].Request.Body.Length);
        }
    }

    [Fact]
    public async Task The_sizes_of_a_streams_chunks_do_not_tell_the_lengths_of_its_tokens()
    {
        await using var stack = new RunningStack();
        await stack.InitializeAsync();
        var pieces = new List<string>();
        using (var client = Client(stack))
        {
            await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(Request(stack, "Hello?"), TestContext.Current.CancellationToken))
                pieces.AddRange(chunk.Choices.Select(choice => choice.Delta?.Content).Where(piece => !string.IsNullOrEmpty(piece))!);
        }

        pieces.Select(piece => Encoding.UTF8.GetByteCount(piece)).Distinct().Count().ShouldBeGreaterThan(5); // tokens of many lengths
        foreach (var leg in stack.RecordedLegs)
        {
            var sizes = ChunkSizes(Relayed(leg).ShouldHaveSingleItem().Answer!.Body);
            sizes.Count.ShouldBeGreaterThanOrEqualTo(pieces.Count);
            sizes.ShouldAllBe(size => (size - TagSize) % EventPadder.BlockSize == 0);
            sizes.Skip(1).Take(pieces.Count - 1).Distinct().ShouldHaveSingleItem(); // the first has the head besides
        }
    }

    [Fact]
    public async Task The_default_policy_refuses_a_simulated_node_before_a_byte_of_the_prompt_leaves()
    {
        await using var stack = new RunningStack();
        await stack.InitializeAsync();
        var before = stack.RecordedLegs[1].Count;
        foreach (var envelope in (EnvelopeVersion[])[EnvelopeVersion.V1, EnvelopeVersion.V2])
        {
            using var client = Client(stack, Policy.Default, envelope);
            var refusal = await Should.ThrowAsync<AttestationException>(
                () => client.ConfidentialChat.CreateAsync(Request(stack, PromptCanary), TestContext.Current.CancellationToken));
            refusal.Refused.ShouldHaveSingleItem().Factors.ShouldContain(factor => factor.Name.Value == "bundle.tee");
            refusal.Message.ShouldNotContain(PromptCanary);
        }

        var asked = RecordedExchange.Read(stack.RecordedLegs[0]).Select(exchange => exchange.Request).ToList();
        asked.Select(request => request.FirstLine.Split(' ', '?')[1]).Distinct().ShouldBe(["/v2/nodes", "/v2/nodes/1/evidence"], ignoreOrder: true);
        asked.ShouldAllBe(request => request.FirstLine.StartsWith("GET ", StringComparison.Ordinal) && request.Body.Length == 0);
        Relayed(stack.RecordedLegs[1]).ShouldBeEmpty();
        before.ShouldBeGreaterThan(0); // the tap stands: the gateway looked at its node there
    }

    private static ChatCompletionRequest Request(RunningStack stack, string prompt, int maxTokens = 400, double temperature = 0) =>
        new() { Model = stack.Model, Messages = [ChatMessage.User(prompt)], Temperature = temperature, MaxTokens = maxTokens };

    private static ConfidentialChatClient Client(RunningStack stack, Policy? policy = null, EnvelopeVersion envelope = EnvelopeVersion.V2) =>
        new((policy is null ? stack.Options() : stack.Options() with { Policy = policy }) with { Envelope = envelope, Retries = RetryConfig.None });

    private static async Task<string> StreamAsync(ConfidentialChatClient client, ChatCompletionRequest request)
    {
        var text = new StringBuilder();
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, TestContext.Current.CancellationToken))
            text.Append(chunk.Choices.FirstOrDefault()?.Delta?.Content);
        return text.ToString();
    }

    private static List<RecordedExchange> Relayed(IReadOnlyList<Recording> leg) =>
        [.. RecordedExchange.Read(leg).Where(exchange => exchange.Request.FirstLine.Contains("/relay ", StringComparison.Ordinal))];

    private static string Names(RecordedMessage message) => string.Join(
        ",", message.Head.Split("\r\n").Skip(1).Select(line => line.Split(':')[0]).Where(name => name is not "Content-Length").Order(StringComparer.Ordinal));

    /// <summary>Of the sealed chunks of an answer, without their lengths: spec/oblivious-v2.md sections 6 and 7.</summary>
    private static List<int> ChunkSizes(byte[] answer)
    {
        var sizes = new List<int>();
        for (var at = ResponseNonceSize; at < answer.Length;)
        {
            var width = 1 << (answer[at] >> 6); // varint of RFC 9000
            var size = answer[at] & 0x3F;
            foreach (var octet in answer.AsSpan(at + 1, width - 1))
                size = (size << 8) | octet;
            at += width;
            sizes.Add(size == 0 ? answer.Length - at : size);
            at += sizes[^1];
        }

        return sizes;
    }
}
