-- What `maskline prove` reconciles by: how many rows a table had that are not ours, which columns tell what a row came
-- from, how far back maskline's own records go, and what was taken out of the quarantine by right.

-- At all times: rows of a table = the sum, over the pipelines that have it, of their baseline and what their loads loaded.
create table maskline.baselines (
  pipeline text not null,
  -- As format('%I.%I', schema, table) spells it.
  target text not null,
  -- Less than none where a pipeline loaded another table before.
  rows bigint not null,
  taken_at timestamptz not null default clock_timestamp(),
  primary key (pipeline, target)
);

comment on table maskline.baselines is 'Rows of a target table that no batch on record has loaded.';

-- Written by `migrate`: under which policies rows say what they came from, and in which column.
create table maskline.policies (
  pipeline text not null,
  sha256 text not null,
  message_id_column text,
  batch_id_column text,
  sent_at_column text,
  noted_at timestamptz not null default now(),
  primary key (pipeline, sha256)
);

comment on table maskline.policies is 'Columns of a policy that hold the message id, batch id and time of sending of a row.';

create table maskline.horizons (
  what text primary key check (what in ('ledger', 'loads', 'purges')),
  at timestamptz not null
);

comment on table maskline.horizons is
  'ledger, loads: what is from before may have been pruned; purges: what was purged since is in maskline.purged.';

insert into maskline.horizons (what, at) values ('purges', now());

-- Which replay's batch has loaded an entry.
alter table maskline.quarantine add column replayed_in uuid;

create table maskline.purged (
  pipeline text not null,
  -- Of the batch that the entries came with, and of the one that replayed them.
  batch_id uuid not null,
  replayed_in uuid,
  kind text not null,
  entries bigint not null,
  -- Of their messages: whether the ledger still knows all of them.
  oldest_sent_at timestamptz not null,
  purged_at timestamptz not null default now()
);

comment on table maskline.purged is 'How many quarantine entries were deleted by `quarantine purge` and `prune`.';

-- The columns that tell what each row of a pipeline's table came from, as its policy was noted to have them: no other
-- column, of no other table. It runs with its owner's rights, so that who proves need not read what was loaded.
create function maskline.target_keys(in_pipeline text, in_target text, in_sha256 text)
returns table (message_id text, batch_id text, sent_at timestamptz)
language plpgsql stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
-- Rather an error than rows that go unseen.
set row_security = off
rows 1000000
as $$
#variable_conflict use_column
declare
  noted maskline.policies;
begin
  perform maskline.require_baseline(in_pipeline, in_target);
  select * into noted from maskline.policies p where p.pipeline = in_pipeline and p.sha256 = in_sha256;
  return query execute format('select %s, %s, %s from %s',
    coalesce(quote_ident(noted.message_id_column), 'null') || '::text',
    coalesce(quote_ident(noted.batch_id_column), 'null') || '::text',
    coalesce(quote_ident(noted.sent_at_column), 'null') || '::timestamptz', in_target);
end
$$;

-- How many rows a pipeline's table has.
create function maskline.target_count(in_pipeline text, in_target text) returns bigint
language plpgsql stable
security definer
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
  counted bigint;
begin
  perform maskline.require_baseline(in_pipeline, in_target);
  execute format('select count(*) from %s', in_target) into counted;
  return counted;
end
$$;

-- Only the owner writes baselines: whatever stands there is the quoted name of a table.
create function maskline.require_baseline(in_pipeline text, in_target text) returns void
language plpgsql stable
as $$
begin
  if not exists (select from maskline.baselines b where b.pipeline = in_pipeline and b.target = in_target) then
    raise exception 'no baseline' using errcode = '42501';
  end if;
end
$$;

create function maskline.note_horizon(in_what text, moment timestamptz) returns void
language sql
as $$
  insert into maskline.horizons as h (what, at) values (in_what, moment)
  on conflict (what) do update set at = greatest(h.at, excluded.at)
$$;

-- As before, and what goes leaves a note behind.
create or replace function maskline.prune(kind text, before timestamptz, max_rows integer) returns bigint
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
      get diagnostics deleted = row_count;
      if deleted > 0 then perform maskline.note_horizon('ledger', before); end if;
    when 'loads' then
      -- Who takes a baseline at this moment would count what goes here once too often, or not at all.
      lock table maskline.baselines in share row exclusive mode;
      with gone as (
        delete from maskline.loads
         where batch_id = any (array(select p from maskline.prunable_loads(before) as p order by p limit max_rows))
        returning pipeline, loaded),
      sums as (select g.pipeline, sum(g.loaded) as loaded from gone g group by g.pipeline),
      moved as (
        update maskline.baselines b set rows = b.rows + s.loaded from sums s where b.pipeline = s.pipeline)
      select count(*) into deleted from gone;
      if deleted > 0 then perform maskline.note_horizon('loads', before); end if;
      delete from maskline.purged
       where ctid = any (array(
         select p.ctid from maskline.purged p
          where greatest(p.batch_id, p.replayed_in) < maskline.first_id_at(before) limit max_rows));
    when 'runs' then
      delete from maskline.runs
       where run_id = any (array(select p from maskline.prunable_runs(before) as p order by p limit max_rows));
      get diagnostics deleted = row_count;
    when 'quarantine' then
      with gone as (
        delete from maskline.quarantine
         where id = any (array(select p from maskline.prunable_quarantine(before) as p limit max_rows))
        returning pipeline, batch_id, replayed_in, quarantine.kind, sent_at),
      noted as (
        insert into maskline.purged (pipeline, batch_id, replayed_in, kind, entries, oldest_sent_at)
        select g.pipeline, g.batch_id, g.replayed_in, g.kind, count(*), min(g.sent_at) from gone g group by 1, 2, 3, 4)
      select count(*) into deleted from gone;
    when 'processes' then
      delete from maskline.processes
       where id = any (array(select p from maskline.prunable_processes(before) as p limit max_rows));
      get diagnostics deleted = row_count;
  end case;
  return deleted;
end
$$;

create or replace function maskline.drop_ledger_partition(before timestamptz) returns text
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
  if oldest is not null then
    execute format('drop table maskline.%I', oldest);
    perform maskline.note_horizon(
      'ledger', (to_date(substr(oldest, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC');
  end if;
  return oldest;
end
$$;

revoke all on function
  maskline.target_keys(text, text, text),
  maskline.target_count(text, text),
  maskline.require_baseline(text, text),
  maskline.note_horizon(text, timestamptz)
from public;
