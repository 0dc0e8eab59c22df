using System.Collections.Concurrent;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>A gateway that says what no honest one says.</summary>
internal sealed class LyingGateway : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly ConcurrentQueue<string> paths = new();

    private LyingGateway(WebApplication app) => this.app = app;

    public Uri Url => new(app.Urls.Single());

    public IEnumerable<string> Paths => paths;

    /// <summary>One answer to everything.</summary>
    public static Task<LyingGateway> StartAsync(string json) => StartAsync(_ => (200, Encoding.UTF8.GetBytes(json)));

    /// <param name="answer">From a request's body to status and body of its answer.</param>
    public static async Task<LyingGateway> StartAsync(Func<byte[], (int Status, byte[] Body)> answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var gateway = new LyingGateway(builder.Build());
        gateway.app.Run(async context =>
        {
            gateway.paths.Enqueue(context.Request.Path.Value!);
            using var request = new MemoryStream();
            await context.Request.Body.CopyToAsync(request);
            var (status, body) = answer(request.ToArray());
            context.Response.StatusCode = status;
            context.Response.ContentType = "application/json";
            await context.Response.Body.WriteAsync(body);
        });
        await gateway.app.StartAsync(TestContext.Current.CancellationToken);
        return gateway;
    }

    public ValueTask DisposeAsync() => app.DisposeAsync();
}
