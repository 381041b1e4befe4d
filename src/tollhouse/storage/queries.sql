-- Statements of the storage package itself: the time, the embedded server's database, the record of migrations, and the request ids of
-- what one transaction creates. Those of `migrate` run with the schema as the only one in the search path.

-- name: select_time()$
-- The time of the books.
SELECT clock_timestamp();

-- name: select_is_standby()$
-- Whether this server follows another one.
SELECT pg_is_in_recovery();

-- name: select_role_exists(name)$
-- Whether the server has a role of this name.
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :name);

-- name: create_program_role()#
-- Make the role of the program, and keep the details of failed statements, which carry the values of rows, out of its log.
CREATE ROLE tollhouse_program LOGIN;
ALTER ROLE tollhouse_program SET log_error_verbosity TO terse;

-- name: select_database_owner(name)$
-- Return the role that owns a database; nothing when there is no such database.
SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = :name;

-- name: create_database()#
-- Make our database on a new cluster; outside of any transaction, as PostgreSQL wants it.
CREATE DATABASE tollhouse OWNER tollhouse_program;

-- name: hand_over_database()#
-- Give the database, and all that migrations made in it, to the role of the program: all of it or nothing.
DO $$
DECLARE
    own record;
BEGIN
    FOR own IN
        SELECT 'SCHEMA' AS kind, quote_ident(nspname) AS name
        FROM pg_namespace WHERE nspname IN ('gateway', 'simulator')
        UNION ALL
        SELECT 'TABLE', c.oid::regclass::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('gateway', 'simulator') AND c.relkind IN ('r', 'p', 'v', 'm')
        UNION ALL
        -- Those of identity columns go with their tables.
        SELECT 'SEQUENCE', c.oid::regclass::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('gateway', 'simulator') AND c.relkind = 'S' AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
        )
        UNION ALL
        SELECT 'ROUTINE', p.oid::regprocedure::text
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname IN ('gateway', 'simulator')
        UNION ALL
        -- The row types of tables and views go with these.
        SELECT 'TYPE', t.oid::regtype::text
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE n.nspname IN ('gateway', 'simulator') AND (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c')
        UNION ALL
        SELECT 'DATABASE', quote_ident(current_database())
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO tollhouse_program', own.kind, own.name);
    END LOOP;
END
$$;

-- name: lock_migrations(schema)$
-- Wait for whoever migrates this schema now; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('tollhouse migrate ' || :schema, 0));

-- name: update_search_path(schema)$
-- Make the schema the only one that names are looked up in, until the transaction ends.
SELECT set_config('search_path', quote_ident(:schema), true);

-- name: update_lock_timeout(milliseconds)$
-- Limit the time for which each statement waits for a lock, until the transaction ends.
SELECT set_config('lock_timeout', :milliseconds, true);

-- name: select_create_schema(schema)$
-- The statement that makes the schema, which takes no parameters itself.
SELECT format('CREATE SCHEMA IF NOT EXISTS %I', :schema::text);

-- name: create_migration_table()#
-- The applied migrations; `digest` is the SHA-256 of the text as it was applied.
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
SELECT reserve_ids_v1(:kind, :size);

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

-- name: select_connection_limit$
-- Return how many connections the server takes, besides those it keeps for its administrators.
select current_setting('max_connections')::integer
    - current_setting('superuser_reserved_connections')::integer
    - coalesce(current_setting('reserved_connections', true), '0')::integer;
