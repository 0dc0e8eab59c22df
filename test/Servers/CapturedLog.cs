using ConfidentialChat.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ConfidentialChat.Tests;

/// <summary>Every line that a server logged, as it stands in its log.</summary>
internal sealed class CapturedLog : ILoggerProvider, ILogger
{
    private readonly List<string> lines = [];
    private readonly LogLine format = new(TimeProvider.System);

    public string Text
    {
        get
        {
            lock (lines)
                return string.Concat(lines);
        }
    }

    public int Count
    {
        get
        {
            lock (lines)
                return lines.Count;
        }
    }

    public ILogger CreateLogger(string categoryName) => this;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        using var line = new StringWriter();
        format.Write(new LogEntry<TState>(logLevel, "test", eventId, state, exception, formatter), null, line);
        lock (lines)
            lines.Add(line.ToString());
    }

    public bool IsEnabled(LogLevel logLevel) => true;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void Dispose()
    {
    }
}
