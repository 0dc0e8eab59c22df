CREATE TABLE IF NOT EXISTS "__EFMigrationsHistory" (
    "MigrationId" TEXT NOT NULL CONSTRAINT "PK___EFMigrationsHistory" PRIMARY KEY,
    "ProductVersion" TEXT NOT NULL
);

CREATE TABLE "enrolment_tokens" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_enrolment_tokens" PRIMARY KEY AUTOINCREMENT,
    "prefix" TEXT NOT NULL,
    "hash" BLOB NOT NULL,
    "created_at" INTEGER NOT NULL,
    "expires_at" INTEGER NOT NULL,
    "spent_at" INTEGER NULL
);

CREATE TABLE "nodes" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_nodes" PRIMARY KEY AUTOINCREMENT,
    "identity_key" TEXT NOT NULL,
    "address" TEXT NOT NULL,
    "tls_pin" TEXT NULL,
    "ready" INTEGER NOT NULL,
    "node_key" TEXT NULL,
    "node_key_expires_at" INTEGER NOT NULL,
    "running" INTEGER NOT NULL,
    "queued" INTEGER NOT NULL,
    "signed_at" INTEGER NOT NULL,
    "heard_at" INTEGER NOT NULL,
    "unreachable" INTEGER NOT NULL,
    "unreported" INTEGER NOT NULL
);

CREATE TABLE "users" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_users" PRIMARY KEY AUTOINCREMENT,
    "name" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL
);

CREATE TABLE "node_keys" (
    "node_id" INTEGER NOT NULL,
    "public_key" TEXT NOT NULL,
    "expires_at" INTEGER NOT NULL,
    CONSTRAINT "PK_node_keys" PRIMARY KEY ("node_id", "public_key"),
    CONSTRAINT "FK_node_keys_nodes_node_id" FOREIGN KEY ("node_id") REFERENCES "nodes" ("id") ON DELETE RESTRICT
);

CREATE TABLE "node_models" (
    "node_id" INTEGER NOT NULL,
    "model" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL,
    CONSTRAINT "PK_node_models" PRIMARY KEY ("model", "node_id"),
    CONSTRAINT "FK_node_models_nodes_node_id" FOREIGN KEY ("node_id") REFERENCES "nodes" ("id") ON DELETE RESTRICT
);

CREATE TABLE "api_keys" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_api_keys" PRIMARY KEY AUTOINCREMENT,
    "user_id" INTEGER NOT NULL,
    "prefix" TEXT NOT NULL,
    "hash" BLOB NOT NULL,
    "created_at" INTEGER NOT NULL,
    "revoked_at" INTEGER NULL,
    CONSTRAINT "FK_api_keys_users_user_id" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE RESTRICT
);

CREATE TABLE "stacks" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_stacks" PRIMARY KEY AUTOINCREMENT,
    "user_id" INTEGER NOT NULL,
    "node_id" INTEGER NOT NULL,
    "model" TEXT NOT NULL,
    "total" INTEGER NOT NULL,
    "used" INTEGER NOT NULL,
    "reserved" INTEGER NOT NULL,
    CONSTRAINT "stack_bounds" CHECK (used >= 0 AND reserved >= 0 AND used + reserved <= total),
    CONSTRAINT "FK_stacks_nodes_node_id" FOREIGN KEY ("node_id") REFERENCES "nodes" ("id") ON DELETE RESTRICT,
    CONSTRAINT "FK_stacks_users_user_id" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE RESTRICT
);

CREATE TABLE "locks" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_locks" PRIMARY KEY AUTOINCREMENT,
    "stack_id" INTEGER NOT NULL,
    "node_key" TEXT NOT NULL,
    "units" INTEGER NOT NULL,
    "state" TEXT NOT NULL,
    "expires_at" INTEGER NOT NULL,
    CONSTRAINT "lock_state" CHECK (state IN ('open', 'claimed', 'spent', 'returned', 'expired')),
    CONSTRAINT "FK_locks_stacks_stack_id" FOREIGN KEY ("stack_id") REFERENCES "stacks" ("id") ON DELETE RESTRICT
);

CREATE TABLE "reservations" (
    "request_id" TEXT NOT NULL CONSTRAINT "PK_reservations" PRIMARY KEY,
    "lock_id" INTEGER NOT NULL,
    "user_id" INTEGER NOT NULL,
    "node_id" INTEGER NOT NULL,
    "stack_id" INTEGER NOT NULL,
    "held" INTEGER NOT NULL,
    "state" TEXT NOT NULL,
    "deadline_at" INTEGER NOT NULL,
    CONSTRAINT "reservation_state" CHECK (state IN ('held', 'settled', 'released', 'unreported')),
    CONSTRAINT "FK_reservations_locks_lock_id" FOREIGN KEY ("lock_id") REFERENCES "locks" ("id") ON DELETE RESTRICT,
    CONSTRAINT "FK_reservations_nodes_node_id" FOREIGN KEY ("node_id") REFERENCES "nodes" ("id") ON DELETE RESTRICT,
    CONSTRAINT "FK_reservations_stacks_stack_id" FOREIGN KEY ("stack_id") REFERENCES "stacks" ("id") ON DELETE RESTRICT,
    CONSTRAINT "FK_reservations_users_user_id" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE RESTRICT
);

CREATE TABLE "settlements" (
    "request_id" TEXT NOT NULL CONSTRAINT "PK_settlements" PRIMARY KEY,
    "kind" TEXT NOT NULL,
    "reported" INTEGER NOT NULL,
    "charged" INTEGER NOT NULL,
    "created_at" INTEGER NOT NULL,
    CONSTRAINT "settlement_kind" CHECK (kind IN ('reported', 'capped', 'late')),
    CONSTRAINT "FK_settlements_reservations_request_id" FOREIGN KEY ("request_id") REFERENCES "reservations" ("request_id") ON DELETE RESTRICT
);

CREATE UNIQUE INDEX "IX_api_keys_prefix" ON "api_keys" ("prefix");

CREATE INDEX "IX_api_keys_user_id" ON "api_keys" ("user_id");

CREATE UNIQUE INDEX "IX_enrolment_tokens_prefix" ON "enrolment_tokens" ("prefix");

CREATE INDEX "IX_locks_stack_id_node_key_state" ON "locks" ("stack_id", "node_key", "state");

CREATE INDEX "IX_locks_state_expires_at" ON "locks" ("state", "expires_at");

CREATE INDEX "IX_node_models_node_id" ON "node_models" ("node_id");

CREATE UNIQUE INDEX "IX_nodes_identity_key" ON "nodes" ("identity_key");

CREATE INDEX "IX_reservations_lock_id" ON "reservations" ("lock_id");

CREATE INDEX "IX_reservations_node_id" ON "reservations" ("node_id");

CREATE INDEX "IX_reservations_stack_id" ON "reservations" ("stack_id");

CREATE INDEX "IX_reservations_state_deadline_at" ON "reservations" ("state", "deadline_at");

CREATE INDEX "IX_reservations_user_id" ON "reservations" ("user_id");

CREATE INDEX "IX_stacks_node_id" ON "stacks" ("node_id");

CREATE UNIQUE INDEX "IX_stacks_user_id_node_id_model" ON "stacks" ("user_id", "node_id", "model");

CREATE UNIQUE INDEX "IX_users_name" ON "users" ("name");

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261122190839_Initial', '10.0.15');

ALTER TABLE "nodes" ADD "removed_at" INTEGER NULL;

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261122215243_RemovedNodes', '10.0.15');

DROP TABLE "node_keys";

DROP INDEX "IX_stacks_node_id";

DROP INDEX "IX_reservations_node_id";

DROP INDEX "IX_reservations_stack_id";

DROP INDEX "IX_reservations_state_deadline_at";

DROP INDEX "IX_reservations_user_id";

DROP INDEX "IX_node_models_node_id";

DROP INDEX "IX_locks_stack_id_node_key_state";

DROP INDEX "IX_locks_state_expires_at";

DROP INDEX "IX_api_keys_user_id";

ALTER TABLE "settlements" RENAME COLUMN "reported" TO "reported_completion";

ALTER TABLE "settlements" RENAME COLUMN "charged" TO "charged_completion";

ALTER TABLE "nodes" ADD "key_set" TEXT NULL;

ALTER TABLE "locks" RENAME COLUMN "node_key" TO "key_set";

ALTER TABLE "stacks" ADD "open_locks" INTEGER NOT NULL DEFAULT 0;

ALTER TABLE "settlements" ADD "reported_pixels" INTEGER NOT NULL DEFAULT 0;

UPDATE stacks SET open_locks = (SELECT COUNT(*) FROM locks WHERE stack_id = stacks.id AND state IN ('open', 'returned'));

ALTER TABLE "settlements" ADD "charged_pixels" INTEGER NOT NULL DEFAULT 0;

ALTER TABLE "settlements" ADD "charged_prompt" INTEGER NOT NULL DEFAULT 0;

ALTER TABLE "settlements" ADD "reported_prompt" INTEGER NOT NULL DEFAULT 0;

ALTER TABLE "nodes" ADD "relay_key" BLOB NULL;

CREATE TABLE "node_key_sets" (
    "node_id" INTEGER NOT NULL,
    "digest" TEXT NOT NULL,
    "x25519" TEXT NOT NULL,
    "expires_at" INTEGER NOT NULL,
    CONSTRAINT "PK_node_key_sets" PRIMARY KEY ("node_id", "digest"),
    CONSTRAINT "FK_node_key_sets_nodes_node_id" FOREIGN KEY ("node_id") REFERENCES "nodes" ("id") ON DELETE RESTRICT
);

CREATE INDEX "IX_stacks_model" ON "stacks" ("model");

CREATE INDEX "IX_reservations_deadline_at" ON "reservations" ("deadline_at") WHERE state = 'held';

CREATE INDEX "IX_locks_expired" ON "locks" ("expires_at") WHERE state = 'expired';

CREATE INDEX "IX_locks_open" ON "locks" ("expires_at") WHERE state IN ('open', 'returned');

CREATE INDEX "IX_locks_stack_id_key_set" ON "locks" ("stack_id", "key_set") WHERE state IN ('open', 'returned');

CREATE TABLE "ef_temp_nodes" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_nodes" PRIMARY KEY AUTOINCREMENT,
    "address" TEXT NOT NULL,
    "heard_at" INTEGER NOT NULL,
    "identity_key" TEXT NOT NULL,
    "key_set" TEXT NULL,
    "queued" INTEGER NOT NULL,
    "ready" INTEGER NOT NULL,
    "relay_key" BLOB NULL,
    "removed_at" INTEGER NULL,
    "running" INTEGER NOT NULL,
    "signed_at" INTEGER NOT NULL,
    "tls_pin" TEXT NULL,
    "unreachable" INTEGER NOT NULL,
    "unreported" INTEGER NOT NULL
);

INSERT INTO "ef_temp_nodes" ("id", "address", "heard_at", "identity_key", "key_set", "queued", "ready", "relay_key", "removed_at", "running", "signed_at", "tls_pin", "unreachable", "unreported")
SELECT "id", "address", "heard_at", "identity_key", "key_set", "queued", "ready", "relay_key", "removed_at", "running", "signed_at", "tls_pin", "unreachable", "unreported"
FROM "nodes";

CREATE TABLE "ef_temp_reservations" (
    "request_id" TEXT NOT NULL CONSTRAINT "PK_reservations" PRIMARY KEY,
    "deadline_at" INTEGER NOT NULL,
    "held" INTEGER NOT NULL,
    "lock_id" INTEGER NULL,
    "node_id" INTEGER NOT NULL,
    "stack_id" INTEGER NOT NULL,
    "state" TEXT NOT NULL,
    "user_id" INTEGER NOT NULL,
    CONSTRAINT "reservation_state" CHECK (state IN ('held', 'settled', 'released', 'unreported')),
    CONSTRAINT "FK_reservations_locks_lock_id" FOREIGN KEY ("lock_id") REFERENCES "locks" ("id") ON DELETE RESTRICT,
    CONSTRAINT "FK_reservations_nodes_node_id" FOREIGN KEY ("node_id") REFERENCES "nodes" ("id") ON DELETE RESTRICT,
    CONSTRAINT "FK_reservations_stacks_stack_id" FOREIGN KEY ("stack_id") REFERENCES "stacks" ("id") ON DELETE RESTRICT,
    CONSTRAINT "FK_reservations_users_user_id" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE RESTRICT
);

INSERT INTO "ef_temp_reservations" ("request_id", "deadline_at", "held", "lock_id", "node_id", "stack_id", "state", "user_id")
SELECT "request_id", "deadline_at", "held", "lock_id", "node_id", "stack_id", "state", "user_id"
FROM "reservations";

PRAGMA foreign_keys = 0;

DROP TABLE "nodes";

ALTER TABLE "ef_temp_nodes" RENAME TO "nodes";

DROP TABLE "reservations";

ALTER TABLE "ef_temp_reservations" RENAME TO "reservations";

PRAGMA foreign_keys = 1;

CREATE UNIQUE INDEX "IX_nodes_identity_key" ON "nodes" ("identity_key");

CREATE INDEX "IX_reservations_deadline_at" ON "reservations" ("deadline_at") WHERE state = 'held';

CREATE INDEX "IX_reservations_lock_id" ON "reservations" ("lock_id");

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261128061538_KeySetsAndUsageParts', '10.0.15');

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

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261128085846_NarrowReservations', '10.0.15');

ALTER TABLE "node_key_sets" ADD "bundle" BLOB NULL;

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261128134425_KeySetBundles', '10.0.15');

ALTER TABLE "reservations" ADD "is_attested" INTEGER NOT NULL DEFAULT 0;

CREATE TABLE "node_signing_keys" (
    "node_id" INTEGER NOT NULL,
    "digest" TEXT NOT NULL,
    "signing" TEXT NOT NULL,
    "ends_at" INTEGER NOT NULL,
    CONSTRAINT "PK_node_signing_keys" PRIMARY KEY ("node_id", "digest"),
    CONSTRAINT "FK_node_signing_keys_nodes_node_id" FOREIGN KEY ("node_id") REFERENCES "nodes" ("id") ON DELETE RESTRICT
);

CREATE TABLE "vouchers" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_vouchers" PRIMARY KEY AUTOINCREMENT,
    "request_id" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL,
    "signed" BLOB NOT NULL,
    CONSTRAINT "FK_vouchers_settlements_request_id" FOREIGN KEY ("request_id") REFERENCES "settlements" ("request_id") ON DELETE RESTRICT
);

CREATE UNIQUE INDEX "IX_vouchers_request_id" ON "vouchers" ("request_id");

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261128192151_Vouchers', '10.0.15');

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

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261128224903_Money', '10.0.15');
