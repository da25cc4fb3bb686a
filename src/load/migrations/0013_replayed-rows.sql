-- An entry of a whole message may be replayed as several rows, or none.

-- How many rows its replay has loaded; null: one.
alter table maskline.quarantine add column replayed_rows integer;

-- Of all its entries that were replayed; null: as many as there were entries.
alter table maskline.purged add column replayed_rows bigint;

-- As before, and how many rows were replayed of what goes is noted too.
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
