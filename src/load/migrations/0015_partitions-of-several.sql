-- A pipeline may have several tables, each with partitions of its own.
alter table maskline.partitioned_targets drop constraint partitioned_targets_pkey;
alter table maskline.partitioned_targets add primary key (pipeline, table_schema, table_name);

-- As before, but for the order of the tables.
create or replace function maskline.ensure_target_partitions() returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
-- Nobody is to wait for long behind it.
set lock_timeout = '2s'
as $$
declare
  wanted record;
  starts timestamp;
  name text;
  made integer := 0;
begin
  for wanted in
    select p.*, c.oid::regclass as parent, case p.every when 'day' then interval '1 day' else interval '1 month' end as step
      from maskline.partitioned_targets p
      join pg_namespace n on n.nspname = p.table_schema
      join pg_class c on c.relnamespace = n.oid and c.relname = p.table_name and c.relkind = 'p'
     where pg_has_role(c.relowner, 'MEMBER')
     -- In one order for all makers, who hold their locks to the end.
     order by p.table_schema, p.table_name, p.pipeline
  loop
    -- One maker at a time for a table, while inserts go on.
    execute format('lock table %s in share update exclusive mode', wanted.parent);
    for i in -wanted.back .. wanted.ahead loop
      starts := date_trunc(wanted.every, now()) + i * wanted.step;
      -- Names end after 63 bytes: a long one is replaced by its hash.
      name := case when octet_length(wanted.table_name) <= 54 then wanted.table_name
                   else md5(wanted.table_name) end
              || '_' || to_char(starts, case wanted.every when 'day' then 'YYYYMMDD' else 'YYYYMM' end);
      continue when to_regclass(format('%I.%I', wanted.table_schema, name)) is not null;
      begin
        -- Attached rather than made as a partition, which would keep everybody off the table. Identity columns are the
        -- parent's.
        execute format('create table %I.%I (like %s including all excluding identity)',
                       wanted.table_schema, name, wanted.parent);
        execute format('alter table %s attach partition %I.%I for values from (%L) to (%L)',
                       wanted.parent, wanted.table_schema, name, starts::date, (starts + wanted.step)::date);
        made := made + 1;
      exception when invalid_object_definition or check_violation then
        -- Undone with the block: the table is not left behind.
        null;
      end;
    end loop;
  end loop;
  return made;
end
$$;
