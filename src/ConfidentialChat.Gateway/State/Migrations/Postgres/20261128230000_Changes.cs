using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace ConfidentialChat.Gateway.State.Migrations.Postgres
{
    /// <summary>
    /// What SQLite says by itself (PRAGMA data_version): that another process changed what gateways keep in memory. Each changing statement
    /// moves a number of its writer, within its own transaction; a session without a name of its own writes as ''.
    /// </summary>
    [DbContext(typeof(PostgresGatewayDbContext))]
    [Migration("20261128230000_Changes")]
    public partial class Changes : Migration
    {
        private static readonly string[] Watched = ["nodes", "node_models", "node_key_sets", "prices"];

        // when a key was last used is nothing that anybody keeps in memory
        private const string OfKeys = "UPDATE OF user_id, prefix, hash, revoked_at, scopes, expires_at";

        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.Sql("""CREATE TABLE state_changes (writer text COLLATE "C" NOT NULL PRIMARY KEY, version bigint NOT NULL);""");
            migrationBuilder.Sql("""
                CREATE FUNCTION note_state_change() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    INSERT INTO state_changes AS noted (writer, version) VALUES (COALESCE(current_setting('confidentialchat.writer', TRUE), ''), 1)
                    ON CONFLICT (writer) DO UPDATE SET version = noted.version + 1;
                    RETURN NULL;
                END $$;
                """);
            foreach (var table in Watched)
                migrationBuilder.Sql($"CREATE TRIGGER note_state_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION note_state_change();");
            migrationBuilder.Sql($"CREATE TRIGGER note_state_change AFTER INSERT OR {OfKeys} OR DELETE OR TRUNCATE ON api_keys FOR EACH STATEMENT EXECUTE FUNCTION note_state_change();");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            foreach (var table in Watched)
                migrationBuilder.Sql($"DROP TRIGGER note_state_change ON {table};");
            migrationBuilder.Sql("DROP TRIGGER note_state_change ON api_keys;");
            migrationBuilder.Sql("DROP FUNCTION note_state_change; DROP TABLE state_changes;");
        }
    }
}
