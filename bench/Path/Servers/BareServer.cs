using System.Net;

namespace ConfidentialChat.Bench.WholePath.Servers;

/// <summary>Kestrel with one handler, and nothing else: no routing, no logging, no limits.</summary>
internal static class BareServer
{
    /// <summary>Says in one JSON line on standard output where it listens, and serves until standard input ends.</summary>
    /// <param name="handler">Every request.</param>
    /// <param name="key">Said in the same line.</param>
    public static async Task<int> RunAsync(RequestDelegate handler, string? key = null)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.MinResponseDataRate = null;
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = Microsoft.AspNetCore.Server.Kestrel.Core.HttpProtocols.Http1);
        });
        await using var app = builder.Build();
        app.Run(handler);
        await app.StartAsync();
        Console.Out.WriteLine($$"""{"url":"{{app.Urls.First()}}","key":"{{key}}"}""");
        while (await Console.In.ReadLineAsync() is not null)
        {
        }

        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await app.StopAsync(now.Token);
        return 0;
    }
}
