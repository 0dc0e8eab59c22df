// spec/openapi/gateway.json: what this gateway serves, for machines, and a page of it for people.
using ConfidentialChat.Hosting;
using Scalar.AspNetCore;

namespace ConfidentialChat.Gateway;

/// <summary>The OpenAPI document and the page that shows it. Both are public: they say nothing of this gateway's users.</summary>
internal static class ApiDocs
{
    public const string DocumentPath = "/openapi/v1.json";
    public const string PagePath = "/docs";

    private const string Resource = "ConfidentialChat.Gateway.openapi.json";

    public static void MapApiDocs(this WebApplication app)
    {
        app.UseDocsHeaders(PagePath, ScalarOptions.NonceHttpContextItemKey);
        app.UseDocsHeaders(DocumentPath, ScalarOptions.NonceHttpContextItemKey);
        var document = Read();
        app.MapGet(DocumentPath, () => TypedResults.Bytes(document, "application/json"));
        app.MapScalarApiReference(PagePath, page =>
        {
            page.Title = "ConfidentialChat gateway";
            page.OpenApiRoutePattern = DocumentPath;
            page.DefaultFonts = false; // they would come from another host
            page.Telemetry = false;
            page.DisableAgent().DisableMcp().HideDeveloperTools(); // they ask another host, which the page may not
            page.DynamicNonce = true; // one of its scripts stands in the page
        });
    }

    private static byte[] Read()
    {
        using var stream = typeof(ApiDocs).Assembly.GetManifestResourceStream(Resource)!;
        var document = new byte[stream.Length];
        stream.ReadExactly(document);
        return document;
    }
}
