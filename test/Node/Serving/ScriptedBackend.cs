using System.Runtime.CompilerServices;
using System.Text;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>An engine that does what the test says: for faults. What it answers is no inference.</summary>
internal sealed class ScriptedBackend : IInferenceBackend
{
    public const string Model = "test-model";
    public const string Whole = """{"object":"chat.completion","choices":[{"message":{"content":"an answer"},"finish_reason":"stop"}]}""";

    /// <summary>The chunk that a stream ends with.</summary>
    public const string Finish = """{"object":"chat.completion.chunk","choices":[{"delta":{},"finish_reason":"stop"}]}""";

    /// <summary>How the next request is met.</summary>
    public required Func<InferenceRequest, CancellationToken, Task<InferenceStart>> Script { get; set; }

    public IReadOnlyList<string> Models => [Model];

    public bool IsAlive { get; set; } = true;

    public static ScriptedBackend ThatAnswers(Func<ScriptedAnswer> answer) =>
        new() { Script = (request, _) => Task.FromResult<InferenceStart>(new InferenceStart.Started(answer().As(request))) };

    /// <summary>One whole answer, 3 + 4 tokens.</summary>
    public static ScriptedBackend ThatServes() => ThatAnswers(() => new ScriptedAnswer(_ => Parts(Whole)) { Used = new Usage(3, 4) });

    public static ScriptedBackend ThatRefuses(InferenceRefusal reason, string? field = null) =>
        new() { Script = (_, _) => Task.FromResult<InferenceStart>(new InferenceStart.Refused(reason, field)) };

    public static ScriptedBackend ThatThrows(Func<Exception> exception) => new() { Script = (_, _) => Task.FromException<InferenceStart>(exception()) };

    /// <summary>Parts that are at hand at once.</summary>
    public static async IAsyncEnumerable<string> Parts(params string[] parts)
    {
        await Task.CompletedTask;
        foreach (var part in parts)
            yield return part;
    }

    /// <summary>A chunk object.</summary>
    public static string Chunk(string text) => $$$"""{"object":"chat.completion.chunk","choices":[{"delta":{"content":"{{{text}}}"}}]}""";

    public Task<InferenceStart> StartAsync(InferenceRequest request, CancellationToken cancellation) => Script(request, cancellation);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>An answer by script that tells when it was disposed of, and how many of its parts were asked for.</summary>
/// <param name="parts">The parts; the token is cancelled by disposal, and by a caller who is gone only where <paramref name="listens"/>.</param>
/// <param name="listens">Whether the engine heeds its caller's going, or stops by disposal alone.</param>
internal sealed class ScriptedAnswer(Func<CancellationToken, IAsyncEnumerable<string>> parts, bool listens = true) : InferenceAnswer
{
    private readonly TaskCompletionSource disposed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource stopped = new();
    private int asked;
    private bool isStream;

    public Usage Used { get; set; } = new(3, 4);

    public override Usage Usage => Used;

    /// <summary>Of each part.</summary>
    public string? EventName { get; init; }

    /// <summary>Where it is not what was asked for.</summary>
    public string? OtherContentType { get; init; }

    /// <summary>Whether a stream gets its finish reason behind the parts.</summary>
    public bool Finishes { get; init; } = true;

    public int OtherStatus { get; init; } = 200;

    public override int Status => OtherStatus;

    public override string ContentType => OtherContentType ?? (isStream ? EventStream : Json);

    /// <summary>Answers as it was asked to: a stream, or a whole.</summary>
    public ScriptedAnswer As(InferenceRequest request)
    {
        isStream = request.Stream;
        return this;
    }

    /// <summary>Parts that were asked for.</summary>
    public int Asked => Volatile.Read(ref asked);

    /// <summary>Completes when the engine is told to stop.</summary>
    public Task Disposed => disposed.Task;

    public override async IAsyncEnumerable<AnswerPart> ReadPartsAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        Interlocked.Increment(ref asked);
        using var gone = (listens ? cancellation : CancellationToken.None).UnsafeRegister(_ => stopped.Cancel(), null);
        await foreach (var part in parts(stopped.Token))
        {
            yield return new AnswerPart(Encoding.UTF8.GetBytes(part), EventName);
            Interlocked.Increment(ref asked);
        }

        if (isStream && Finishes && Asked > 1 && EventName is null && OtherContentType is null)
            yield return new AnswerPart(Encoding.UTF8.GetBytes(ScriptedBackend.Finish));
    }

    public override ValueTask DisposeAsync()
    {
        disposed.TrySetResult();
        stopped.Cancel();
        return ValueTask.CompletedTask;
    }
}

/// <summary>A point in a script that the test waits for and lets pass.</summary>
internal sealed class Gate
{
    private readonly TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource open = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task Reached => reached.Task.Soon();

    public void Open() => open.TrySetResult();

    /// <summary>Waits at the gate.</summary>
    public async Task PassAsync(CancellationToken cancellation = default)
    {
        reached.TrySetResult();
        await open.Task.WaitAsync(cancellation);
    }
}
