using ConfidentialChat.Hosting.Certificates;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Hosting;

/// <summary>
/// Everything that both servers log in the same words: ids, sizes, durations, codes. Never keys, tokens, bodies or hashes of them. Their ids
/// begin where no server's own do.
/// </summary>
internal static partial class Log
{
    [LoggerMessage(101, LogLevel.Information, "SIGHUP: what can be read again is.")]
    public static partial void ReloadAsked(this ILogger log);

    [LoggerMessage(102, LogLevel.Warning, "{What}: {Unsaid} more in {Seconds} s.")]
    public static partial void More(this ILogger log, string what, long unsaid, int seconds);

    [LoggerMessage(103, LogLevel.Information, "New handshakes show the new certificate in {File}: {Certificate}.")]
    public static partial void CertificateReplaced(this ILogger log, string file, ServerCertificate certificate);

    [LoggerMessage(104, LogLevel.Information, "The certificate in {File} is the one in use: {Certificate}.")]
    public static partial void CertificateUnchanged(this ILogger log, string file, ServerCertificate certificate);

    [LoggerMessage(105, LogLevel.Warning, "The certificate in use stays, because the one on the disk is not good: {Why}")]
    public static partial void CertificateKept(this ILogger log, string why);

    [LoggerMessage(106, LogLevel.Warning, "{Why}")]
    public static partial void CertificateFaulty(this ILogger log, string why);

    [LoggerMessage(107, LogLevel.Warning, "The certificate in {File} ends in {Days} days, on {End:yyyy-MM-dd HH:mm} UTC. Renew it: the new one is noticed by itself.")]
    public static partial void CertificateEnding(this ILogger log, string file, int days, DateTimeOffset end);

    [LoggerMessage(108, LogLevel.Error, "The certificate in {File} ended on {End:yyyy-MM-dd HH:mm} UTC: clients refuse it. Renew it: the new one is noticed by itself.")]
    public static partial void CertificateEnded(this ILogger log, string file, DateTimeOffset end);

    [LoggerMessage(109, LogLevel.Warning, "There is room for {Connections} connections and not for {Wanted}: this process may have {Files} files open. hint: let it have {Needed} (ulimit -n, LimitNOFILE=), or ask for fewer with --max-connections")]
    public static partial void FewFiles(this ILogger log, int connections, int wanted, int? files, int needed);

    [LoggerMessage(110, LogLevel.Warning, "There is room for {Room} MiB of request bodies: one of more is answered 429, and up to {Largest} MiB are allowed. hint: give the process more memory, or say with --max-buffered-mib what it may take")]
    public static partial void LittleRoom(this ILogger log, long room, long largest);

    [LoggerMessage(EventId = 111, Message = "Connections since the last such line: {Displaced} silent ones closed because others needed their places, {Refused} refused for want of a place, {Late} closed without a whole request. The last was from {Address}.")]
    public static partial void ConnectionsClosed(this ILogger log, LogLevel level, int displaced, int refused, int late, string address);
}
