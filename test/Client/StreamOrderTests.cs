using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Tests;

/// <summary>spec/envelope-v1.md section 8: a gateway that opens nothing drops, moves and repeats what a node has sealed.</summary>
public sealed class StreamOrderTests
{
    [Theory]
    [InlineData("a chunk in the middle is dropped", "a", 0, 2, 3)]
    [InlineData("the first is dropped", "", 1, 2, 3)]
    [InlineData("two change places", "a", 0, 2, 1, 3)]
    [InlineData("there is only its end", "", 3)]
    [InlineData("text follows its end", "ab", 0, 1, 3, 2)]
    public async Task A_stream_that_a_relay_rearranged_ends_with_a_fault_after_what_was_in_order(string how, string seen, params int[] sent)
    {
        var exception = await FaultAsync(sent, seen);
        exception.ShouldBeOfType<AnswerAuthenticationException>(how);
    }

    [Theory]
    [InlineData("abc", 0, 1, 2)]
    [InlineData("ab", 0, 1)]
    public async Task A_stream_whose_end_a_relay_dropped_is_truncated(string seen, params int[] sent) =>
        (await FaultAsync(sent, seen)).ShouldBeOfType<StreamTruncatedException>();

    [Fact]
    public async Task A_usage_chunk_that_a_relay_dropped_behind_the_finish_reason_is_missed()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            await call.SendAsync($"data: {call.Event(Chats.Chunk("a", "stop"))}\n\n");
            call.Event(Chats.UsageChunk, isLast: true);
        });
        using var client = gateway.Client();
        await Should.ThrowAsync<StreamTruncatedException>(() => client.ReadAsync());
    }

    [Fact]
    public async Task A_chunk_that_a_relay_keeps_back_until_the_end_has_passed_is_a_fault_and_not_a_longer_answer()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            var first = call.Event(Chats.Chunk("a"));
            await call.SendAsync($"data: {first}\n\ndata: {call.Event(Chats.Chunk("b", "stop"), isLast: true)}\n\ndata: {first}\n\n");
        });
        using var client = gateway.Client();
        List<string> seen = [];
        await Should.ThrowAsync<AnswerAuthenticationException>(() => client.ReadAsync(seen));
        string.Concat(seen).ShouldBe("ab");
    }

    // As nodes did before there was an order: nobody between can take it off, and nobody may think that a cut stream is whole.
    [Fact]
    public async Task A_stream_of_an_older_node_is_refused_and_the_reason_is_said()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            var older = call.Whole(Chats.Chunk("a", "stop")); // an event without its place is sealed as a whole answer is
            await call.SendAsync($"data: {older}\n\n");
        });
        using var client = gateway.Client();
        var exception = await Should.ThrowAsync<InvalidAnswerException>(() => client.ReadAsync());
        exception.Message.ShouldContain("older");
        exception.Message.ShouldContain("hint: have the node updated");
    }

    [Fact]
    public async Task The_members_of_order_are_seen_by_no_caller_and_an_engines_own_of_that_name_are_left()
    {
        string[] chunks = [Chats.Chunk("a").Replace("{\"id\"", "{\"seq\":5,\"id\"", StringComparison.Ordinal), Chats.Chunk("b", "stop")];
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync(chunks));
        using var client = gateway.Client();
        await using var answer = await client.SendAsync(
            InferenceEndpoint.ChatCompletions, System.Text.Encoding.UTF8.GetBytes("""{"model":"tiny","messages":[],"stream":true}"""));
        List<string> seen = [];
        await foreach (var part in answer.ReadEventsAsync())
            seen.Add(System.Text.Encoding.UTF8.GetString(part.Data.Span));
        seen.ShouldBe(chunks);
    }

    // The events a, b, c and the end, of which some are sent.
    private static async Task<Exception> FaultAsync(int[] sent, string expected)
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            string[] events =
                [call.Event(Chats.Chunk("a")), call.Event(Chats.Chunk("b")), call.Event(Chats.Chunk("c")), call.Event(Chats.Chunk("", "stop"), isLast: true)];
            foreach (var which in sent)
                await call.SendAsync($"data: {events[which]}\n\n");
        });
        using var client = gateway.Client();
        List<string> seen = [];
        var exception = await Should.ThrowAsync<ConfidentialChatException>(() => client.ReadAsync(seen));
        string.Concat(seen).ShouldBe(expected);
        return exception;
    }
}
