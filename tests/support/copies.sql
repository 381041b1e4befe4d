-- What a template keeps for its copies, so that one can be handed on as if it were new (tests/support/copies.py).

create schema copies;

-- Is not empty once a copy is another database than its template: what was defined or altered cannot be taken back here.
create table copies.alteration (command text not null);

create function copies.note_alteration() returns event_trigger language plpgsql as $$
begin
    insert into copies.alteration values (tg_tag);
end;
$$;

-- The rows that migrations made, to compare with. Other tables begin empty.
create table copies.kept_table (name text primary key, kept_name text not null);

create view copies.own_table as
select oid, reltuples, format('%I.%I', relnamespace::regnamespace, relname) as name
from pg_class
where relkind = 'r' and relnamespace in ('gateway'::regnamespace, 'simulator'::regnamespace);

do $$
declare
    own record;
    has_rows boolean;
begin
    for own in select * from copies.own_table loop
        execute format('select exists (select from %s)', own.name) into has_rows;
        if has_rows then
            execute format('create table copies.kept_%s as table %s', own.oid, own.name);
            insert into copies.kept_table values (own.name, format('copies.kept_%s', own.oid));
        end if;
    end loop;
    if exists (select from pg_sequence where pg_sequence_last_value(seqrelid) is not null) then
        raise 'migrations took numbers from a sequence; copies.renew has to know which';
    end if;
end;
$$;

-- Make the copy as it was; false where it cannot be: then it is of no more use.
-- Truncated tables are new files, and to the planner they are tables that were never filled.
create function copies.renew() returns boolean language plpgsql as $$
declare
    touched text;
    kept record;
    is_other boolean;
begin
    select string_agg(name, ', ') into touched
    from copies.own_table where pg_relation_size(oid) > 0 and name not in (select k.name from copies.kept_table k);
    if touched is not null then
        execute 'truncate ' || touched || ' cascade';
    end if;
    perform setval(seqrelid, seqstart, false) from pg_sequence where pg_sequence_last_value(seqrelid) is not null;
    for kept in select * from copies.kept_table loop
        execute format(
            'select exists ((table %1$s except all table %2$s) union all (table %2$s except all table %1$s))',
            kept.name, kept.kept_name
        ) into is_other;
        if is_other then
            return false;
        end if;
    end loop;
    return not exists (select from copies.alteration)
        and not exists (select from copies.own_table where reltuples >= 0)
        and not exists (select from pg_statistic join copies.own_table on oid = starelid);
end;
$$;

create event trigger note_alteration on ddl_command_end execute function copies.note_alteration();
create event trigger note_removal on sql_drop execute function copies.note_alteration();
