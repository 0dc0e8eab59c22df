// spec/gateway.md section 8 rule 3.
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;

namespace ConfidentialChat.Hosting;

/// <summary>How gateway and node log.</summary>
internal static class ServerLog
{
    /// <summary>
    /// Which categories speak. Libraries' warnings quote a peer's header names, status lines and chunk sizes, and some have a stack trace
    /// for each malformed request: the servers say for themselves what happened, by its kind. Of the framework only what ends it is left.
    /// An operator's configuration may let them speak again; <see cref="LogLine"/> still writes it.
    /// </summary>
    public static ILoggingBuilder Listen(ILoggingBuilder logging) => logging
        .SetMinimumLevel(LogLevel.Information)
        .AddFilter("Microsoft", LogLevel.Warning)
        .AddFilter("Microsoft.AspNetCore", LogLevel.Critical)
        .AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None) // asked whether it logs, it would make an activity for each request
        .AddFilter("System", LogLevel.None)
        .AddFilter("Yarp", LogLevel.None);

    /// <summary>Writes to standard output, or where <paramref name="toStandardError"/> says so, one line an entry.</summary>
    public static void Write(ILoggingBuilder logging, bool toStandardError = false)
    {
        logging.AddConsole(console =>
        {
            console.FormatterName = LogLine.FormatterName;
            if (toStandardError)
                console.LogToStandardErrorThreshold = LogLevel.Trace;
        });
        logging.AddConsoleFormatter<LogLine, ConsoleFormatterOptions>();
    }
}
