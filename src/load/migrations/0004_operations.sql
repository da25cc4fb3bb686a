-- What operators look at and what is cleaned up: processes, success of schedules, and pruning.

alter table maskline.schedules
  -- When the latest tick that ended well began, also one that found nothing.
  add column last_succeeded_at timestamptz,
  -- The end of the latest pause, or of an open breaker: until the next tick nothing can have succeeded since.
  add column resumed_at timestamptz;

-- When the oldest message of a committed batch was sent: how late it came.
alter table maskline.loads add column oldest_sent_at timestamptz;

create table maskline.processes (
  id uuid primary key,
  role text not null,
  owner text not null,
  version text not null,
  pipelines text[] not null default '{}',
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
);

comment on table maskline.processes is 'Role processes, each with when it last said that it is alive.';

-- Open entries are counted by code, newest first: the code belongs into the index, so that the sealed rows stay unread.
drop index maskline.quarantine_open;
create index quarantine_open on maskline.quarantine (pipeline, quarantined_at) include (code) where replayed_at is null;
create index quarantine_replayed on maskline.quarantine (replayed_at) where replayed_at is not null;

-- The functions below run with their owner's rights, so that a role need not own, or even read, what it may change.

-- Says that a process is alive; the first time it enters it.
create function maskline.process_seen(
  process_id uuid, process_role text, process_owner text, process_version text, process_pipelines text[])
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into maskline.processes as p (id, role, owner, version, pipelines)
  values (process_id, process_role, process_owner, process_version, process_pipelines)
  on conflict (id) do update set seen_at = now(), pipelines = excluded.pipelines
$$;

create function maskline.process_gone(process_id uuid) returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  delete from maskline.processes where id = process_id
$$;

-- The least UUIDv7 of that time (RFC 9562: milliseconds first). Ids of runs and batches are such, so that their primary
-- keys find the old ones.
create function maskline.first_id_at(moment timestamptz) returns uuid
language sql immutable
as $$
  select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- What may be pruned. Each is a plain query, so that the planner sees through it and takes the first rows only.

-- Daily partitions that end before the time.
create function maskline.prunable_partitions(before timestamptz) returns setof text
language sql stable
as $$
  select c.relname::text
    from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
   where i.inhparent = 'maskline.ledger'::regclass and c.relname ~ '^ledger_\d{8}$'
     and (to_date(substr(c.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC' <= before
$$;

-- Rows that came before their day had a partition.
create function maskline.prunable_ledger_rows(before timestamptz) returns setof tid
language sql stable
as $$
  select ctid from maskline.ledger_default where sent_at < before
$$;

-- Never of a run that is running or young.
create function maskline.prunable_loads(before timestamptz) returns setof uuid
language sql stable
as $$
  select l.batch_id from maskline.loads l
   where l.batch_id < maskline.first_id_at(before) and l.received_at < before
     and not exists (
       select from maskline.runs r
        where r.run_id = l.run_id and (r.state = 'running' or coalesce(r.finished_at, r.heartbeat_at) >= before))
$$;

-- Only with all of its batches.
create function maskline.prunable_runs(before timestamptz) returns setof uuid
language sql stable
as $$
  select r.run_id from maskline.runs r
   where r.run_id < maskline.first_id_at(before) and r.state <> 'running'
     and coalesce(r.finished_at, r.heartbeat_at) < before
     and not exists (
       select from maskline.loads l
        where l.run_id = r.run_id
          and not (l.batch_id < maskline.first_id_at(before) and l.received_at < before))
$$;

create function maskline.prunable_quarantine(before timestamptz) returns setof uuid
language sql stable
as $$
  select id from maskline.quarantine where replayed_at < before
$$;

create function maskline.prunable_processes(before timestamptz) returns setof uuid
language sql stable
as $$
  select id from maskline.processes where seen_at < before
$$;

-- What decides about repeats is kept for a day in any case, whoever calls: an ingester holds messages for 11 hours.
create function maskline.require_old(kind text, before timestamptz) returns void
language plpgsql
as $$
begin
  if kind in ('ledger_partitions', 'ledger_rows', 'loads', 'runs') and before > now() - interval '1 day' then
    raise exception 'too young to be pruned: % after %', kind, now() - interval '1 day' using errcode = '22023';
  end if;
end
$$;

-- How many of that kind are from before the time.
create function maskline.count_prunable(kind text, before timestamptz) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform maskline.require_old(kind, before);
  return case kind
    when 'ledger_partitions' then (select count(*) from maskline.prunable_partitions(before))
    when 'ledger_rows' then (select count(*) from maskline.prunable_ledger_rows(before))
    when 'loads' then (select count(*) from maskline.prunable_loads(before))
    when 'runs' then (select count(*) from maskline.prunable_runs(before))
    when 'quarantine' then (select count(*) from maskline.prunable_quarantine(before))
    when 'processes' then (select count(*) from maskline.prunable_processes(before))
  end;
end
$$;

-- Deletes so many of that kind at most, and returns how many there were.
create function maskline.prune(kind text, before timestamptz, max_rows integer) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  deleted bigint;
begin
  perform maskline.require_old(kind, before);
  case kind
    when 'ledger_rows' then
      delete from maskline.ledger_default
       where ctid = any (array(select p from maskline.prunable_ledger_rows(before) as p limit max_rows));
    when 'loads' then
      delete from maskline.loads
       where batch_id = any (array(select p from maskline.prunable_loads(before) as p order by p limit max_rows));
    when 'runs' then
      delete from maskline.runs
       where run_id = any (array(select p from maskline.prunable_runs(before) as p order by p limit max_rows));
    when 'quarantine' then
      delete from maskline.quarantine
       where id = any (array(select p from maskline.prunable_quarantine(before) as p limit max_rows));
    when 'processes' then
      delete from maskline.processes
       where id = any (array(select p from maskline.prunable_processes(before) as p limit max_rows));
  end case;
  get diagnostics deleted = row_count;
  return deleted;
end
$$;

-- Drops the oldest partition of the ledger that ends before the time, and returns its name; null when there is none.
-- Dropping one locks the whole ledger for a moment, and loaders queue up behind who waits for that: it waits so short
-- that they hardly notice, and the caller tries again (SQLSTATE 55P03). Detaching concurrently is not possible in a
-- function, nor for a table with a default partition.
create function maskline.drop_ledger_partition(before timestamptz) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '300ms'
as $$
declare
  oldest text;
begin
  perform maskline.require_old('ledger_partitions', before);
  select min(p) into oldest from maskline.prunable_partitions(before) as p;
  if oldest is not null then execute format('drop table maskline.%I', oldest); end if;
  return oldest;
end
$$;

revoke all on function
  maskline.process_seen(uuid, text, text, text, text[]),
  maskline.process_gone(uuid),
  maskline.count_prunable(text, timestamptz),
  maskline.prune(text, timestamptz, integer),
  maskline.drop_ledger_partition(timestamptz)
from public;
