using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Sidecar;

/// <summary>Everything that the sidecar logs: ids, sizes, durations, codes. Never keys, bodies or what a program or a peer wrote.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Information, "The sidecar listens on {Address}.")]
    public static partial void Listening(this ILogger log, string address);

    [LoggerMessage(2, LogLevel.Error, "A request failed inside the sidecar.")]
    public static partial void Unhandled(this ILogger log, Exception exception);

    [LoggerMessage(EventId = 3, Message = "Request {Request}: {Endpoint}, node {Node}, {BodyBytes} bytes, {Outcome} after {Milliseconds} ms.")]
    public static partial void Asked(
        this ILogger log, LogLevel level, string request, string endpoint, string node, long bodyBytes, string outcome, long milliseconds);

    [LoggerMessage(4, LogLevel.Warning, "A request was refused before it was read: {Code}.")]
    public static partial void Refused(this ILogger log, string code);

    [LoggerMessage(5, LogLevel.Information, "The local key was read again.")]
    public static partial void KeyRead(this ILogger log);

    [LoggerMessage(6, LogLevel.Error, "The local key that was read last stays, because its file is not good: {Why}")]
    public static partial void KeyKept(this ILogger log, string why);

    [LoggerMessage(7, LogLevel.Warning, "No node is verified now: {Code}.")]
    public static partial void NotReady(this ILogger log, string code);
}
