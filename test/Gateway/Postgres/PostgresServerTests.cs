using ConfidentialChat.Gateway.State.Postgres;

namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>What an operator writes to name a server; docs/operating.md, "PostgreSQL".</summary>
public sealed class PostgresServerTests
{
    private const string Secret = "hunter2";

    [Theory]
    [InlineData("Host=db.example;Database=cchat;Username=gateway", "db.example:5432", "cchat", "gateway", "VerifyFull")]
    [InlineData("host=127.0.0.1;port=5433;database=cchat;username=gateway;password=hunter2", "127.0.0.1:5433", "cchat", "gateway", "Prefer")]
    [InlineData("Host=/var/run/postgresql;Username=gateway", "/var/run/postgresql:5432", "gateway", "gateway", "Prefer")]
    [InlineData("postgresql://gateway:hunter2@db.example/cchat", "db.example:5432", "cchat", "gateway", "VerifyFull")]
    [InlineData("postgres://gateway:hunter2@db.example:6432/cchat?sslmode=verify-ca&application_name=a%20b", "db.example:6432", "cchat", "gateway", "VerifyCA")]
    [InlineData("postgresql://gateway:p%40ss%2F%3Ahunter2@[::1]:5433/cchat", "::1", "cchat", "gateway", "Prefer")]
    [InlineData("postgresql://gateway@one.example:5432,two.example:5433/cchat", "one.example:5432,two.example:5433", "cchat", "gateway", "VerifyFull")]
    [InlineData("Host=db.example;Username=gateway;SSL Mode=Disable", "db.example:5432", "gateway", "gateway", "Disable")]
    [InlineData("Host=localhost,db.example;Username=gateway", "localhost,db.example", "gateway", "gateway", "VerifyFull")]
    public void Both_forms_are_read_and_beyond_this_machine_the_server_has_to_show_a_certificate(
        string text, string place, string database, string user, string mode)
    {
        var server = PostgresServer.From(text)!;
        (server.Place, server.Database, server.User, server.SslMode).ShouldBe((place, database, user, mode));
        $"{server} {server.Name}".ShouldNotContain(Secret);
        new GatewayOptions { DataDirectory = "d", Postgres = text }.ToString().ShouldNotContain(Secret);
    }

    [Theory]
    [InlineData("Password=hunter2")] // no host
    [InlineData("Host=db.example;Pass word=hunter2")]
    [InlineData("Host=db.example;Password=a;hunter2=b")] // as one who forgot the quotes
    [InlineData("Host=db.example;Port=hunter2")]
    [InlineData("Host=db.example;SSL Mode=hunter2")]
    [InlineData("hunter2")]
    [InlineData("postgresql://gateway:hunter2@db.example:hunter2/cchat")]
    [InlineData("postgresql://gateway@db.example/cchat?secret=hunter2")]
    [InlineData("postgresql:///")]
    [InlineData("mysql://gateway:hunter2@db.example/cchat")]
    public void What_cannot_be_read_is_refused_and_not_repeated(string text)
    {
        var refusal = Should.Throw<GatewayOptionsException>(() => PostgresServer.From(text));
        refusal.Message.ShouldContain("CONFIDENTIALCHAT_POSTGRES");
        refusal.Hint.ShouldContain("Host=");
        refusal.ToString().ShouldNotContain(Secret);
    }

    [Theory]
    [InlineData("Host=db.example;Password=hunter2", true)]
    [InlineData("postgresql://a:hunter2@db.example/b", true)]
    [InlineData("Host=db.example;Passfile=/etc/cchat/pgpass", false)]
    public void A_password_is_told_from_a_file_with_one(string text, bool isHeld) => GatewayOperator.HasPassword(text).ShouldBe(isHeld);

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    public void Nothing_is_a_file(string? text) => PostgresServer.From(text).ShouldBeNull();
}
