using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace ConfidentialChat.Gateway.State.Migrations.Sqlite
{
    /// <summary>
    /// Balances, prices, the ledger; and reservations that hold of a stack or of a balance. By hand, because Entity Framework would make
    /// tables anew for a constraint, and cannot say WITHOUT ROWID. What was kept without a report has a provisional settlement from now on.
    /// </summary>
    public partial class Money : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder) => migrationBuilder.Sql("""
            ALTER TABLE "users" ADD "balance" INTEGER NOT NULL DEFAULT 0;
            ALTER TABLE "users" ADD "held" INTEGER NOT NULL DEFAULT 0;
            ALTER TABLE "users" ADD "carry" INTEGER NOT NULL DEFAULT 0
                CONSTRAINT "user_bounds" CHECK (0 <= held AND held <= balance AND balance <= 9007199254740991 AND 0 <= carry AND carry < 1000000);
            ALTER TABLE "api_keys" ADD "scopes" TEXT NOT NULL DEFAULT 'inference';
            ALTER TABLE "api_keys" ADD "expires_at" INTEGER NULL;
            ALTER TABLE "api_keys" ADD "last_used_at" INTEGER NULL;
            CREATE TABLE "prices" (
                "id" INTEGER NOT NULL CONSTRAINT "PK_prices" PRIMARY KEY AUTOINCREMENT,
                "node_id" INTEGER NOT NULL,
                "model" TEXT NOT NULL,
                "prompt" INTEGER NOT NULL,
                "completion" INTEGER NOT NULL,
                "image" INTEGER NOT NULL,
                "valid_from" INTEGER NOT NULL,
                "ended_at" INTEGER NULL,
                "set_by" TEXT NOT NULL,
                CONSTRAINT "price_bounds" CHECK (prompt BETWEEN 0 AND 1000000000000 AND completion BETWEEN 0 AND 1000000000000 AND image BETWEEN 0 AND 1000000000000),
                CONSTRAINT "FK_prices_nodes_node_id" FOREIGN KEY ("node_id") REFERENCES "nodes" ("id") ON DELETE RESTRICT
            );
            CREATE UNIQUE INDEX "IX_prices_node_id_model" ON "prices" ("node_id", "model") WHERE ended_at IS NULL;
            ALTER TABLE "stacks" ADD "price_id" INTEGER NULL CONSTRAINT "FK_stacks_prices_price_id" REFERENCES "prices" ("id") ON DELETE RESTRICT;
            DROP INDEX "IX_stacks_user_id_node_id_model";
            CREATE UNIQUE INDEX "IX_stacks_user_id_node_id_model" ON "stacks" ("user_id", "node_id", "model") WHERE price_id IS NULL;
            CREATE UNIQUE INDEX "IX_stacks_user_id_node_id_model_price_id" ON "stacks" ("user_id", "node_id", "model", "price_id") WHERE price_id IS NOT NULL;
            CREATE INDEX "IX_stacks_node_id" ON "stacks" ("node_id") WHERE price_id IS NOT NULL;
            CREATE TEMP TABLE "kept_vouchers" AS SELECT * FROM "vouchers";
            DROP TABLE "vouchers";
            CREATE TEMP TABLE "kept_settlements" AS SELECT * FROM "settlements";
            DROP TABLE "settlements";
            CREATE TABLE "priced_reservations" (
                "request_id" TEXT NOT NULL CONSTRAINT "PK_reservations" PRIMARY KEY,
                "user_id" INTEGER NOT NULL,
                "node_id" INTEGER NOT NULL,
                "model" TEXT NOT NULL,
                "stack_id" INTEGER NULL,
                "price_id" INTEGER NULL,
                "held" INTEGER NOT NULL,
                "held_money" INTEGER NOT NULL,
                "state" TEXT NOT NULL,
                "deadline_at" INTEGER NOT NULL,
                "is_attested" INTEGER NOT NULL,
                CONSTRAINT "reservation_state" CHECK (state IN ('held', 'settled', 'released', 'unreported')),
                CONSTRAINT "reservation_money" CHECK (held_money = 0 OR (held_money > 0 AND stack_id IS NULL AND price_id IS NOT NULL)),
                CONSTRAINT "FK_reservations_users_user_id" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE RESTRICT,
                CONSTRAINT "FK_reservations_nodes_node_id" FOREIGN KEY ("node_id") REFERENCES "nodes" ("id") ON DELETE RESTRICT,
                CONSTRAINT "FK_reservations_stacks_stack_id" FOREIGN KEY ("stack_id") REFERENCES "stacks" ("id") ON DELETE RESTRICT,
                CONSTRAINT "FK_reservations_prices_price_id" FOREIGN KEY ("price_id") REFERENCES "prices" ("id") ON DELETE RESTRICT
            ) WITHOUT ROWID;
            INSERT INTO "priced_reservations"
            SELECT r."request_id", s."user_id", s."node_id", s."model", r."stack_id", NULL, r."held", 0, r."state", r."deadline_at", r."is_attested"
            FROM "reservations" r JOIN "stacks" s ON s."id" = r."stack_id";
            DROP TABLE "reservations";
            ALTER TABLE "priced_reservations" RENAME TO "reservations";
            CREATE INDEX "IX_reservations_deadline_at" ON "reservations" ("deadline_at") WHERE state = 'held';
            CREATE TABLE "settlements" (
                "request_id" TEXT NOT NULL CONSTRAINT "PK_settlements" PRIMARY KEY,
                "user_id" INTEGER NOT NULL,
                "kind" TEXT NOT NULL,
                "reported_prompt" INTEGER NOT NULL,
                "reported_completion" INTEGER NOT NULL,
                "reported_pixels" INTEGER NOT NULL,
                "charged_prompt" INTEGER NOT NULL,
                "charged_completion" INTEGER NOT NULL,
                "charged_pixels" INTEGER NOT NULL,
                "created_at" INTEGER NOT NULL,
                CONSTRAINT "settlement_kind" CHECK (kind IN ('reported', 'capped', 'unreported', 'late')),
                CONSTRAINT "FK_settlements_reservations_request_id" FOREIGN KEY ("request_id") REFERENCES "reservations" ("request_id") ON DELETE RESTRICT,
                CONSTRAINT "FK_settlements_users_user_id" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE RESTRICT
            ) WITHOUT ROWID;
            INSERT INTO "settlements"
            SELECT k."request_id", r."user_id", k."kind", k."reported_prompt", k."reported_completion", k."reported_pixels",
                   k."charged_prompt", k."charged_completion", k."charged_pixels", k."created_at"
            FROM "kept_settlements" k JOIN "reservations" r ON r."request_id" = k."request_id";
            INSERT INTO "settlements"
            SELECT "request_id", "user_id", 'unreported', 0, 0, 0, 0, 0, 0, "deadline_at" FROM "reservations" WHERE "state" = 'unreported';
            DROP TABLE "kept_settlements";
            CREATE INDEX "IX_settlements_user_id_created_at" ON "settlements" ("user_id", "created_at");
            CREATE TABLE "vouchers" (
                "id" INTEGER NOT NULL CONSTRAINT "PK_vouchers" PRIMARY KEY AUTOINCREMENT,
                "request_id" TEXT NOT NULL,
                "created_at" INTEGER NOT NULL,
                "signed" BLOB NOT NULL,
                CONSTRAINT "FK_vouchers_settlements_request_id" FOREIGN KEY ("request_id") REFERENCES "settlements" ("request_id") ON DELETE RESTRICT
            );
            INSERT INTO "vouchers" SELECT "id", "request_id", "created_at", "signed" FROM "kept_vouchers";
            DROP TABLE "kept_vouchers";
            CREATE UNIQUE INDEX "IX_vouchers_request_id" ON "vouchers" ("request_id");
            CREATE TABLE "ledger" (
                "id" INTEGER NOT NULL CONSTRAINT "PK_ledger" PRIMARY KEY AUTOINCREMENT,
                "user_id" INTEGER NOT NULL,
                "kind" TEXT NOT NULL,
                "amount" INTEGER NOT NULL,
                "carry" INTEGER NOT NULL,
                "request_id" TEXT NULL,
                "stack_id" INTEGER NULL,
                "units" INTEGER NULL,
                "made_by" TEXT NULL,
                "reference" TEXT NULL,
                "created_at" INTEGER NOT NULL,
                CONSTRAINT "ledger_kind" CHECK (kind = 'correction' OR (kind IN ('deposit', 'refund') AND amount >= 0) OR (kind IN ('purchase', 'settlement') AND amount <= 0)),
                CONSTRAINT "FK_ledger_stacks_stack_id" FOREIGN KEY ("stack_id") REFERENCES "stacks" ("id") ON DELETE RESTRICT,
                CONSTRAINT "FK_ledger_users_user_id" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE RESTRICT
            );
            CREATE INDEX "IX_ledger_user_id_id" ON "ledger" ("user_id", "id");
            CREATE UNIQUE INDEX "IX_ledger_user_id_reference" ON "ledger" ("user_id", "reference") WHERE reference IS NOT NULL;
            CREATE TABLE "audit" (
                "id" INTEGER NOT NULL CONSTRAINT "PK_audit" PRIMARY KEY AUTOINCREMENT,
                "created_at" INTEGER NOT NULL,
                "actor" TEXT NOT NULL,
                "act" TEXT NOT NULL,
                "subject" TEXT NOT NULL,
                "detail" TEXT NULL
            );
            """);

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder) =>
            throw new System.NotSupportedException("What was paid would not be known any more.");
    }
}
