// spec/envelope-v2.md section 1.
using System.Buffers;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Gateway.V2;

/// <summary>
/// Gives what bundles name by digest. It lies in the data directory, each file under its own digest, where the operator puts it: a file that is
/// not what its name says is none.
/// </summary>
internal sealed class CollateralEndpoint(GatewayOptions options, Seldom seldom, ILogger<CollateralEndpoint> log)
{
    private const string Folder = "collateral";
    private const int MaxBytes = 1 << 20;
    private const string Bytes = "application/octet-stream";

    private static readonly SearchValues<char> Digits = SearchValues.Create("0123456789abcdef");

    public async ValueTask<IResult> HandleAsync(HttpContext context, Caller caller)
    {
        // Only 64 digits of hexadecimal become a path.
        if ((string?)context.Request.RouteValues["digest"] is not { Length: 2 * Sha256.Size } name || name.AsSpan().ContainsAnyExcept(Digits))
            return None;
        if (context.IsKnown(name))
            return TypedResults.StatusCode(StatusCodes.Status304NotModified);
        if (await ReadAsync(Path.Combine(options.DataDirectory, Folder, name), context.RequestAborted) is not { } content)
            return None;
        if (string.Equals(Convert.ToHexStringLower(Sha256.Hash(content)), name, StringComparison.Ordinal))
            return TypedResults.Bytes(content, Bytes);
        if (seldom.Says("Collateral that is not what its name says"))
            log.OtherCollateral(name);
        return None;
    }

    private static ErrorAnswer None => new(RequestError.NotFound) { Forwarded = false };

    private static async Task<byte[]?> ReadAsync(string path, CancellationToken cancellation)
    {
        try
        {
            var file = new FileInfo(path);
            return file.Exists && file.Length <= MaxBytes ? await File.ReadAllBytesAsync(path, cancellation) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
