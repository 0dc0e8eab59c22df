using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql.EntityFrameworkCore.PostgreSQL.Metadata;

#nullable disable

namespace ConfidentialChat.Gateway.State.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class Initial : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "audit",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    created_at = table.Column<long>(type: "bigint", nullable: false),
                    actor = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    act = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    subject = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    detail = table.Column<string>(type: "text", nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_audit", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "enrolment_tokens",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    prefix = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    hash = table.Column<byte[]>(type: "bytea", nullable: false),
                    created_at = table.Column<long>(type: "bigint", nullable: false),
                    expires_at = table.Column<long>(type: "bigint", nullable: false),
                    spent_at = table.Column<long>(type: "bigint", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_enrolment_tokens", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "nodes",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    identity_key = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    address = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    tls_pin = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    ready = table.Column<bool>(type: "boolean", nullable: false),
                    key_set = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    relay_key = table.Column<byte[]>(type: "bytea", nullable: true),
                    running = table.Column<int>(type: "integer", nullable: false),
                    queued = table.Column<int>(type: "integer", nullable: false),
                    signed_at = table.Column<long>(type: "bigint", nullable: false),
                    heard_at = table.Column<long>(type: "bigint", nullable: false),
                    unreachable = table.Column<bool>(type: "boolean", nullable: false),
                    unreported = table.Column<long>(type: "bigint", nullable: false),
                    removed_at = table.Column<long>(type: "bigint", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_nodes", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "users",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    created_at = table.Column<long>(type: "bigint", nullable: false),
                    balance = table.Column<long>(type: "bigint", nullable: false, defaultValue: 0L),
                    held = table.Column<long>(type: "bigint", nullable: false, defaultValue: 0L),
                    carry = table.Column<long>(type: "bigint", nullable: false, defaultValue: 0L)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_users", x => x.id);
                    table.CheckConstraint("user_bounds", "0 <= held AND held <= balance AND balance <= 9007199254740991 AND 0 <= carry AND carry < 1000000");
                });

            migrationBuilder.CreateTable(
                name: "node_key_sets",
                columns: table => new
                {
                    node_id = table.Column<long>(type: "bigint", nullable: false),
                    digest = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    x25519 = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    bundle = table.Column<byte[]>(type: "bytea", nullable: true),
                    expires_at = table.Column<long>(type: "bigint", nullable: false)
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

            migrationBuilder.CreateTable(
                name: "node_models",
                columns: table => new
                {
                    node_id = table.Column<long>(type: "bigint", nullable: false),
                    model = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    created_at = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_node_models", x => new { x.model, x.node_id });
                    table.ForeignKey(
                        name: "FK_node_models_nodes_node_id",
                        column: x => x.node_id,
                        principalTable: "nodes",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "node_signing_keys",
                columns: table => new
                {
                    node_id = table.Column<long>(type: "bigint", nullable: false),
                    digest = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    signing = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    ends_at = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_node_signing_keys", x => new { x.node_id, x.digest });
                    table.ForeignKey(
                        name: "FK_node_signing_keys_nodes_node_id",
                        column: x => x.node_id,
                        principalTable: "nodes",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "prices",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    node_id = table.Column<long>(type: "bigint", nullable: false),
                    model = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    prompt = table.Column<long>(type: "bigint", nullable: false),
                    completion = table.Column<long>(type: "bigint", nullable: false),
                    image = table.Column<long>(type: "bigint", nullable: false),
                    valid_from = table.Column<long>(type: "bigint", nullable: false),
                    ended_at = table.Column<long>(type: "bigint", nullable: true),
                    set_by = table.Column<string>(type: "text", nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_prices", x => x.id);
                    table.CheckConstraint("price_bounds", "prompt BETWEEN 0 AND 1000000000000 AND completion BETWEEN 0 AND 1000000000000 AND image BETWEEN 0 AND 1000000000000");
                    table.ForeignKey(
                        name: "FK_prices_nodes_node_id",
                        column: x => x.node_id,
                        principalTable: "nodes",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "api_keys",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    user_id = table.Column<long>(type: "bigint", nullable: false),
                    prefix = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    hash = table.Column<byte[]>(type: "bytea", nullable: false),
                    created_at = table.Column<long>(type: "bigint", nullable: false),
                    revoked_at = table.Column<long>(type: "bigint", nullable: true),
                    scopes = table.Column<string>(type: "text", nullable: false, defaultValue: "inference", collation: "C"),
                    expires_at = table.Column<long>(type: "bigint", nullable: true),
                    last_used_at = table.Column<long>(type: "bigint", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_api_keys", x => x.id);
                    table.ForeignKey(
                        name: "FK_api_keys_users_user_id",
                        column: x => x.user_id,
                        principalTable: "users",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "stacks",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    user_id = table.Column<long>(type: "bigint", nullable: false),
                    node_id = table.Column<long>(type: "bigint", nullable: false),
                    model = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    price_id = table.Column<long>(type: "bigint", nullable: true),
                    total = table.Column<long>(type: "bigint", nullable: false),
                    used = table.Column<long>(type: "bigint", nullable: false),
                    reserved = table.Column<long>(type: "bigint", nullable: false),
                    open_locks = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_stacks", x => x.id);
                    table.CheckConstraint("stack_bounds", "used >= 0 AND reserved >= 0 AND used + reserved <= total");
                    table.ForeignKey(
                        name: "FK_stacks_nodes_node_id",
                        column: x => x.node_id,
                        principalTable: "nodes",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_stacks_prices_price_id",
                        column: x => x.price_id,
                        principalTable: "prices",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_stacks_users_user_id",
                        column: x => x.user_id,
                        principalTable: "users",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "ledger",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    user_id = table.Column<long>(type: "bigint", nullable: false),
                    kind = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    amount = table.Column<long>(type: "bigint", nullable: false),
                    carry = table.Column<long>(type: "bigint", nullable: false),
                    request_id = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    stack_id = table.Column<long>(type: "bigint", nullable: true),
                    units = table.Column<long>(type: "bigint", nullable: true),
                    made_by = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    reference = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    created_at = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_ledger", x => x.id);
                    table.CheckConstraint("ledger_kind", "kind = 'correction' OR (kind IN ('deposit', 'refund') AND amount >= 0) OR (kind IN ('purchase', 'settlement') AND amount <= 0)");
                    table.ForeignKey(
                        name: "FK_ledger_stacks_stack_id",
                        column: x => x.stack_id,
                        principalTable: "stacks",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_ledger_users_user_id",
                        column: x => x.user_id,
                        principalTable: "users",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "locks",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    stack_id = table.Column<long>(type: "bigint", nullable: false),
                    key_set = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    units = table.Column<long>(type: "bigint", nullable: false),
                    state = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    expires_at = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_locks", x => x.id);
                    table.CheckConstraint("lock_state", "state IN ('open', 'claimed', 'spent', 'returned', 'expired')");
                    table.ForeignKey(
                        name: "FK_locks_stacks_stack_id",
                        column: x => x.stack_id,
                        principalTable: "stacks",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "reservations",
                columns: table => new
                {
                    request_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    user_id = table.Column<long>(type: "bigint", nullable: false),
                    node_id = table.Column<long>(type: "bigint", nullable: false),
                    model = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    stack_id = table.Column<long>(type: "bigint", nullable: true),
                    price_id = table.Column<long>(type: "bigint", nullable: true),
                    held = table.Column<long>(type: "bigint", nullable: false),
                    held_money = table.Column<long>(type: "bigint", nullable: false),
                    state = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    deadline_at = table.Column<long>(type: "bigint", nullable: false),
                    is_attested = table.Column<bool>(type: "boolean", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_reservations", x => x.request_id);
                    table.CheckConstraint("reservation_money", "held_money = 0 OR (held_money > 0 AND stack_id IS NULL AND price_id IS NOT NULL)");
                    table.CheckConstraint("reservation_state", "state IN ('held', 'settled', 'released', 'unreported')");
                    table.ForeignKey(
                        name: "FK_reservations_nodes_node_id",
                        column: x => x.node_id,
                        principalTable: "nodes",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_reservations_prices_price_id",
                        column: x => x.price_id,
                        principalTable: "prices",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_reservations_stacks_stack_id",
                        column: x => x.stack_id,
                        principalTable: "stacks",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_reservations_users_user_id",
                        column: x => x.user_id,
                        principalTable: "users",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "settlements",
                columns: table => new
                {
                    request_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    user_id = table.Column<long>(type: "bigint", nullable: false),
                    kind = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    reported_prompt = table.Column<long>(type: "bigint", nullable: false),
                    reported_completion = table.Column<long>(type: "bigint", nullable: false),
                    reported_pixels = table.Column<long>(type: "bigint", nullable: false),
                    charged_prompt = table.Column<long>(type: "bigint", nullable: false),
                    charged_completion = table.Column<long>(type: "bigint", nullable: false),
                    charged_pixels = table.Column<long>(type: "bigint", nullable: false),
                    created_at = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_settlements", x => x.request_id);
                    table.CheckConstraint("settlement_kind", "kind IN ('reported', 'capped', 'unreported', 'late')");
                    table.ForeignKey(
                        name: "FK_settlements_reservations_request_id",
                        column: x => x.request_id,
                        principalTable: "reservations",
                        principalColumn: "request_id",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_settlements_users_user_id",
                        column: x => x.user_id,
                        principalTable: "users",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "vouchers",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    request_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    created_at = table.Column<long>(type: "bigint", nullable: false),
                    signed = table.Column<byte[]>(type: "bytea", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_vouchers", x => x.id);
                    table.ForeignKey(
                        name: "FK_vouchers_settlements_request_id",
                        column: x => x.request_id,
                        principalTable: "settlements",
                        principalColumn: "request_id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateIndex(
                name: "IX_api_keys_prefix",
                table: "api_keys",
                column: "prefix",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_enrolment_tokens_prefix",
                table: "enrolment_tokens",
                column: "prefix",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_ledger_user_id_id",
                table: "ledger",
                columns: new[] { "user_id", "id" });

            migrationBuilder.CreateIndex(
                name: "IX_ledger_user_id_reference",
                table: "ledger",
                columns: new[] { "user_id", "reference" },
                unique: true,
                filter: "reference IS NOT NULL");

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

            migrationBuilder.CreateIndex(
                name: "IX_nodes_identity_key",
                table: "nodes",
                column: "identity_key",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_prices_node_id_model",
                table: "prices",
                columns: new[] { "node_id", "model" },
                unique: true,
                filter: "ended_at IS NULL");

            migrationBuilder.CreateIndex(
                name: "IX_reservations_deadline_at",
                table: "reservations",
                column: "deadline_at",
                filter: "state = 'held'");

            migrationBuilder.CreateIndex(
                name: "IX_settlements_user_id_created_at",
                table: "settlements",
                columns: new[] { "user_id", "created_at" });

            migrationBuilder.CreateIndex(
                name: "IX_stacks_model",
                table: "stacks",
                column: "model");

            migrationBuilder.CreateIndex(
                name: "IX_stacks_node_id",
                table: "stacks",
                column: "node_id",
                filter: "price_id IS NOT NULL");

            migrationBuilder.CreateIndex(
                name: "IX_stacks_user_id_node_id_model",
                table: "stacks",
                columns: new[] { "user_id", "node_id", "model" },
                unique: true,
                filter: "price_id IS NULL");

            migrationBuilder.CreateIndex(
                name: "IX_stacks_user_id_node_id_model_price_id",
                table: "stacks",
                columns: new[] { "user_id", "node_id", "model", "price_id" },
                unique: true,
                filter: "price_id IS NOT NULL");

            migrationBuilder.CreateIndex(
                name: "IX_users_name",
                table: "users",
                column: "name",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_vouchers_request_id",
                table: "vouchers",
                column: "request_id",
                unique: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "api_keys");

            migrationBuilder.DropTable(
                name: "audit");

            migrationBuilder.DropTable(
                name: "enrolment_tokens");

            migrationBuilder.DropTable(
                name: "ledger");

            migrationBuilder.DropTable(
                name: "locks");

            migrationBuilder.DropTable(
                name: "node_key_sets");

            migrationBuilder.DropTable(
                name: "node_models");

            migrationBuilder.DropTable(
                name: "node_signing_keys");

            migrationBuilder.DropTable(
                name: "vouchers");

            migrationBuilder.DropTable(
                name: "settlements");

            migrationBuilder.DropTable(
                name: "reservations");

            migrationBuilder.DropTable(
                name: "stacks");

            migrationBuilder.DropTable(
                name: "prices");

            migrationBuilder.DropTable(
                name: "users");

            migrationBuilder.DropTable(
                name: "nodes");
        }
    }
}
