using System.Runtime.CompilerServices;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>A caller who hangs up costs what was computed and no more: the engine stops at once, also one that does not listen.</summary>
public sealed class CallerGoneTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Hanging_up_in_the_stream_stops_the_engine_at_once_and_is_reported(bool engineListens)
    {
        var gate = new Gate();
        var answer = new ScriptedAnswer(stopped => OneThenSilence(gate, stopped), engineListens) { Used = new Usage(10, 1) };
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => answer));
        var call = node.Seal(stream: true);
        var token = node.Gateway.Token();
        using (var response = await node.PostAsync(call, token))
        using (var events = await EventStream.OpenAsync(call, response))
        {
            (await events.NextAsync()).ShouldBe(ScriptedBackend.Chunk("a"));
            await gate.Reached;
        }

        await ShouldEndAsync(node, answer, token.Request);
        (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(11);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Hanging_up_before_the_first_byte_stops_the_engine_at_once_and_is_reported(bool engineListens)
    {
        var gate = new Gate();
        var answer = new ScriptedAnswer(stopped => Silence(gate, stopped), engineListens) { Used = new Usage(10, 0) };
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => answer));
        var token = node.Gateway.Token();
        using var patience = new CancellationTokenSource();
        var post = node.PostAsync(node.Seal(), token, patience.Token);
        await gate.Reached;
        await patience.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(post);

        await ShouldEndAsync(node, answer, token.Request);
        (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(10);
    }

    private static async Task ShouldEndAsync(NodeUnderTest node, ScriptedAnswer answer, Protocol.RequestId request)
    {
        await answer.Disposed.Soon();
        await node.Gateway.ReportAsync(request);
        node.Log.Text.ShouldContain($"{request}: CLIENT_GONE");
        node.Log.Text.ShouldNotContain(" fail: ");
        node.App.Services.GetRequiredService<Node.Serving.Seating>().Running.ShouldBe(0);
    }

    private static async IAsyncEnumerable<string> OneThenSilence(Gate gate, [EnumeratorCancellation] CancellationToken stopped)
    {
        yield return ScriptedBackend.Chunk("a");
        await gate.PassAsync(stopped);
    }

    private static async IAsyncEnumerable<string> Silence(Gate gate, [EnumeratorCancellation] CancellationToken stopped)
    {
        await gate.PassAsync(stopped);
        yield break;
    }
}
