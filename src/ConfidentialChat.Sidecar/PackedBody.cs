// spec/sidecar.md section 2: compressed requests. RFC 9110 section 8.4, RFC 9659.
using System.IO.Compression;
using ConfidentialChat.Hosting.Bodies;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using ZstdSharp;
using ZstdSharp.Unsafe;

namespace ConfidentialChat.Sidecar;

/// <summary>
/// Unpacks a compressed body as it is read: what is sealed is padded, and its size would show its content if it were compressed. Bounds count what
/// comes out.
/// </summary>
internal sealed class PackedBody : IDisposable
{
    /// <summary>The codings that are taken, for who sent another.</summary>
    public const string Codings = "identity, gzip, deflate, br, zstd";

    private const int ZstdWindowLog = 23; // 8 MiB, RFC 9659 section 3
    private const int BrotliWindowBytes = 16 * 1024 * 1024; // RFC 7932 section 9.1
    private const int GzipWindowBytes = 32 * 1024;

    private readonly BodyShare room;
    private readonly int window;
    private readonly Stream stream;

    private PackedBody(Stream stream, int window, BodyShare room)
    {
        this.stream = stream;
        this.window = window;
        this.room = room;
    }

    /// <summary>Whether a request's coding is one of <see cref="Codings"/>, and which: null for none.</summary>
    public static bool TryKnow(StringValues written, out string? coding)
    {
        coding = null;
        if (written.Count == 0)
            return true;
        if (written is not [{ } one])
            return false;
        var name = one.Trim().ToLowerInvariant();
        coding = name is "identity" ? null : name;
        return name is "identity" or "gzip" or "x-gzip" or "deflate" or "br" or "zstd";
    }

    /// <summary>Has the request's body read unpacked from now on.</summary>
    /// <returns>Null where there is no room for what unpacking needs.</returns>
    public static PackedBody? TryUnpack(HttpContext context, string coding, BodyShare room)
    {
        var window = coding switch
        {
            "zstd" => 1 << ZstdWindowLog,
            "br" => BrotliWindowBytes,
            _ => GzipWindowBytes,
        };
        if (!room.TryTake(window, isSmall: false))
            return null;
        var request = context.Request;
        var packed = request.Body;
        Stream stream = coding switch
        {
            "zstd" => Zstd(packed),
            "br" => new BrotliStream(packed, CompressionMode.Decompress, leaveOpen: true),
            "deflate" => new ZLibStream(packed, CompressionMode.Decompress, leaveOpen: true),
            _ => new GZipStream(packed, CompressionMode.Decompress, leaveOpen: true),
        };
        request.Body = stream;
        request.ContentLength = null; // it says how much there is of the other
        return new PackedBody(stream, window, room);
    }

    /// <summary>Whether a failure says that a body is not what its coding says.</summary>
    public static bool IsBroken(Exception failure) => failure is InvalidDataException or ZstdException or InvalidOperationException; // the last is Brotli's

    public void Dispose()
    {
        stream.Dispose();
        room.Return(window);
    }

    private static DecompressionStream Zstd(Stream packed)
    {
        var stream = new DecompressionStream(packed, leaveOpen: true);
        stream.SetParameter(ZSTD_dParameter.ZSTD_d_windowLogMax, ZstdWindowLog);
        return stream;
    }
}
