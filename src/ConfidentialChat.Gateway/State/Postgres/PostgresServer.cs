// docs/operating.md, "PostgreSQL".
using System.Data.Common;
using System.Net;
using System.Runtime.CompilerServices;
using Npgsql;

namespace ConfidentialChat.Gateway.State.Postgres;

/// <summary>A PostgreSQL server, the database there and who one is: what an operator wrote, read. Nothing of it that is secret is shown.</summary>
internal sealed class PostgresServer
{
    private const string Hint =
        "write Host=db.example;Database=cchat;Username=cchat or postgresql://cchat@db.example/cchat; a value with ; or = or quotes stands in quotes, "
        + "in a URL such signs are written as %3B; the password is best kept in a file that Passfile names (docs/operating.md, PostgreSQL)";

    /// <summary>Of a URL, what libpq calls otherwise than Npgsql.</summary>
    private static readonly Dictionary<string, string> UrlWords = new(StringComparer.OrdinalIgnoreCase)
    {
        ["application_name"] = "Application Name",
        ["connect_timeout"] = "Timeout",
        ["dbname"] = "Database",
        ["host"] = "Host",
        ["options"] = "Options",
        ["passfile"] = "Passfile",
        ["password"] = "Password",
        ["port"] = "Port",
        ["sslcert"] = "SSL Certificate",
        ["sslkey"] = "SSL Key",
        ["sslmode"] = "SSL Mode",
        ["sslrootcert"] = "Root Certificate",
        ["target_session_attrs"] = "Target Session Attributes",
        ["user"] = "Username",
    };

    private readonly NpgsqlConnectionStringBuilder connection;

    private PostgresServer(NpgsqlConnectionStringBuilder connection) => this.connection = connection;

    /// <summary>For messages: the database, and where it is.</summary>
    public string Name => $"the database {Database} at {Place}";

    public string Database => connection.Database ?? connection.Username ?? "";

    public string? User => connection.Username;

    /// <summary>Host and port, or the folder of a socket.</summary>
    public string Place => connection.Host!.Contains(':', StringComparison.Ordinal) || connection.Host.Contains(',', StringComparison.Ordinal)
        ? connection.Host
        : $"{connection.Host}:{connection.Port}";

    public string SslMode => connection.SslMode.ToString();

    /// <summary>Reads what an operator wrote; null for nothing.</summary>
    /// <exception cref="GatewayOptionsException">It names no server, or is none of the two forms. What was written is not repeated.</exception>
    public static PostgresServer? From(string? text) => string.IsNullOrEmpty(text) ? null : Read(text);

    // Apart: where there is nothing to read, the library is not loaded.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static PostgresServer Read(string text)
    {
        try
        {
            var isUrl = Array.Exists(["postgres://", "postgresql://"], head => text.StartsWith(head, StringComparison.OrdinalIgnoreCase));
            return new PostgresServer(Complete(isUrl ? OfUrl(text) : new DbConnectionStringBuilder { ConnectionString = text }));
        }
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException or NotSupportedException or InvalidCastException)
        {
            throw new GatewayOptionsException(
                "The PostgreSQL connection (--postgres, CONFIDENTIALCHAT_POSTGRES) cannot be read: it names no host, a word is unknown, or its value is none of it.",
                Hint); // and no inner one, which quotes
        }
    }

    /// <summary>Whether it holds the password itself, which is no thing for an argument: other users of the machine can read those.</summary>
    public static bool HasPassword(string text) => From(text)?.connection.Password is { Length: > 0 };

    /// <summary>Connections for what reads, kept open for a while.</summary>
    public NpgsqlDataSource Pool() => Build(new NpgsqlConnectionStringBuilder(connection.ConnectionString)
    {
        MaxPoolSize = Math.Min(connection.MaxPoolSize, 16),
    });

    /// <summary>A connection that stays with its owner, and prepares each statement when it first runs.</summary>
    public NpgsqlDataSource Kept() => Build(new NpgsqlConnectionStringBuilder(connection.ConnectionString)
    {
        Pooling = false,
        MaxAutoPrepare = 256, // more than there are
        AutoPrepareMinUsages = 1,
    });

    public override string ToString() => Name;

    private static NpgsqlDataSource Build(NpgsqlConnectionStringBuilder settings)
    {
        var builder = new NpgsqlSlimDataSourceBuilder(settings.ConnectionString);
        builder.EnableTransportSecurity();
        builder.EnableIntegratedSecurity();
        builder.EnableArrays();
        return builder.Build();
    }

    private static NpgsqlConnectionStringBuilder Complete(DbConnectionStringBuilder words)
    {
        var settings = new NpgsqlConnectionStringBuilder(words.ConnectionString);
        if (string.IsNullOrEmpty(settings.Host))
            throw new FormatException("no host");
        var written = words.Keys.Cast<string>().Select(word => word.Replace(" ", "", StringComparison.Ordinal)).ToHashSet(StringComparer.OrdinalIgnoreCase);
        if (string.IsNullOrEmpty(settings.Username))
            settings.Username = Environment.GetEnvironmentVariable("PGUSER") is { Length: > 0 } user ? user : Environment.UserName;
        if (string.IsNullOrEmpty(settings.Database))
            settings.Database = settings.Username;

        // Beyond this machine nobody on the way is to read hashes of keys, or be the server: whoever wants less writes it.
        if (!written.Contains("SSLMode") && !settings.Host.Split(',').All(IsHere))
            settings.SslMode = Npgsql.SslMode.VerifyFull;
        if (!written.Contains("Timeout"))
            settings.Timeout = 5; // seconds: of a connection
        if (!written.Contains("CommandTimeout"))
            settings.CommandTimeout = 15; // seconds: longer than the server lets one wait for another who writes, so that it is the server who says so
        if (!written.Contains("ApplicationName"))
            settings.ApplicationName = "confidentialchat";
        if (settings.Host.Contains(',', StringComparison.Ordinal) && !written.Contains("TargetSessionAttributes"))
            settings.TargetSessionAttributes = "primary";
        if (!written.Contains("HostRecheckSeconds"))
            settings.HostRecheckSeconds = 2; // a standby that was promoted is not taken for one for long, and a host that is not there is not tried each time
        settings.TcpKeepAlive = true;
        settings.IncludeErrorDetail = false; // it quotes rows
        settings.LogParameters = false;
        settings.PersistSecurityInfo = false;
        settings.Enlist = false;
        return settings;
    }

    private static bool IsHere(string host)
    {
        var name = host.Trim();
        if (name.StartsWith('/') || name.StartsWith('@') || string.Equals(name, "localhost", StringComparison.OrdinalIgnoreCase))
            return true;
        return (IPAddress.TryParse(name, out var address) || (IPEndPoint.TryParse(name, out var point) && (address = point.Address) is not null))
            && IPAddress.IsLoopback(address);
    }

    private static DbConnectionStringBuilder OfUrl(string text)
    {
        var words = new DbConnectionStringBuilder();
        var rest = text[(text.IndexOf("://", StringComparison.Ordinal) + 3)..];
        var query = rest.IndexOf('?', StringComparison.Ordinal);
        foreach (var pair in query < 0 ? [] : rest[(query + 1)..].Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            if (equals < 0 || !UrlWords.TryGetValue(pair[..equals], out var word))
                throw new FormatException();
            var value = Uri.UnescapeDataString(pair[(equals + 1)..]);
            words[word] = word is "SSL Mode" ? value.Replace("-", "", StringComparison.Ordinal) : value; // verify-full
        }

        if (query >= 0)
            rest = rest[..query];
        var at = rest.LastIndexOf('@');
        if (at >= 0)
        {
            var colon = rest.IndexOf(':', StringComparison.Ordinal);
            var hasPassword = colon >= 0 && colon < at;
            words["Username"] = Uri.UnescapeDataString(rest[..(hasPassword ? colon : at)]);
            if (hasPassword)
                words["Password"] = Uri.UnescapeDataString(rest[(colon + 1)..at]);
            rest = rest[(at + 1)..];
        }

        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        if (slash >= 0 && slash < rest.Length - 1)
            words["Database"] = Uri.UnescapeDataString(rest[(slash + 1)..]);
        var place = slash < 0 ? rest : rest[..slash];
        if (place.Length > 0 && !place.Contains(',', StringComparison.Ordinal) && place.LastIndexOf(':') is var port and > 0 && place[^1] != ']')
        {
            words["Port"] = place[(port + 1)..];
            place = place[..port];
        }

        if (place.Length > 0)
            words["Host"] = Uri.UnescapeDataString(place.TrimStart('[').TrimEnd(']'));
        return words;
    }
}
