-- Records that have rows in several tables.

-- How many rows a batch added or wrote in tables other than its pipeline's first, by `schema.table`; null: it has none.
alter table maskline.loads add column further_rows jsonb;

-- How a row of text gets into a table: {table, columns, keys, newest}, with table as SQL has it. The statement has the
-- row as its $1, a text[] in the order of `columns`. With `keys` it overwrites what it meets there, unless that is newer
-- by the column `newest`; `superseded` then asks whether the row that is there goes before it, and is null where none
-- does. `types` and `limits` are those of the columns.
create function maskline.row_plan(
  spec jsonb, out columns text[], out statement text, out superseded text, out types text[], out limits integer[])
language plpgsql stable
as $$
#variable_conflict use_column
declare
  target regclass := spec ->> 'table';
  newest text := spec ->> 'newest';
  keys text[];
  names text;
  selected text;
begin
  columns := array(select jsonb_array_elements_text(spec -> 'columns'));
  with recursive base as (
    select c.i, c.name, a.atttypid as type, a.atttypmod as typmod
      from unnest(columns) with ordinality as c (name, i)
      join pg_catalog.pg_attribute a on a.attrelid = target and a.attname = c.name
    union all
    select b.i, b.name, t.typbasetype, t.typtypmod
      from base b join pg_catalog.pg_type t on t.oid = b.type and t.typtype = 'd')
  select string_agg(format('%I', b.name), ', ' order by b.i),
         array_agg(format_type(b.type, -1) order by b.i),
         -- The n of varchar(n) and char(n), whose typmod counts a header of 4.
         array_agg(case when b.type in (1042, 1043) and b.typmod >= 0 then b.typmod - 4 end order by b.i)
    into names, types, limits
    from base b join pg_catalog.pg_type t on t.oid = b.type
   where t.typtype <> 'd';
  select string_agg(format('($1)[%s]::%s', i, types[i]), ', ' order by i)
    into selected from generate_subscripts(types, 1) as i;
  -- COPY writes identity columns as given; so must this.
  statement := format('insert into %s as t (%s) overriding system value select %s', target, names, selected);
  if jsonb_typeof(spec -> 'keys') <> 'array' then return; end if;
  keys := array(select jsonb_array_elements_text(spec -> 'keys'));

  select statement || format(' on conflict (%s) do ', (select string_agg(format('%I', k), ', ') from unnest(keys) as k))
           || coalesce(
             'update set ' || string_agg(format('%1$I = excluded.%1$I', name), ', ')
               || case when newest is null then ''
                       else format(' where t.%1$I is null or t.%1$I <= excluded.%1$I', newest) end,
             'nothing')
    into statement from unnest(columns) as c (name) where name <> all (keys);
  if newest is null and not columns <@ keys then return; end if;
  select format('select exists (select from %s t where %s)', target,
           string_agg(format('t.%I = ($1)[%s]::%s', name, i, types[i]), ' and ') filter (where name = any (keys))
             || coalesce(string_agg(
                  format(' and (($1)[%1$s] is null or t.%2$I >= ($1)[%1$s]::%3$s)', i, name, types[i]), '')
                  filter (where name = newest), ''))
    into superseded from unnest(columns) with ordinality as c (name, i);
end
$$;

-- load_one_by_one and upsert_one_by_one for records with rows in several tables: all rows of a record go in by one
-- subtransaction, or none. `targets` is a list of {table, columns, keys, newest}; the rows are in pg_temp.maskline_rows
-- (target, record, ordinal, vals), of which `target` counts from 1 and `record` is that of `records`. The order is
-- theirs: that of the ledger, and with keys that of sending and of the batch.
create function maskline.load_records_one_by_one(
  targets jsonb, in_pipeline text, in_batch uuid, records integer[], sent_ats timestamptz[], record_ids text[])
returns table (entry integer, outcome text, refused_state text, refused_column text, at_target integer)
language plpgsql
as $$
#variable_conflict use_column
declare
  statements text[];
  superseded text[];
  overwrites boolean;
  item record;
  line record;
  at_vals text[];
  affected bigint;
  is_there boolean;
  failed_schema text;
  failed_table text;
begin
  select array_agg(p.statement order by t.i), array_agg(p.superseded order by t.i),
         bool_or(jsonb_typeof(t.target -> 'keys') = 'array')
    into statements, superseded, overwrites
    from jsonb_array_elements(targets) with ordinality as t (target, i),
         maskline.row_plan(t.target) as p;

  for item in
    select e.entry, e.record, e.sent_at, e.record_id, convert_to(e.record_id, 'UTF8') as key
      from unnest(records, sent_ats, record_ids) with ordinality as e (record, sent_at, record_id, entry)
     order by e.sent_at, case when overwrites then e.record end, convert_to(e.record_id, 'UTF8')
  loop
    entry := item.entry;
    outcome := case when item.record is null then 'quarantined' else 'loaded' end;
    refused_state := null;
    refused_column := null;
    at_target := null;
    begin
      insert into maskline.ledger (pipeline, sent_at, key, record_id, batch_id, outcome)
        values (in_pipeline, item.sent_at, item.key, item.record_id, in_batch, outcome)
        on conflict do nothing;
      if not found then
        outcome := 'known';
      elsif item.record is not null then
        for line in
          select r.target, r.vals from pg_temp.maskline_rows r where r.record = item.record order by r.target, r.ordinal
        loop
          at_target := line.target;
          at_vals := line.vals;
          execute statements[at_target] using at_vals;
          get diagnostics affected = row_count;
          continue when affected = 1;
          is_there := false;
          if superseded[at_target] is not null then execute superseded[at_target] into is_there using at_vals; end if;
          if not is_there then
            outcome := 'dropped';
            exit;
          end if;
        end loop;
      end if;
    exception when others then
      get stacked diagnostics refused_state = returned_sqlstate, refused_column = column_name,
        failed_schema = schema_name, failed_table = table_name;
      -- Before the first row it is about the ledger.
      if at_target is null or not maskline.refuses_row(refused_state)
         or (failed_schema = 'maskline' and failed_table like 'ledger%') then
        raise;
      end if;
      if refused_column = '' then
        select maskline.refused_column(at_vals, p.columns, p.types, p.limits, refused_state)
          into refused_column from maskline.row_plan(targets -> (at_target - 1)) as p;
      end if;
      outcome := 'refused';
      insert into maskline.ledger (pipeline, sent_at, key, record_id, batch_id, outcome)
        values (in_pipeline, item.sent_at, item.key, item.record_id, in_batch, 'quarantined')
        on conflict do nothing;
      -- While the row was tried and undone, another loader may have settled the record.
      if not found then outcome := 'known'; end if;
    end;
    return next;
  end loop;
end
$$;
