-- Database roles for maskline: one for each kind of process, each with what that process does and nothing more.
--
--   psql -v ON_ERROR_STOP=1 -f roles.sql "$ADMIN_DATABASE_URL"
--   DATABASE_URL=postgres://maskline_owner:…@…/… maskline migrate
--   psql -v ON_ERROR_STOP=1 -f roles.sql "$ADMIN_DATABASE_URL"
--
-- Run it in the database that maskline loads, as a superuser or as the database's owner with CREATEROLE. It is one
-- transaction, changes nothing when all is as it should be, and may run while maskline works. Before the first
-- `migrate` it makes the roles and lets the owner make schemas; after each `migrate` it grants what is new. A schema
-- that somebody else migrated becomes maskline_owner's. Where the queues are in a Postgres of their own, run it there too.
--
-- The roles can't log in yet. Either let them,
--
--   alter role maskline_ingest login password '…';
--
-- or give users of your own their rights; what such a user migrates must still be maskline_owner's:
--
--   create role svc_ingest login password '…' in role maskline_ingest;
--   create role svc_owner login password '…' in role maskline_owner;
--   alter role svc_owner set role maskline_owner;
--
-- Target tables that maskline_owner makes in the schema public (`create: true`) need no more, unless rows of theirs are
-- overwritten (`mode: upsert`), which takes `target.grants` of select and update to maskline_loader and
-- maskline_operator. For others:
--
--   grant usage on schema shop to maskline_loader, maskline_operator, maskline_analyst;
--   grant insert on shop.logins to maskline_loader, maskline_operator;  -- and usage on sequences of serial columns
--   grant select on shop.logins to maskline_analyst;
--   grant usage, create on schema shop to maskline_owner;  -- under `create: true`, before `migrate`
--   grant select, update on shop.logins to maskline_loader, maskline_operator;  -- under `mode: upsert` only
--   grant select on shop.logins to maskline_owner;  -- and usage on the schema, for `maskline prove`
--
-- `maskline validate --connect` as maskline_loader says whether a right is missing.

begin;
set local client_min_messages = warning;

do $$
declare
  each record;
begin
  for each in
    select * from (values
      ('maskline_owner', 'maskline: owns its schema and the tables that it makes; `migrate` only'),
      ('maskline_ingest', 'maskline: the ingest process'),
      ('maskline_transform', 'maskline: the transform process'),
      ('maskline_loader', 'maskline: the load process; adds rows, and changes none but under `mode: upsert`'),
      ('maskline_operator', 'maskline: the admin process, and the commands that look, steer, replay and prune'),
      ('maskline_all', 'maskline: one process for all of it: `run all`, `drain`, `failed retry`'),
      ('maskline_analyst', 'maskline: who reads the target tables; sees nothing else'),
      ('maskline_revealer', 'maskline: who may turn tokens back, on record, and approve it for others'),
      ('maskline_auditor', 'maskline: who checks what became of each record, and who revealed; sees no sealed value')
    ) as roles (name, purpose)
  loop
    begin
      execute format('create role %I nologin', each.name);
    exception when duplicate_object or unique_violation then
      null;
    end;
    execute format('comment on role %I is %L', each.name, each.purpose);
  end loop;
  grant maskline_ingest, maskline_transform, maskline_loader, maskline_operator to maskline_all;
  -- What follows changes what the owner owns, which only its members may.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant maskline_owner to %I', current_user);
  end if;
  execute format('grant connect, create on database %I to maskline_owner', current_database());
  execute format('grant connect, temporary on database %I to maskline_loader', current_database());
  execute format(
    'grant connect on database %I to maskline_ingest, maskline_transform, maskline_operator, maskline_analyst, '
    'maskline_revealer, maskline_auditor', current_database());
end
$$;

-- Target tables that the owner makes in public.
grant usage, create on schema public to maskline_owner;
grant usage on schema public to maskline_loader, maskline_operator, maskline_analyst;
alter default privileges for role maskline_owner in schema public
  grant insert on tables to maskline_loader, maskline_operator;
alter default privileges for role maskline_owner in schema public
  grant usage on sequences to maskline_loader, maskline_operator;
alter default privileges for role maskline_owner in schema public grant select on tables to maskline_analyst;
-- Functions are for everybody unless one says otherwise, and some of the owner's run with the owner's rights.
alter default privileges for role maskline_owner revoke execute on functions from public;

-- Schemas that somebody else migrated before there were roles.
do $$
declare
  each record;
  schema regnamespace;
  owner constant oid := 'maskline_owner'::regrole;
begin
  for schema in select oid from pg_namespace where nspname in ('maskline', 'maskline_queue') loop
    if (select nspowner from pg_namespace where oid = schema) <> owner then
      execute format('alter schema %s owner to maskline_owner', schema);
    end if;
    for each in
      select c.oid::regclass as name, case c.relkind when 'S' then 'sequence' else 'table' end as kind
        from pg_class c
       where c.relnamespace = schema and c.relkind in ('r', 'p', 'v', 'S') and c.relowner <> owner
         -- A sequence that belongs to a column follows its table.
         and not exists (
           select from pg_depend d
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0)
    loop
      execute format('alter %s %s owner to maskline_owner', each.kind, each.name);
    end loop;
    for each in select oid::regprocedure as name from pg_proc where pronamespace = schema and proowner <> owner loop
      execute format('alter routine %s owner to maskline_owner', each.name);
    end loop;
    for each in
      select t.oid::regtype as name from pg_type t left join pg_class c on c.oid = t.typrelid
       where t.typnamespace = schema and (t.typtype in ('e', 'd') or c.relkind = 'c') and t.typowner <> owner
    loop
      execute format('alter type %s owner to maskline_owner', each.name);
    end loop;
  end loop;
end
$$;

-- Who may do what in the schema maskline. What a role had before and is not in here, it has no longer.
do $$
declare
  each record;
  everyone constant text :=
    'maskline_ingest, maskline_transform, maskline_loader, maskline_operator, maskline_all, maskline_analyst, '
    'maskline_revealer, maskline_auditor';
begin
  if to_regnamespace('maskline') is null then return; end if;
  execute 'revoke all on schema maskline from public, ' || everyone;
  execute 'revoke all on all tables in schema maskline from public, ' || everyone;
  execute 'revoke all on all sequences in schema maskline from public, ' || everyone;
  execute 'revoke all on all routines in schema maskline from public, ' || everyone;
  -- Rights to columns stay when those to the table go.
  for each in
    select a.attrelid::regclass as name, string_agg(quote_ident(a.attname), ', ') as columns
      from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace = 'maskline'::regnamespace and a.attacl is not null and not a.attisdropped
     group by a.attrelid
  loop
    execute format('revoke all (%s) on %s from public, %s', each.columns, each.name, everyone);
  end loop;
  grant usage on schema maskline
    to maskline_ingest, maskline_transform, maskline_loader, maskline_operator, maskline_revealer, maskline_auditor;

  for each in
    select * from (values
      -- At its start each process looks whether the schema is of its version.
      ('migrations', 'select', 'maskline_ingest, maskline_transform, maskline_loader, maskline_operator, '
        'maskline_revealer, maskline_auditor'),
      -- The ingester decides what is let go, and keeps the record of runs, schedules and breakers.
      ('loads', 'select, insert', 'maskline_ingest'),
      ('runs', 'select, insert, update', 'maskline_ingest'),
      ('schedules', 'select, insert, update', 'maskline_ingest'),
      ('breaker', 'select, insert, update', 'maskline_ingest'),
      -- It receives nothing for workers that have all stopped.
      ('processes', 'select (role, pipelines, seen_at, stopped)', 'maskline_ingest'),
      -- The loader adds. What it has sealed away it can't read again.
      ('ledger', 'select, insert', 'maskline_loader'),
      ('loads', 'select, insert', 'maskline_loader'),
      ('quarantine', 'insert', 'maskline_loader'),
      -- The operator looks, pauses and resumes; replays the quarantine, which is a run that loads, and purges it. All
      -- else that is to go, functions take away.
      ('runs', 'select, insert, update', 'maskline_operator'),
      ('loads', 'select, insert', 'maskline_operator'),
      ('processes', 'select', 'maskline_operator'),
      ('quarantine', 'select, update (replayed_at, replayed_in, replayed_rows, code, path), delete', 'maskline_operator'),
      -- What it purges is noted, and cannot be unnoted.
      ('purged', 'select, insert', 'maskline_operator'),
      -- It proves, too; of the targets it sees the ids of their rows, by functions.
      ('ledger', 'select', 'maskline_operator'),
      ('baselines', 'select', 'maskline_operator'),
      ('policies', 'select', 'maskline_operator'),
      ('horizons', 'select', 'maskline_operator'),
      ('erased', 'select', 'maskline_operator'),
      ('schedules', 'select, insert, update', 'maskline_operator'),
      ('breaker', 'select, insert, update', 'maskline_operator'),
      -- It tells the webhook.
      ('notices', 'select, insert, update, delete', 'maskline_operator'),
      -- The auditor counts, and proves.
      ('ledger', 'select', 'maskline_auditor'),
      ('loads', 'select', 'maskline_auditor'),
      ('runs', 'select', 'maskline_auditor'),
      ('schedules', 'select', 'maskline_auditor'),
      ('breaker', 'select', 'maskline_auditor'),
      ('quarantine', 'select (id, pipeline, record_id, message_id, batch_id, code, path, kind, kid, sent_at, '
        'quarantined_at, replayed_at, replayed_in, replayed_rows)', 'maskline_auditor'),
      ('purged', 'select', 'maskline_auditor'),
      ('baselines', 'select', 'maskline_auditor'),
      ('policies', 'select', 'maskline_auditor'),
      ('horizons', 'select', 'maskline_auditor'),
      ('erased', 'select', 'maskline_auditor'),
      -- And walks the chain of reveals. No role writes to it but by functions, and nobody changes a row of it.
      ('reveals', 'select', 'maskline_auditor'),
      ('reveal_limits', 'select', 'maskline_auditor'),
      ('reveal_requests', 'select', 'maskline_revealer, maskline_auditor')
    ) as grants (name, rights, roles)
  loop
    continue when to_regclass('maskline.' || each.name) is null;
    execute format('grant %s on maskline.%I to %s', each.rights, each.name, each.roles);
  end loop;

  for each in
    select * from (values
      -- Each process says that it is there.
      ('process_seen', 'maskline_ingest, maskline_transform, maskline_loader, maskline_operator'),
      ('process_stops', 'maskline_ingest, maskline_transform, maskline_loader, maskline_operator'),
      ('process_gone', 'maskline_ingest, maskline_transform, maskline_loader, maskline_operator'),
      ('ensure_ledger_partitions', 'maskline_ingest, maskline_operator'),
      ('ensure_target_partitions', 'maskline_ingest, maskline_operator'),
      -- With the loader's own rights.
      ('load_one_by_one', 'maskline_loader'),
      ('upsert_one_by_one', 'maskline_loader'),
      ('load_records_one_by_one', 'maskline_loader'),
      ('row_plan', 'maskline_loader'),
      ('refuses_row', 'maskline_loader'),
      ('refused_column', 'maskline_loader'),
      ('first_id_at', 'maskline_operator, maskline_auditor'),
      ('target_keys', 'maskline_operator, maskline_auditor'),
      ('target_count', 'maskline_operator, maskline_auditor'),
      -- Who masks asks for tokens, and reads no value.
      ('vault_tokens', 'maskline_transform, maskline_operator'),
      ('note_unsealing', 'maskline_operator'),
      -- How many values were revealed, and nothing about them.
      ('count_reveals', 'maskline_operator'),
      -- Sealed values are for who was granted them, on record.
      ('begin_reveal', 'maskline_revealer'),
      ('end_reveal', 'maskline_revealer'),
      ('vault_sealed', 'maskline_revealer'),
      ('approve_reveal', 'maskline_revealer'),
      ('count_prunable', 'maskline_operator'),
      ('prune', 'maskline_operator'),
      ('drop_ledger_partition', 'maskline_operator')
    ) as grants (name, roles)
  loop
    continue when to_regproc('maskline.' || each.name) is null;
    execute format('grant execute on function maskline.%I to %s', each.name, each.roles);
  end loop;
end
$$;

-- Queues on Postgres: BullMQ's tables, in the schema `<queue.prefix>_queue`, which all processes work on.
do $$
declare
  each record;
  workers constant text := 'maskline_ingest, maskline_transform, maskline_loader, maskline_operator';
begin
  for each in
    select nspname as name from pg_namespace
     where nspname like '%\_queue' and nspowner = 'maskline_owner'::regrole
  loop
    execute format('grant usage on schema %I to %s', each.name, workers);
    execute format('grant select, insert, update, delete on all tables in schema %I to %s', each.name, workers);
    execute format('grant usage, select on all sequences in schema %I to %s', each.name, workers);
    execute format('grant execute on all routines in schema %I to %s', each.name, workers);
  end loop;
end
$$;

commit;
