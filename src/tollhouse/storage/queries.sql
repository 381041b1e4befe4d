-- Statements of the storage package: the time, the embedded server's database and the record of migrations. The
-- statements of `migrate` run with the schema as the only one in the search path.

-- name: select_time()$
-- Return the database's time.
SELECT clock_timestamp();

-- name: select_is_standby()$
-- Return whether this server is a standby.
SELECT pg_is_in_recovery();

-- name: select_role_exists(name)$
-- Return whether the server has a role of this name.
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :name);

-- name: create_program_role()#
-- Create the program's role. Keep the details of failed statements out of its log, because they contain values of rows.
CREATE ROLE tollhouse_program LOGIN;
ALTER ROLE tollhouse_program SET log_error_verbosity TO terse;

-- name: select_database_owner(name)$
-- Return the owner of a database, or nothing if it does not exist.
SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = :name;

-- name: create_database()#
-- Create the program's database on a new cluster, outside of any transaction, as PostgreSQL requires.
CREATE DATABASE tollhouse OWNER tollhouse_program;

-- name: hand_over_database()#
-- Transfer the database, and everything that migrations created in it, to the program's role: all of it or nothing.
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
        -- Sequences of identity columns follow their tables.
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
        -- The row types of tables and views follow these.
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
-- Wait for a concurrent migration of this schema. The lock ends with the database transaction.
SELECT pg_advisory_xact_lock(hashtextextended('tollhouse migrate ' || :schema, 0));

-- name: update_search_path(schema)$
-- Make the schema the only one in the search path, until the database transaction ends.
SELECT set_config('search_path', quote_ident(:schema), true);

-- name: update_lock_timeout(milliseconds)$
-- Set the lock timeout of each statement, until the database transaction ends.
SELECT set_config('lock_timeout', :milliseconds, true);

-- name: select_create_schema(schema)$
-- Return the statement that creates the schema, which takes no parameters itself.
SELECT format('CREATE SCHEMA IF NOT EXISTS %I', :schema::text);

-- name: create_migration_table()#
-- Create the table of applied migrations; `digest` is the SHA-256 of the text as it was applied.
CREATE TABLE IF NOT EXISTS migration (
    name text PRIMARY KEY,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: select_migration_table_exists()$
-- Return whether any migration was ever applied here.
SELECT to_regclass('migration') IS NOT NULL;

-- name: select_migrations()
-- Return the applied migrations, in order.
SELECT name, digest FROM migration ORDER BY name COLLATE "C";

-- name: insert_migration(name, digest)!
-- Record one applied file.
INSERT INTO migration (name, digest) VALUES (:name, :digest);

-- name: reserve_ids(kind, size)$
-- Reserve IDs of a kind and return the first.
SELECT reserve_ids_v1(:kind, :size);

-- name: delete_expired(table_name, column_name, kept, most)$
-- Delete rows of a table that expired, and return their number.
select delete_expired_v1(:table_name, :column_name, :kept, :most);

-- name: select_expired_lag(table_name, column_name, kept)$
-- Return for how many seconds the oldest row of a table has been expired.
select extract(epoch from expired_since_v1(:table_name, :column_name, :kept))::double precision;

-- name: update_installation(number)!
-- Set the last two digits of all future IDs.
UPDATE installation SET number = :number WHERE number <> :number;

-- name: select_connection_limit$
-- Return the number of connections that the server accepts, without those reserved for administrators.
select current_setting('max_connections')::integer
    - current_setting('superuser_reserved_connections')::integer
    - coalesce(current_setting('reserved_connections', true), '0')::integer;
