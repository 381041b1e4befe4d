-- Statements of the storage package itself: the time, the embedded server's database, the record of migrations, and the request ids of
-- what one transaction creates. Those of `migrate` run with the schema as the only one in the search path.

-- name: select_time()$
-- The time of the books.
SELECT clock_timestamp();

-- name: select_database_exists(name)$
-- Whether the server has a database of this name.
SELECT EXISTS (SELECT FROM pg_database WHERE datname = :name);

-- name: update_role_logging()#
-- Keep the details of failed statements, which carry the values of rows, out of the log.
ALTER ROLE tollhouse SET log_error_verbosity TO terse;

-- name: create_database()#
-- Make our database on a new cluster; outside of any transaction, as PostgreSQL wants it.
CREATE DATABASE tollhouse;

-- name: lock_migrations(schema)$
-- Wait for whoever migrates this schema now; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('tollhouse migrate ' || :schema, 0));

-- name: update_search_path(schema)$
-- Make the schema the only one that names are looked up in, until the transaction ends.
SELECT set_config('search_path', quote_ident(:schema), true);

-- name: select_create_schema(schema)$
-- The statement that makes the schema, which takes no parameters itself.
SELECT format('CREATE SCHEMA IF NOT EXISTS %I', :schema::text);

-- name: create_migration_table()#
-- The record of what was applied; `digest` is the SHA-256 of the file as it was applied.
CREATE TABLE IF NOT EXISTS migration (
    name text PRIMARY KEY,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: select_migration_table_exists()$
-- Whether anything was ever applied here.
SELECT to_regclass('migration') IS NOT NULL;

-- name: select_migrations()
-- What was applied, in order.
SELECT name, digest FROM migration ORDER BY name COLLATE "C";

-- name: insert_migration(name, digest)!
-- Record one applied file.
INSERT INTO migration (name, digest) VALUES (:name, :digest);

-- name: reserve_ids(kind, size)$
-- Reserve ids of a kind and return the first.
SELECT reserve_ids(:kind, :size);

-- name: update_installation(number)!
-- Set the two digits that end every id from now on.
UPDATE installation SET number = :number WHERE number <> :number;

-- name: insert_claim(merchant_id, operation, request_id, digest)$
-- Take a request id, waiting for a concurrent claimant; nothing comes back when it was taken before.
INSERT INTO request_claim (merchant_id, operation, request_id, digest)
VALUES (:merchant_id, :operation, :request_id, :digest)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: lease_claim(merchant_id, operation, request_id, digest, lease_seconds)$
-- Take a request id for work that goes on after the commit, waiting for a concurrent claimant; one without an answer is taken over when
-- its time is over. Nothing comes back when it is in other hands, or has its answer.
INSERT INTO request_claim AS known (merchant_id, operation, request_id, digest)
VALUES (:merchant_id, :operation, :request_id, :digest)
ON CONFLICT (merchant_id, operation, request_id) DO UPDATE
SET created_at = now()
WHERE known.answer IS NULL AND known.digest = excluded.digest
    AND known.created_at <= now() - make_interval(secs => :lease_seconds)
RETURNING true;

-- name: update_claim_answer(merchant_id, operation, request_id, status, answer)!
-- Record the answer, in the transaction that took the id.
UPDATE request_claim
SET status = :status, answer = :answer
WHERE merchant_id = :merchant_id AND operation = :operation AND request_id = :request_id;

-- name: delete_claim(merchant_id, operation, request_id, digest)!
-- Give a request id back: what was to follow the creation failed, and the creation was taken back.
DELETE FROM request_claim
WHERE merchant_id = :merchant_id AND operation = :operation AND request_id = :request_id AND digest = :digest;

-- name: select_claim(merchant_id, operation, request_id)^
-- Return the answer that stands under a request id, and the digest of the body that it answers.
SELECT digest, status, answer
FROM request_claim
WHERE merchant_id = :merchant_id AND operation = :operation AND request_id = :request_id;
