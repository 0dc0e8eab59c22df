// spec/sidecar.md section 1.
using System.Net;
using Microsoft.AspNetCore.Cors.Infrastructure;
using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Sidecar.Callers;

/// <summary>Which pages and host names are let in. A program of this machine has no origin, and names the sidecar by loopback.</summary>
internal sealed class KnownCallers
{
    private const string Localhost = "localhost";
    private static readonly TimeSpan PreflightLifetime = TimeSpan.FromMinutes(10);

    private readonly HashSet<string> origins;
    private readonly HashSet<string> names;
    private readonly IPAddress? bound;

    private KnownCallers(HashSet<string> origins, HashSet<string> names, IPAddress? bound)
    {
        this.origins = origins;
        this.names = names;
        this.bound = bound;
    }

    /// <exception cref="SidecarOptionsException">An origin or a name is none.</exception>
    public static KnownCallers From(SidecarOptions options)
    {
        foreach (var origin in options.CorsOrigins)
        {
            if (!IsOrigin(origin))
                throw new SidecarOptionsException(
                    "--cors-origin names no origin.", "write scheme, host and port only, like https://app.example; any page at all is never let in");
        }

        foreach (var name in options.HostNames)
        {
            if (Uri.CheckHostName(name) is not UriHostNameType.Dns)
                throw new SidecarOptionsException(
                    "--host-name names no host.", "write a name as programs have it in their URL, without port: host.docker.internal");
        }

        return new KnownCallers(
            options.CorsOrigins.ToHashSet(StringComparer.OrdinalIgnoreCase), options.HostNames.Append(Localhost).ToHashSet(StringComparer.OrdinalIgnoreCase),
            options.DangerousBind);
    }

    /// <summary>Whether <c>Host</c> names this machine: a page whose own name was bound to it by DNS has another.</summary>
    /// <param name="context">The request.</param>
    public bool KnowsHost(HttpContext context)
    {
        var host = context.Request.Host.Host;
        if (names.Contains(host))
            return true;
        if (!IPAddress.TryParse(host.Trim('[', ']'), out var address))
            return false;
        // A socket of both families gives an IPv4 address the long way.
        return IPAddress.IsLoopback(address) || (bound is not null && (Plain(address)?.Equals(Plain(context.Connection.LocalIpAddress)) ?? false));
    }

    /// <summary>Whether a page of this origin may ask.</summary>
    public bool KnowsOrigin(string origin) => origins.Contains(origin);

    /// <summary>The key is a header of its own, so no credentials of the browser are asked for.</summary>
    public void Allow(CorsOptions cors) => cors.AddDefaultPolicy(policy => policy
        .WithOrigins([.. origins])
        .WithMethods(HttpMethods.Get, HttpMethods.Post)
        .AllowAnyHeader() // clients send what they like, and none of it goes on
        .WithExposedHeaders([HeaderNames.RetryAfter, .. AnswerHeaders.All])
        .SetPreflightMaxAge(PreflightLifetime));

    private static IPAddress? Plain(IPAddress? address) => address is { IsIPv4MappedToIPv6: true } ? address.MapToIPv4() : address;

    private static bool IsOrigin(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Host.Length > 0 && url.UserInfo.Length == 0
        && string.Equals(text, $"{url.Scheme}://{url.Authority}", StringComparison.OrdinalIgnoreCase);
}
