using System.Buffers;
using System.Net.Http.Headers;

namespace ConfidentialChat.Bench.WholePath.Servers;

/// <summary>What a relay cannot leave out: take the body, send it on, copy the answer as it comes. No state, no checks.</summary>
internal sealed class FloorRelay(Uri destination)
{
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly HttpMessageInvoker invoker = new(Connections.Handler());

    public async Task RelayAsync(HttpContext http)
    {
        var size = (int)http.Request.ContentLength!.Value;
        var body = ArrayPool<byte>.Shared.Rent(size);
        await http.Request.Body.ReadExactlyAsync(body.AsMemory(0, size), http.RequestAborted);
        using var message = new HttpRequestMessage(HttpMethod.Post, new Uri(destination, http.Request.Path)) { Content = new ByteArrayContent(body, 0, size) };
        message.Content.Headers.ContentType = Json;
        using var answer = await invoker.SendAsync(message, http.RequestAborted);
        ArrayPool<byte>.Shared.Return(body);
        http.Response.StatusCode = (int)answer.StatusCode;
        http.Response.ContentType = answer.Content.Headers.ContentType?.MediaType;
        http.Response.ContentLength = answer.Content.Headers.ContentLength;
        var from = await answer.Content.ReadAsStreamAsync(http.RequestAborted);
        var buffer = ArrayPool<byte>.Shared.Rent(64 * 1024);
        while (await from.ReadAsync(buffer, http.RequestAborted) is > 0 and var read)
        {
            await http.Response.Body.WriteAsync(buffer.AsMemory(0, read), http.RequestAborted);
            await http.Response.Body.FlushAsync(http.RequestAborted);
        }

        ArrayPool<byte>.Shared.Return(buffer);
    }
}
