// RFC 9110 section 8.8.3.
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Gateway.V2;

/// <summary>What a client has already need not come again.</summary>
internal static class Tags
{
    /// <summary>Says which version the answer is, and whether the caller named that one.</summary>
    public static bool IsKnown(this HttpContext context, string tag)
    {
        var named = new EntityTagHeaderValue($"\"{tag}\"");
        context.Response.Headers.ETag = named.ToString();
        context.Response.Headers.CacheControl = "private, no-cache"; // it may be kept, and is asked for again
        return EntityTagHeaderValue.TryParseList(context.Request.Headers.IfNoneMatch, out var known)
            && known.Any(other => other.Compare(named, useStrongComparison: false) || other.Equals(EntityTagHeaderValue.Any));
    }
}
