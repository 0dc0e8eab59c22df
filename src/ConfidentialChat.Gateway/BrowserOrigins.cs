// spec/gateway.md section 6.
using Microsoft.AspNetCore.Cors.Infrastructure;
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Gateway;

/// <summary>Whose pages in a browser may call (CORS, Fetch standard section 3.3). Without any, browsers keep every page away.</summary>
internal sealed class BrowserOrigins
{
    private const string Any = "*";
    private static readonly TimeSpan PreflightLifetime = TimeSpan.FromMinutes(10);

    private readonly IReadOnlyList<string> origins;

    private BrowserOrigins(IReadOnlyList<string> origins) => this.origins = origins;

    /// <exception cref="GatewayOptionsException">One is no origin.</exception>
    public static BrowserOrigins From(GatewayOptions options)
    {
        foreach (var origin in options.CorsOrigins)
        {
            if (origin != Any && !IsOrigin(origin))
                throw new GatewayOptionsException(
                    $"'{origin}' is not an origin.", "write scheme, host and port only, like https://app.example, or * for any page");
            if (origin == Any && options.CorsOrigins.Count > 1)
                throw new GatewayOptionsException("'*' stands beside other origins, which then say nothing.", "name either the origins or *");
        }

        return new BrowserOrigins(options.CorsOrigins);
    }

    /// <summary>The bearer key is a header of its own, so no credentials of the browser are asked for.</summary>
    public void Allow(CorsOptions cors) => cors.AddDefaultPolicy(policy => policy
        .WithOrigins([.. origins])
        .WithMethods(HttpMethods.Get, HttpMethods.Post)
        .WithHeaders(HeaderNames.Authorization, HeaderNames.ContentType, HeaderNames.Accept)
        .WithExposedHeaders(HeaderNames.RetryAfter, RequestName.HeaderName)
        .SetPreflightMaxAge(PreflightLifetime));

    private static bool IsOrigin(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var url)
        && (url.Scheme == Uri.UriSchemeHttps || url.Scheme == Uri.UriSchemeHttp)
        && string.Equals(text, url.GetLeftPart(UriPartial.Authority), StringComparison.OrdinalIgnoreCase)
        && url.UserInfo.Length == 0;
}
