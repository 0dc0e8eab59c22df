using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace ConfidentialChat.Gateway.State.Migrations.Sqlite
{
    /// <summary>
    /// A request writes a reservation and a settlement: each into one tree (WITHOUT ROWID, which Entity Framework cannot say), and of a
    /// reservation only what its stack does not know.
    /// </summary>
    public partial class NarrowReservations : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder) => migrationBuilder.Sql("""
            CREATE TEMP TABLE "kept_settlements" AS SELECT * FROM "settlements";
            DROP TABLE "settlements";
            CREATE TABLE "narrow_reservations" (
                "request_id" TEXT NOT NULL CONSTRAINT "PK_reservations" PRIMARY KEY,
                "stack_id" INTEGER NOT NULL,
                "held" INTEGER NOT NULL,
                "state" TEXT NOT NULL,
                "deadline_at" INTEGER NOT NULL,
                CONSTRAINT "reservation_state" CHECK (state IN ('held', 'settled', 'released', 'unreported')),
                CONSTRAINT "FK_reservations_stacks_stack_id" FOREIGN KEY ("stack_id") REFERENCES "stacks" ("id") ON DELETE RESTRICT
            ) WITHOUT ROWID;
            INSERT INTO "narrow_reservations" SELECT "request_id", "stack_id", "held", "state", "deadline_at" FROM "reservations";
            DROP TABLE "reservations";
            ALTER TABLE "narrow_reservations" RENAME TO "reservations";
            CREATE INDEX "IX_reservations_deadline_at" ON "reservations" ("deadline_at") WHERE state = 'held';
            CREATE TABLE "settlements" (
                "request_id" TEXT NOT NULL CONSTRAINT "PK_settlements" PRIMARY KEY,
                "kind" TEXT NOT NULL,
                "reported_prompt" INTEGER NOT NULL,
                "reported_completion" INTEGER NOT NULL,
                "reported_pixels" INTEGER NOT NULL,
                "charged_prompt" INTEGER NOT NULL,
                "charged_completion" INTEGER NOT NULL,
                "charged_pixels" INTEGER NOT NULL,
                "created_at" INTEGER NOT NULL,
                CONSTRAINT "settlement_kind" CHECK (kind IN ('reported', 'capped', 'late')),
                CONSTRAINT "FK_settlements_reservations_request_id" FOREIGN KEY ("request_id") REFERENCES "reservations" ("request_id") ON DELETE RESTRICT
            ) WITHOUT ROWID;
            INSERT INTO "settlements"
            SELECT "request_id", "kind", "reported_prompt", "reported_completion", "reported_pixels",
                   "charged_prompt", "charged_completion", "charged_pixels", "created_at"
            FROM "kept_settlements";
            DROP TABLE "kept_settlements";
            """);

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder) =>
            throw new System.NotSupportedException("Which lock a reservation claimed is not known any more.");
    }
}
