// spec/envelope-v2.md, for programs that know OpenAI's or Anthropic's API and not this SDK.
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using ConfidentialChat.Client.Receipts;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Client.Transport.V2;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client;

/// <summary>
/// Makes an <see cref="HttpClient"/> confidential: what it posts to an endpoint of OpenAI's or Anthropic's API, at whatever host, is sealed to a verified node
/// (envelope v2), and the answer comes back opened, as a stream where it is one. Safe for concurrent use; one serves a whole program.
/// </summary>
/// <remarks>
/// <para>
/// Taken are <c>POST</c> of <c>/v1/chat/completions</c>, <c>/v1/completions</c>, <c>/v1/embeddings</c>, <c>/v1/images/generations</c>,
/// <c>/v1/responses</c>, <c>/v1/messages</c> and <c>/v1/messages/count_tokens</c> (the last two also with the query <c>beta=true</c>, which is left
/// out), and <c>GET /v1/models</c>, which the gateway answers itself and sees. Anything else is refused before anything is sent. Of the
/// application's request only the JSON goes on, and to <c>/v1/messages</c> the headers <c>anthropic-version</c> and <c>anthropic-beta</c>, sealed
/// with it: no other does, and the key is that of <see cref="ConfidentialChatOptions.BearerKey"/>.
/// </para>
/// <para>
/// The node's refusals are ordinary responses, with its status. Whatever else goes wrong is a <see cref="ConfidentialChatException"/>, also while the
/// answer is read: its stream ends without one only where the answer is whole. Without an inner handler it makes its own.
/// </para>
/// <example>
/// <code>
/// using var http = new HttpClient(new ConfidentialHttpHandler(options));
/// using var answer = await http.PostAsync("https://any.example/v1/chat/completions", JsonContent.Create(request));
/// </code>
/// </example>
/// </remarks>
public sealed class ConfidentialHttpHandler : DelegatingHandler
{
    private const string Models = "/v1/models";
    private const string Json = "application/json";
    private const string Beta = "?beta=true"; // Anthropic's clients write it; anthropic-beta says which

    private readonly ConfidentialChatOptions options;
    private readonly GatewayConnection connection;
    private readonly NodeDirectory directory;
    private readonly EnvelopeV2 envelope;
    private readonly Lock gate = new();

    /// <param name="options">Null takes key, gateway and policy from the environment.</param>
    /// <exception cref="ConfigurationException">There is no usable key, gateway or policy, or the options name a client or envelope v1.</exception>
    public ConfidentialHttpHandler(ConfidentialChatOptions? options = null)
    {
        this.options = options ??= new ConfidentialChatOptions();
        if (options.Envelope is not EnvelopeVersion.V2)
            throw new ConfigurationException($"A {nameof(ConfidentialHttpHandler)} speaks envelope v2 alone.");
        if (options.HttpClient is not null)
            throw new ConfigurationException($"A {nameof(ConfidentialHttpHandler)} sends with its inner handler, not with {nameof(options.HttpClient)}.");
        connection = new GatewayConnection(options, (request, cancellation) => base.SendAsync(request, cancellation));
        directory = new NodeDirectory(connection, options.RequireJudge());
        envelope = new EnvelopeV2(connection, directory, options.TimeProvider);
    }

    /// <summary>The receipt of a response that came through a handler with <see cref="ConfidentialChatOptions.RequireReceipts"/>.</summary>
    /// <returns>Null before its content was read to the end, of a refusal, and where none is required.</returns>
    public static VerifiedReceipt? ReceiptOf(HttpResponseMessage response)
    {
        ArgumentNullException.ThrowIfNull(response);
        return (response.Content as OpenedContent)?.Receipt;
    }

    /// <exception cref="NotSupportedException">The request is none that could be sealed; nothing was sent.</exception>
    /// <exception cref="ArgumentException">Its body is no JSON object with a <c>model</c>; nothing was sent.</exception>
    /// <exception cref="ConfidentialChatException">No answer began.</exception>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        var path = PathOf(request);
        var isList = request.Method == HttpMethod.Get && path == Models && request.Content is null;
        var row = request.Method == HttpMethod.Post && path is not null ? InferenceEndpoints.OfPath(path) : null;
        if (!isList && row is null)
        {
            throw new NotSupportedException(
                $"{ForeignText.Line(request.Method.Method)} {ForeignText.Line(path ?? "of a path with a query")} cannot be sealed; nothing was sent.\nhint: "
                + $"POST of {string.Join(", ", InferenceEndpoints.Table.Select(known => known.Path))} can, and GET {Models} goes through.");
        }

        if (InnerHandler is null)
            TakeInnerHandler();
        var clock = CallClock.Start(options, call: null, cancellationToken);
        var isHandedOn = false;
        try
        {
            var response = await (isList ? ListAsync(clock) : AskAsync(row!, request, clock, cancellationToken)).ConfigureAwait(false);
            response.RequestMessage = request;
            isHandedOn = response.Content is OpenedContent;
            return response;
        }
        finally
        {
            if (!isHandedOn)
                clock.Dispose();
        }
    }

    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken) =>
        throw new NotSupportedException("Send asynchronously.");

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            connection.Dispose();
            directory.Dispose();
        }

        base.Dispose(disposing);
    }

    // Null where there is a query: what would become of it is not known.
    private static string? PathOf(HttpRequestMessage request)
    {
        if (request.RequestUri is not { } uri)
            return null;
        if (!uri.IsAbsoluteUri)
            return uri.OriginalString.AsSpan().ContainsAny('?', '#') ? null : "/" + uri.OriginalString.TrimStart('/');
        var isBeta = uri.Query == Beta && InferenceEndpoints.OfPath(uri.AbsolutePath)?.Api is InferenceApi.Messages;
        return uri.Query.Length == 0 || isBeta ? uri.AbsolutePath : null;
    }

    private void TakeInnerHandler()
    {
        lock (gate)
            InnerHandler ??= GatewayConnection.MakeHandler(connection.Root);
    }

    private async Task<HttpResponseMessage> ListAsync(CallClock clock)
    {
        var attempts = new Attempts(options.Retries, clock, isSealedAnew: false);
        var json = await attempts.RunAsync(() => connection.ReadJsonAsync(HttpMethod.Get, Models[1..], null, clock)).ConfigureAwait(false);
        return new HttpResponseMessage(HttpStatusCode.OK) { Content = new ReadOnlyMemoryContent(json) { Headers = { ContentType = new(Json) } } };
    }

    private async Task<HttpResponseMessage> AskAsync(
        InferenceEndpointRow row, HttpRequestMessage request, CallClock clock, CancellationToken cancellation)
    {
        if (request.Content is not { } content || content.Headers.ContentEncoding.Count > 0
            || content.Headers.ContentType is not { } type || !string.Equals(type.MediaType, Json, StringComparison.OrdinalIgnoreCase))
            throw new NotSupportedException($"A request that can be sealed has a body of {Json}, not compressed; nothing was sent.");
        var isMessages = row.Api is InferenceApi.Messages;
        var call = new CallOptions
        {
            AnthropicVersion = isMessages ? HeaderOf(request, "anthropic-version") : null,
            AnthropicBeta = isMessages ? HeaderOf(request, "anthropic-beta") : null,
        };
        var plain = PlainRequest.Read(row.Endpoint, await content.ReadAsByteArrayAsync(cancellation).ConfigureAwait(false)).With(call, options);
        var attempts = new Attempts(options.Retries, clock, isSealedAnew: true);
        try
        {
            var answer = await envelope.BeginAsync(plain, attempts, onNode: null, ReceiptDemand.Of(options, call: null), clock).ConfigureAwait(false);
            return new HttpResponseMessage((HttpStatusCode)answer.Status) { Content = new OpenedContent(answer, clock) };
        }
        catch (NodeApiException e)
        {
            return Refusal(e);
        }
    }

    private static string? HeaderOf(HttpRequestMessage request, string name) =>
        request.Headers.TryGetValues(name, out var values) ? string.Join(',', values) : null;

    // What the node said, to a program that reads statuses.
    private static HttpResponseMessage Refusal(NodeApiException refusal)
    {
        var response = new HttpResponseMessage((HttpStatusCode)refusal.Status) { Content = new ByteArrayContent(Encoding.UTF8.GetBytes(refusal.Body)) };
        if (refusal.Headers.TryGetValue("content-type", out var types))
            response.Content.Headers.TryAddWithoutValidation("Content-Type", types);
        if (refusal.RetryAfter is { } wait)
            response.Headers.RetryAfter = new RetryConditionHeaderValue(wait);
        return response;
    }
}
