-- What `maskline prove` compares the tables of a pipeline of several with.

-- Of a table that is not the first of its pipeline, its name in `loads.further_rows`; null: it is the first, of which
-- `loads.loaded` has the rows.
alter table maskline.baselines add column further text;
-- Whether a record has as many rows there as a list has elements.
alter table maskline.baselines add column is_list boolean not null default false;

-- The columns of such a table, by the same name; '': those of the first.
alter table maskline.policies add column further text not null default '';
alter table maskline.policies drop constraint policies_pkey;
alter table maskline.policies add primary key (pipeline, sha256, further);

-- As before, with the columns of that table of the pipeline.
create or replace function maskline.target_keys(in_pipeline text, in_target text, in_sha256 text)
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
  select p.* into noted
    from maskline.baselines b
    join maskline.policies p on p.pipeline = b.pipeline and p.further = coalesce(b.further, '')
   where b.pipeline = in_pipeline and b.target = in_target and p.sha256 = in_sha256;
  return query execute format('select %s, %s, %s from %s',
    coalesce(quote_ident(noted.message_id_column), 'null') || '::text',
    coalesce(quote_ident(noted.batch_id_column), 'null') || '::text',
    coalesce(quote_ident(noted.sent_at_column), 'null') || '::timestamptz', in_target);
end
$$;

-- As before, and the rows that batches have loaded into each of their tables go into its baseline with them.
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
        returning pipeline, loaded, further_rows),
      sums as (
        select g.pipeline, null::text as further, sum(g.loaded) as loaded from gone g group by g.pipeline
        union all
        select g.pipeline, r.key, sum(r.value::bigint)
          from gone g, jsonb_each_text(g.further_rows) as r group by g.pipeline, r.key),
      moved as (
        update maskline.baselines b set rows = b.rows + s.loaded
          from sums s where b.pipeline = s.pipeline and b.further is not distinct from s.further)
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
        returning pipeline, batch_id, replayed_in, quarantine.kind, sent_at, replayed_rows),
      noted as (
        insert into maskline.purged (pipeline, batch_id, replayed_in, kind, entries, oldest_sent_at, replayed_rows)
        select g.pipeline, g.batch_id, g.replayed_in, g.kind, count(*), min(g.sent_at), sum(coalesce(g.replayed_rows, 1))
          from gone g group by 1, 2, 3, 4)
      select count(*) into deleted from gone;
    when 'processes' then
      delete from maskline.processes
       where id = any (array(select p from maskline.prunable_processes(before) as p limit max_rows));
      get diagnostics deleted = row_count;
  end case;
  return deleted;
end
$$;
