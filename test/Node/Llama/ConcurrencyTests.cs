using System.Globalization;
using ConfidentialChat.Fixtures;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Tests.Llama;

/// <summary>Many at once, some slow, some gone: none is another's business.</summary>
public sealed class ConcurrencyTests(Engine engine) : IClassFixture<Engine>
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(8)]
    [InlineData(16)] // half of them wait
    public async Task Requests_at_once_each_get_their_own_answer(int count)
    {
        // Each forbids another word and limits itself otherwise, so no answer fits two requests.
        string[] words = [" gives", " the same", " shows", " made", " sealed", " rare", " easy", " letters"];
        var alone = new List<string>();
        for (var i = 0; i < count; i++)
            alone.Add((await engine.AskAsync(BodyOf(i))).Text);

        var together = await Task.WhenAll(Enumerable.Range(0, count).Select(i => Task.Run(() => engine.AskAsync(BodyOf(i), stream: i % 2 == 0))));

        together.Select(reply => reply.Text).ShouldBe(alone);
        alone.Distinct(StringComparer.Ordinal).Count().ShouldBe(count);

        string BodyOf(int i) => Asking.Body(new string('a', 1 + (i * 37)), new
        {
            logit_bias =
                new Dictionary<string, object>(StringComparer.Ordinal) { [FixtureModel.TokenId(words[i % 8]).ToString(CultureInfo.InvariantCulture)] = -100 },
            max_tokens = FixtureModel.AnswerTokenCount - i,
        });
    }

    [Fact]
    public async Task Twenty_requests_through_two_sequences_are_all_answered()
    {
        await using var small = await engine.StartAnotherAsync(sequences: 2, waitingMax: 18);

        var replies = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => Task.Run(() => small.AskAsync(Asking.Body($"{i}"), stream: i % 3 == 0))));

        replies.ShouldAllBe(reply => reply.Text == FixtureModel.Answer && reply.FinishReason == "stop");
    }

    [Fact]
    public async Task With_every_place_taken_a_request_is_refused_and_one_that_hangs_up_makes_room()
    {
        await using var small = await engine.StartAnotherAsync(sequences: 1, waitingMax: 1);
        var speaking = await small.BeginAsync(Asking.Endless());
        var waiting = await small.BeginAsync(Asking.Body());
        (await small.AskAsync(Asking.Body())).Refusal!.Reason.ShouldBe(InferenceRefusal.Busy);

        await speaking.DisposeAsync();

        (await waiting.ReadAsync()).Text.ShouldBe(FixtureModel.Answer);
        (await small.AskAsync(Asking.Body())).Text.ShouldBe(FixtureModel.Answer);
        await waiting.DisposeAsync();
    }

    [Fact]
    public async Task A_request_that_hangs_up_while_it_waits_costs_nothing()
    {
        await using var small = await engine.StartAnotherAsync(sequences: 1, waitingMax: 1);
        await using var speaking = await small.BeginAsync(Asking.Endless());
        var waiting = await small.BeginAsync(Asking.Body());

        await waiting.DisposeAsync();

        waiting.Usage.ShouldBe(new Usage(0, 0));
        await Should.ThrowAsync<OperationCanceledException>(waiting.ReadAsync);
        await using var next = await small.BeginAsync(Asking.Body());
    }

    [Fact]
    public async Task A_caller_who_is_gone_frees_the_sequence_at_once()
    {
        await using var small = await engine.StartAnotherAsync(sequences: 1, waitingMax: 0);
        for (var i = 0; i < 20; i++)
        {
            using var gone = new CancellationTokenSource();
            await using var answer = await small.BeginAsync(Asking.Endless(), cancellation: gone.Token);
            var read = answer.ReadAsync();

            await gone.CancelAsync();

            await Should.ThrowAsync<OperationCanceledException>(read.WaitAsync(Soon));
            await answer.DisposeAsync();
            (await small.AskAsync(Asking.Body())).Text.ShouldBe(FixtureModel.Answer);
        }
    }

    [Fact]
    public async Task After_disposal_the_usage_is_what_was_computed_and_stays()
    {
        var answer = await engine.Backend.BeginAsync(Asking.Endless());
        await using (var parts = answer.ReadPartsAsync(CancellationToken.None).GetAsyncEnumerator())
        {
            for (var i = 0; i < 10; i++)
                (await parts.MoveNextAsync()).ShouldBeTrue();
        }

        await answer.DisposeAsync();
        var usage = answer.Usage;
        await answer.DisposeAsync();

        usage.CompletionTokens.ShouldBeGreaterThanOrEqualTo(9);
        (await engine.AskAsync(Asking.Body())).Text.ShouldBe(FixtureModel.Answer);
        answer.Usage.ShouldBe(usage);
    }

    [Fact]
    public async Task A_reader_who_takes_nothing_stops_its_own_text_and_no_one_elses()
    {
        await using var small = await engine.StartAnotherAsync(sequences: 2);
        await using var slow = await small.BeginAsync(Asking.Endless(new { max_tokens = 3000 }), maxUnits: 8192);

        for (var i = 0; i < 5; i++)
            (await small.AskAsync(Asking.Body())).Text.ShouldBe(FixtureModel.Answer);

        // Hundreds of steps later the slow one is where it was left: memory is bounded by the pieces that may wait.
        slow.Usage.CompletionTokens.ShouldBeLessThan(100);
        var reply = await slow.ReadAsync().WaitAsync(Soon);
        reply.Usage.CompletionTokens.ShouldBe(3000);
        reply.Text.ShouldStartWith(FixtureModel.Answer + FixtureModel.Separator + FixtureModel.Answer);
    }

    [Fact]
    public async Task A_long_prompt_does_not_keep_others_from_speaking()
    {
        await using var small = await engine.StartAnotherAsync(sequences: 2);
        await using var speaking = await small.BeginAsync(Asking.Endless(new { max_tokens = 2000 }));
        await using var parts = speaking.ReadPartsAsync(CancellationToken.None).GetAsyncEnumerator();
        (await parts.MoveNextAsync()).ShouldBeTrue();

        var read = small.AskAsync(Asking.Body(new string('7', 8000), new { max_tokens = 1 }));
        while (!read.IsCompleted)
            (await parts.MoveNextAsync()).ShouldBeTrue();

        (await read).Usage.PromptTokens.ShouldBeGreaterThan(8000);
    }

    [Fact]
    public async Task An_engine_that_is_stopped_ends_its_answers_with_a_failure()
    {
        var small = await engine.StartAnotherAsync(sequences: 1, waitingMax: 1);
        var speaking = await small.BeginAsync(Asking.Endless());
        var waiting = await small.BeginAsync(Asking.Body());
        var reads = new[] { speaking.ReadAsync(), waiting.ReadAsync() };

        await small.DisposeAsync();
        await small.DisposeAsync();

        foreach (var read in reads)
            (await Should.ThrowAsync<InferenceException>(read.WaitAsync(Soon))).Failure.ShouldBe(InferenceFailure.Failed);
        await speaking.DisposeAsync();
        await waiting.DisposeAsync();
        await Should.ThrowAsync<ObjectDisposedException>(() => small.StartAsync(Asking.Request(Asking.Body()), CancellationToken.None));
    }

    [Fact]
    public async Task An_engine_that_is_stopped_while_requests_come_in_fails_each_of_them_and_crashes_nothing()
    {
        for (var round = 0; round < 10; round++)
        {
            var small = await engine.StartAnotherAsync(sequences: 2, waitingMax: 100);
            var asking = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
            {
                while (true)
                    await small.AskAsync(Asking.Body(new string('x', 2000), new { max_tokens = 2 }));
            })).ToArray();
            await small.AskAsync(Asking.Body());

            await small.DisposeAsync();

            foreach (var task in asking)
            {
                var failure = await Should.ThrowAsync<Exception>(task.WaitAsync(Soon));
                (failure is ObjectDisposedException or InferenceException).ShouldBeTrue(failure.ToString());
            }
        }
    }

    [Fact]
    public async Task An_answer_is_read_once()
    {
        await using var answer = await engine.Backend.BeginAsync(Asking.Body());
        await answer.ReadAsync();

        await Should.ThrowAsync<InvalidOperationException>(answer.ReadAsync);
    }

    [Fact]
    public async Task A_request_that_is_cancelled_before_it_begins_does_not_begin()
    {
        await Should.ThrowAsync<OperationCanceledException>(() => engine.Backend.StartAsync(Asking.Request(Asking.Body()), new CancellationToken(true)));
    }
}
