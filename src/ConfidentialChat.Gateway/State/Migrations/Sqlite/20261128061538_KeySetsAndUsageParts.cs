using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace ConfidentialChat.Gateway.State.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class KeySetsAndUsageParts : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "node_keys");

            migrationBuilder.DropIndex(
                name: "IX_stacks_node_id",
                table: "stacks");

            migrationBuilder.DropIndex(
                name: "IX_reservations_node_id",
                table: "reservations");

            migrationBuilder.DropIndex(
                name: "IX_reservations_stack_id",
                table: "reservations");

            migrationBuilder.DropIndex(
                name: "IX_reservations_state_deadline_at",
                table: "reservations");

            migrationBuilder.DropIndex(
                name: "IX_reservations_user_id",
                table: "reservations");

            migrationBuilder.DropIndex(
                name: "IX_node_models_node_id",
                table: "node_models");

            migrationBuilder.DropIndex(
                name: "IX_locks_stack_id_node_key_state",
                table: "locks");

            migrationBuilder.DropIndex(
                name: "IX_locks_state_expires_at",
                table: "locks");

            migrationBuilder.DropIndex(
                name: "IX_api_keys_user_id",
                table: "api_keys");

            migrationBuilder.DropColumn(
                name: "node_key_expires_at",
                table: "nodes");

            // What was settled before as a sum stands as completion: its parts are not known.
            migrationBuilder.RenameColumn(
                name: "reported",
                table: "settlements",
                newName: "reported_completion");

            migrationBuilder.RenameColumn(
                name: "charged",
                table: "settlements",
                newName: "charged_completion");

            migrationBuilder.DropColumn(
                name: "node_key",
                table: "nodes");

            migrationBuilder.AddColumn<string>(
                name: "key_set",
                table: "nodes",
                type: "TEXT",
                nullable: true);

            migrationBuilder.RenameColumn(
                name: "node_key",
                table: "locks",
                newName: "key_set");

            migrationBuilder.AddColumn<long>(
                name: "open_locks",
                table: "stacks",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AddColumn<long>(
                name: "reported_pixels",
                table: "settlements",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.Sql("UPDATE stacks SET open_locks = (SELECT COUNT(*) FROM locks WHERE stack_id = stacks.id AND state IN ('open', 'returned'));");

            migrationBuilder.AddColumn<long>(
                name: "charged_pixels",
                table: "settlements",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AddColumn<long>(
                name: "charged_prompt",
                table: "settlements",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AddColumn<long>(
                name: "reported_prompt",
                table: "settlements",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AlterColumn<long>(
                name: "lock_id",
                table: "reservations",
                type: "INTEGER",
                nullable: true,
                oldClrType: typeof(long),
                oldType: "INTEGER");

            migrationBuilder.AddColumn<byte[]>(
                name: "relay_key",
                table: "nodes",
                type: "BLOB",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "node_key_sets",
                columns: table => new
                {
                    node_id = table.Column<long>(type: "INTEGER", nullable: false),
                    digest = table.Column<string>(type: "TEXT", nullable: false),
                    x25519 = table.Column<string>(type: "TEXT", nullable: false),
                    expires_at = table.Column<long>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_node_key_sets", x => new { x.node_id, x.digest });
                    table.ForeignKey(
                        name: "FK_node_key_sets_nodes_node_id",
                        column: x => x.node_id,
                        principalTable: "nodes",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateIndex(
                name: "IX_stacks_model",
                table: "stacks",
                column: "model");

            migrationBuilder.CreateIndex(
                name: "IX_reservations_deadline_at",
                table: "reservations",
                column: "deadline_at",
                filter: "state = 'held'");

            migrationBuilder.CreateIndex(
                name: "IX_locks_expired",
                table: "locks",
                column: "expires_at",
                filter: "state = 'expired'");

            migrationBuilder.CreateIndex(
                name: "IX_locks_open",
                table: "locks",
                column: "expires_at",
                filter: "state IN ('open', 'returned')");

            migrationBuilder.CreateIndex(
                name: "IX_locks_stack_id_key_set",
                table: "locks",
                columns: new[] { "stack_id", "key_set" },
                filter: "state IN ('open', 'returned')");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "node_key_sets");

            migrationBuilder.DropIndex(
                name: "IX_stacks_model",
                table: "stacks");

            migrationBuilder.DropIndex(
                name: "IX_reservations_deadline_at",
                table: "reservations");

            migrationBuilder.DropIndex(
                name: "IX_locks_expired",
                table: "locks");

            migrationBuilder.DropIndex(
                name: "IX_locks_open",
                table: "locks");

            migrationBuilder.DropIndex(
                name: "IX_locks_stack_id_key_set",
                table: "locks");

            migrationBuilder.DropColumn(
                name: "open_locks",
                table: "stacks");

            migrationBuilder.DropColumn(
                name: "reported_pixels",
                table: "settlements");

            migrationBuilder.DropColumn(
                name: "charged_pixels",
                table: "settlements");

            migrationBuilder.DropColumn(
                name: "charged_prompt",
                table: "settlements");

            migrationBuilder.DropColumn(
                name: "reported_prompt",
                table: "settlements");

            migrationBuilder.DropColumn(
                name: "relay_key",
                table: "nodes");

            migrationBuilder.RenameColumn(
                name: "reported_completion",
                table: "settlements",
                newName: "reported");

            migrationBuilder.RenameColumn(
                name: "charged_completion",
                table: "settlements",
                newName: "charged");

            migrationBuilder.DropColumn(
                name: "key_set",
                table: "nodes");

            migrationBuilder.AddColumn<string>(
                name: "node_key",
                table: "nodes",
                type: "TEXT",
                nullable: true);

            migrationBuilder.RenameColumn(
                name: "key_set",
                table: "locks",
                newName: "node_key");

            migrationBuilder.AlterColumn<long>(
                name: "lock_id",
                table: "reservations",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L,
                oldClrType: typeof(long),
                oldType: "INTEGER",
                oldNullable: true);

            migrationBuilder.AddColumn<long>(
                name: "node_key_expires_at",
                table: "nodes",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.CreateTable(
                name: "node_keys",
                columns: table => new
                {
                    node_id = table.Column<long>(type: "INTEGER", nullable: false),
                    public_key = table.Column<string>(type: "TEXT", nullable: false),
                    expires_at = table.Column<long>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_node_keys", x => new { x.node_id, x.public_key });
                    table.ForeignKey(
                        name: "FK_node_keys_nodes_node_id",
                        column: x => x.node_id,
                        principalTable: "nodes",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateIndex(
                name: "IX_stacks_node_id",
                table: "stacks",
                column: "node_id");

            migrationBuilder.CreateIndex(
                name: "IX_reservations_node_id",
                table: "reservations",
                column: "node_id");

            migrationBuilder.CreateIndex(
                name: "IX_reservations_stack_id",
                table: "reservations",
                column: "stack_id");

            migrationBuilder.CreateIndex(
                name: "IX_reservations_state_deadline_at",
                table: "reservations",
                columns: new[] { "state", "deadline_at" });

            migrationBuilder.CreateIndex(
                name: "IX_reservations_user_id",
                table: "reservations",
                column: "user_id");

            migrationBuilder.CreateIndex(
                name: "IX_node_models_node_id",
                table: "node_models",
                column: "node_id");

            migrationBuilder.CreateIndex(
                name: "IX_locks_stack_id_node_key_state",
                table: "locks",
                columns: new[] { "stack_id", "node_key", "state" });

            migrationBuilder.CreateIndex(
                name: "IX_locks_state_expires_at",
                table: "locks",
                columns: new[] { "state", "expires_at" });

            migrationBuilder.CreateIndex(
                name: "IX_api_keys_user_id",
                table: "api_keys",
                column: "user_id");
        }
    }
}
