// spec/gateway.md section 8 rule 3.
using System.Data.Common;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using ConfidentialChat.Protocol;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace ConfidentialChat.Hosting;

/// <summary>
/// Writes an entry on one line: <c>TIME LEVEL: CATEGORY[EVENT] MESSAGE EXCEPTION</c>, the time in UTC. Nothing that stands in an entry can
/// forge another one or move a terminal's cursor.
/// </summary>
internal sealed class LogLine(TimeProvider time) : ConsoleFormatter(FormatterName)
{
    public const string FormatterName = "line";

    /// <summary>UTF-16 units; the longest of our own messages has 400.</summary>
    private const int MaxMessage = 2000;

    /// <summary>UTF-16 units: some twenty frames.</summary>
    private const int MaxStack = 3000;

    /// <summary>UTF-16 units of each exception's own words.</summary>
    private const int MaxWords = 300;

    private const int MaxInner = 4;

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        textWriter.Write(time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture));
        textWriter.Write(Level(logEntry.LogLevel));
        textWriter.Write(logEntry.Category);
        textWriter.Write(string.Create(CultureInfo.InvariantCulture, $"[{logEntry.EventId.Id}] "));
        textWriter.Write(ForeignText.Line(logEntry.Formatter(logEntry.State, logEntry.Exception), MaxMessage));
        if (logEntry.Exception is { } exception)
            textWriter.Write(Of(exception));
        textWriter.Write('\n');
    }

    // The kinds from the outside in, then where the innermost came from.
    private static string Of(Exception exception)
    {
        var text = new StringBuilder();
        var inner = exception;
        for (var depth = 0; ; depth++)
        {
            text.Append(depth == 0 ? " " : " ---> ").Append(inner.GetType().FullName);
            if (IsOwn(inner))
                text.Append(": ").Append(ForeignText.Line(inner.Message, MaxWords));
            if (inner.InnerException is null || depth == MaxInner)
                break;
            inner = inner.InnerException;
        }

        foreach (var frame in $"{inner.StackTrace}\n{(inner == exception ? "" : exception.StackTrace)}".Split(
            '\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (text.Length + frame.Length > MaxStack)
                break;
            text.Append(' ').Append(ForeignText.Line(frame, MaxStack));
        }

        return text.ToString();
    }

    // What this program and this machine say. Other exceptions may quote a peer: the library's of HTTP its header lines, a parser's its input.
    private static bool IsOwn(Exception exception) => exception switch
    {
        BadHttpRequestException or HttpIOException => false,
        IOException or UnauthorizedAccessException or SocketException or DbException => true,
        _ => exception.GetType().Namespace?.StartsWith("ConfidentialChat", StringComparison.Ordinal) is true,
    };

    private static string Level(LogLevel level) => level switch
    {
        LogLevel.Trace => " trce: ",
        LogLevel.Debug => " dbug: ",
        LogLevel.Information => " info: ",
        LogLevel.Warning => " warn: ",
        LogLevel.Error => " fail: ",
        _ => " crit: ",
    };
}
