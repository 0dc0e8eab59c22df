using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>A gateway that gives one answer to everything, for what no honest one says.</summary>
internal sealed class LyingGateway : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly ConcurrentQueue<string> paths = new();

    private LyingGateway(WebApplication app) => this.app = app;

    public Uri Url => new(app.Urls.Single());

    public IEnumerable<string> Paths => paths;

    public static async Task<LyingGateway> StartAsync(string json)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var gateway = new LyingGateway(builder.Build());
        gateway.app.Run(context =>
        {
            gateway.paths.Enqueue(context.Request.Path.Value!);
            context.Response.ContentType = "application/json";
            return context.Response.WriteAsync(json);
        });
        await gateway.app.StartAsync(TestContext.Current.CancellationToken);
        return gateway;
    }

    public ValueTask DisposeAsync() => app.DisposeAsync();
}
