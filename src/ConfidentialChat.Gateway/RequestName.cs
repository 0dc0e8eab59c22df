// spec/envelope-v1.md section 9: what a request is called, in its answer and in the log.
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway;

/// <summary>
/// The gateway's own name of each request, for whoever asks what became of one: the id by which a relayed request is reserved, reported and
/// logged. What a caller calls it stays the caller's.
/// </summary>
internal static class RequestName
{
    public const string HeaderName = "x-request-id";

    /// <summary>The first of all: whatever is answered says it.</summary>
    public static void UseRequestNames(this IApplicationBuilder app) => app.Use(next => context =>
    {
        context.TraceIdentifier = RequestId.New().ToString();
        context.SayName();
        return next(context);
    });

    public static RequestId Name(this HttpContext context) =>
        RequestId.TryParse(context.TraceIdentifier, out var id) ? id : throw new InvalidOperationException("The request has no name.");

    /// <summary>A sealed request has its caller's name: it stands inside too.</summary>
    public static void Rename(this HttpContext context, RequestId id)
    {
        context.TraceIdentifier = id.ToString();
        context.SayName();
    }

    /// <summary>Takes back all that was to be answered, but for the name.</summary>
    public static void ClearAnswer(this HttpContext context)
    {
        context.Response.Clear();
        context.SayName();
    }

    private static void SayName(this HttpContext context) => context.Response.Headers[HeaderName] = context.TraceIdentifier;
}
