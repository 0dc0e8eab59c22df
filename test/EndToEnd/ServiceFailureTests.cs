using System.CommandLine;
using ConfidentialChat.Cli;
using ConfidentialChat.Cli.Commands;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>docs/operating.md, "Exit codes": a service that fails after the start ends a host in good order, which would look like success.</summary>
public sealed class ServiceFailureTests
{
    [Theory]
    [InlineData(true, ExitCode.Failure)]
    [InlineData(false, ExitCode.Success)]
    public async Task A_background_service_that_fails_is_a_failure_to_the_supervisor(bool fails, int exitCode)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(System.Net.IPAddress.Loopback, 0));
        builder.Services.AddRouting().AddHostedService(_ => new Quitter(fails));
        await using var app = builder.Build();
        using var told = new CancellationTokenSource(fails ? TimeSpan.FromSeconds(30) : TimeSpan.FromMilliseconds(200));
        var command = new Command("server") { ServerRun.Json, ServerRun.ExitWithStdin };

        var ended = await ServerRun.RunAsync(
            app, async cancel => { await Task.Delay(Timeout.Infinite, cancel); return new Dictionary<string, string>(); }, command.Parse([]), told.Token);

        ended.ShouldBe(exitCode);
    }

    private sealed class Quitter(bool fails) : BackgroundService
    {
        protected override async Task ExecuteAsync(CancellationToken stoppingToken)
        {
            await Task.Delay(50, stoppingToken);
            if (fails)
                throw new FormatException("a header with a line break");
            await Task.Delay(Timeout.Infinite, stoppingToken);
        }
    }
}
