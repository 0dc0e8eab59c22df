using System.Text;
using ConfidentialChat.Fixtures;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Tests.Llama;
using ConfidentialChat.Node.Tests.Upstream;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/inference.md section 5: what is refused costs little, however large it is. bench/attacks/refused_requests.sh shows the figures.</summary>
public sealed class RefusedCostTests(Engine engine, ITestOutputHelper output) : IClassFixture<Engine>
{
    private const int Size = 22 << 20; // bytes: of a sealed body of 32 MiB, base64 and its own members taken off
    private const long AllocatedMax = 4 << 20; // bytes
    private const int Context = 8192;

    private static string Model => FixtureModel.Name;

    public static TheoryData<string, string, string> Attacks => new()
    {
        { "messages", """{"model":"#","stream":false,"messages":[""", """{"role":"user","content":""}""" },
        { "messages of one word", """{"model":"#","stream":false,"messages":[""", """{"role":"user","content":"a"}""" },
        { "wrong messages", """{"model":"#","stream":false,"messages":[""", """{"role":7,"content":{"x":[]}}""" },
        { "parts", """{"model":"#","stream":false,"messages":[{"role":"user","content":[""", """{"type":"text","text":""}""" },
        { "members of a message", """{"model":"#","stream":false,"messages":[{"role":"user","content":"a","x":[0],""", "\"a\":0" },
        { "names of a message that are no text", """{"model":"#","stream":false,"messages":[{"role":"user","content":"a","x":[0],""", "\"\\ud800\":0" },
        { "arrays in a message", """{"model":"#","stream":false,"messages":[{"role":"user","content":"a","x":[""", "[]" },
        { "members of the request", """{"model":"#","stream":false,"messages":[],""", "\"a\":0" },
        { "token biases", """{"model":"#","stream":false,"messages":[{"role":"user","content":7}],"logit_bias":{""", "\"1\":0" },
        { "stop texts", """{"model":"#","stream":false,"messages":[{"role":"user","content":"a"}],"n":"x","stop":[""", "\"a\"" },
        { "one word after the other", """{"model":"#","stream":false,"messages":[{"role":"user","content":"a""", " word" },
        { "escapes", """{"model":"#","stream":false,"messages":[{"role":"user","content":"a""", "\\u0061" },
    };

    [Theory]
    [MemberData(nameof(Attacks))]
    public void A_giant_request_for_a_small_context_is_refused_for_little_by_the_embedded_engine(string what, string beginning, string piece)
    {
        var request = new InferenceRequest
        {
            Endpoint = InferenceEndpoint.ChatCompletions,
            Model = Model,
            Stream = false,
            Body = Giant(beginning, piece, Model),
            MaxUnits = new ComputeUnits(Context + Size),
        };
        ShouldBeRefusedForLittle(what, request, engine.Backend);
    }

    [Theory]
    [MemberData(nameof(Attacks))]
    public async Task A_giant_request_for_a_small_context_is_refused_for_little_before_an_HTTP_engine_sees_it(string what, string beginning, string piece)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Engine = "vllm", MaxModelLen = Context });
        var request = new InferenceRequest
        {
            Endpoint = InferenceEndpoint.ChatCompletions,
            Model = ScriptedBackend.Model,
            Stream = false,
            Body = Giant(beginning, piece, ScriptedBackend.Model),
            MaxUnits = new ComputeUnits(Context + Size),
        };
        ShouldBeRefusedForLittle(what, request, upstream.Backend);
        upstream.Engine.Counters.Requests.ShouldBe(0);
    }

    // What the node does once a request is opened: both readers, on one thread up to the refusal.
    private void ShouldBeRefusedForLittle(string what, InferenceRequest request, IInferenceBackend backend)
    {
        using var key = X25519PrivateKey.Generate();
        SealedRequest.TrySeal("{}"u8, new OuterFields { NodeKey = key.PublicKey, Model = request.Model, Stack = new StackId(1), Stream = false }, out var seal)
            .ShouldBeTrue();
        using var _ = seal;
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var began = Environment.CpuUsage.TotalTime;
        var isRefused = !InnerRequest.TryCheck(request.Body.Span, seal!.Envelope, streamRequired: true, out var inner, out var rejection);
        var start = isRefused ? null : backend.StartAsync(request, CancellationToken.None);
        var isAtOnce = start?.IsCompleted ?? true;
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        output.WriteLine($"{backend.GetType().Name}, {what}: {(Environment.CpuUsage.TotalTime - began).TotalMilliseconds:0} ms of processor time, {allocated / 1048576.0:0.0} MiB");

        isAtOnce.ShouldBeTrue();
        (isRefused ? rejection!.Error.ToString() : start!.Result.ShouldBeOfType<InferenceStart.Refused>().Reason.ToString())
            .ShouldBeOneOf("InvalidField", "ContextTooLarge");
        allocated.ShouldBeLessThan(AllocatedMax);
    }

    // The piece again and again, then all that is open is closed.
    private static byte[] Giant(string beginning, string piece, string model)
    {
        var isText = beginning.Count(letter => letter == '"') % 2 != 0;
        var body = new StringBuilder(beginning.Replace("#", model, StringComparison.Ordinal), Size + 1024);
        while (body.Length < Size)
            body.Append(piece).Append(isText ? "" : ",");
        if (!isText)
            body.Length--;
        else
            body.Append('"');
        var open = new Stack<char>();
        var isInside = false;
        foreach (var letter in beginning)
        {
            if (letter == '"')
                isInside = !isInside;
            else if (!isInside && letter is '{' or '[')
                open.Push(letter == '{' ? '}' : ']');
            else if (!isInside && letter is '}' or ']')
                open.Pop();
        }

        return Encoding.UTF8.GetBytes(body.Append([.. open]).ToString());
    }
}
