-- Pipelines that a process has stopped, by name: why, and since when. What works on the others goes on.
alter table maskline.processes add column stopped jsonb not null default '{}';

create function maskline.process_stops(process_id uuid, stops jsonb) returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  update maskline.processes set stopped = stops where id = process_id
$$;

revoke all on function maskline.process_stops(uuid, jsonb) from public;
