using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Hosting;

/// <summary>The page that shows what a server serves runs its own scripts and no others, asks nobody else, and stands in nobody's frame.</summary>
internal static class DocsPage
{
    /// <summary>Puts the headers on whatever is answered under a path.</summary>
    /// <param name="app">Its later parts answer.</param>
    /// <param name="path">The page, or what it reads.</param>
    /// <param name="nonceKey">Where in <see cref="HttpContext.Items"/> whoever writes the page puts the nonce of its scripts.</param>
    public static void UseDocsHeaders(this IApplicationBuilder app, PathString path, object nonceKey) =>
        app.UseWhen(context => context.Request.Path.StartsWithSegments(path, StringComparison.Ordinal), under => under.Use((context, next) =>
        {
            context.Response.OnStarting(() =>
            {
                var headers = context.Response.Headers;
                headers.ContentSecurityPolicy = Policy(context.Items[nonceKey] as string);
                headers.XContentTypeOptions = "nosniff";
                headers["Referrer-Policy"] = "no-referrer"; // an address may name a host that is nobody else's business
                return Task.CompletedTask;
            });
            return next(context);
        }));

    // The page makes its styles as it runs, and has pictures inside them; nothing else of it is made up.
    private static string Policy(string? nonce) =>
        $"default-src 'none'; script-src 'self'{(nonce is null ? "" : $" 'nonce-{nonce}'")}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        + "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}
