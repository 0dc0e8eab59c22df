namespace ConfidentialChat.Client.Tests;

/// <summary>Says when the head of a confidential request's success has reached the client.</summary>
internal sealed class HeadWatch(TaskCompletionSource begun) : DelegatingHandler(new SocketsHttpHandler { UseProxy = false })
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var response = await base.SendAsync(request, cancellationToken);
        if (response.IsSuccessStatusCode && request.RequestUri!.AbsolutePath.Contains("/confidential/", StringComparison.Ordinal))
            begun.TrySetResult();
        return response;
    }
}
