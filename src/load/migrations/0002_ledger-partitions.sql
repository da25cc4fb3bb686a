-- Makes the ledger's partition of each day of the range, unless it is there. Safe when several call it at once.
-- Rows of such a day that came before their partition are in the default one and move along.
-- It runs with its owner's rights, so that an ingester may call it without owning the ledger.
create function maskline.ensure_ledger_partitions(from_day date, to_day date) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  day date;
  starts timestamptz;
  ends timestamptz;
  name text;
  made integer := 0;
begin
  if to_day - from_day > 400 then
    raise exception 'too many days: % to %', from_day, to_day using errcode = '22023';
  end if;
  for day in select generate_series(from_day, to_day, interval '1 day')::date loop
    name := 'ledger_' || to_char(day, 'YYYYMMDD');
    continue when to_regclass('maskline.' || name) is not null;
    -- One maker at a time, while inserts go on. An advisory lock would not do: acquiring one leaves this session's
    -- picture of the catalog as it was, without the table that the maker before us has made.
    lock table maskline.ledger in share update exclusive mode;
    continue when to_regclass('maskline.' || name) is not null;
    starts := day::timestamp at time zone 'UTC';
    ends := (day + 1)::timestamp at time zone 'UTC';
    execute format('create table maskline.%I (like maskline.ledger including all)', name);
    -- Attaching locks the default partition so in any case; doing it first keeps rows from slipping in meanwhile.
    lock table maskline.ledger_default in access exclusive mode;
    execute format(
      'with moved as (delete from maskline.ledger_default where sent_at >= $1 and sent_at < $2 returning *) '
      'insert into maskline.%I select * from moved', name) using starts, ends;
    -- Attached rather than made as a partition: that would lock the whole ledger against inserts.
    execute format(
      'alter table maskline.ledger attach partition maskline.%I for values from (%L) to (%L)', name, starts, ends);
    made := made + 1;
  end loop;
  return made;
end
$$;

revoke all on function maskline.ensure_ledger_partitions(date, date) from public;
