-- The third attempt at a batch in which the table refuses rows. The batch's lines are in pg_temp.maskline_rows
-- (ordinal, vals), as text; entry e of the arrays is one record: its line's ordinal (null: rejected before), its time
-- and its id. Each record goes in by a subtransaction of its own, ledger and row together, and comes back with what
-- became of it: loaded, quarantined, known (the ledger had it), refused (with SQLSTATE and column), or dropped (a
-- trigger kept the row out without an error).
--
-- Casts are to the type without its length, and the length is left to the assignment: an explicit cast to
-- varchar(n) would cut off what does not fit. It has no search_path of its own, as triggers on the target count on
-- the session's.
create function maskline.load_one_by_one(
  target regclass, columns text[], in_pipeline text, in_batch uuid,
  ordinals integer[], sent_ats timestamptz[], record_ids text[])
returns table (entry integer, outcome text, refused_state text, refused_column text)
language plpgsql
as $$
#variable_conflict use_column
declare
  names text;
  types text[];
  limits integer[];
  selected text;
  item record;
  affected bigint;
  failed_schema text;
  failed_table text;
begin
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

  -- Sorted as every other loader sorts, or two of them deadlock in the ledger.
  for item in
    select e.entry, e.ordinal, e.sent_at, e.record_id, convert_to(e.record_id, 'UTF8') as key, r.vals
      from unnest(ordinals, sent_ats, record_ids) with ordinality as e (ordinal, sent_at, record_id, entry)
      left join pg_temp.maskline_rows r on r.ordinal = e.ordinal
     order by e.sent_at, convert_to(e.record_id, 'UTF8')
  loop
    entry := item.entry;
    outcome := case when item.ordinal is null then 'quarantined' else 'loaded' end;
    refused_state := null;
    refused_column := null;
    begin
      insert into maskline.ledger (pipeline, sent_at, key, record_id, batch_id, outcome)
        values (in_pipeline, item.sent_at, item.key, item.record_id, in_batch, outcome)
        on conflict do nothing;
      if not found then
        outcome := 'known';
      elsif item.ordinal is not null then
        -- COPY writes identity columns as given; so must this.
        execute format('insert into %s (%s) overriding system value select %s', target, names, selected)
          using item.vals;
        get diagnostics affected = row_count;
        if affected <> 1 then outcome := 'dropped'; end if;
      end if;
    exception when others then
      get stacked diagnostics refused_state = returned_sqlstate, refused_column = column_name,
        failed_schema = schema_name, failed_table = table_name;
      if not maskline.refuses_row(refused_state) or (failed_schema = 'maskline' and failed_table like 'ledger%') then
        raise;
      end if;
      if refused_column = '' then
        refused_column := maskline.refused_column(item.vals, columns, types, limits, refused_state);
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

-- Errors that are the row's own fault, so that the row alone is set aside: data (22), integrity (23, but for those
-- of a cascading key), a trigger's raise, and values beyond a limit of the server, such as an index entry's size.
create function maskline.refuses_row(state text) returns boolean
language sql immutable
as $$
  select state like '22%' or state like '54%' or state in ('23502', '23503', '23505', '23514', '23P01', 'P0001')
$$;

-- The first column whose value its type does not take, or whose length it does not; null when it is none.
create function maskline.refused_column(
  vals text[], columns text[], types text[], limits integer[], state text) returns text
language plpgsql
as $$
begin
  if state not like '22%' then return null; end if;
  for i in 1 .. cardinality(columns) loop
    begin
      execute format('select ($1)[%s]::%s', i, types[i]) using vals;
    exception when others then
      return columns[i];
    end;
    if state = '22001' and char_length(vals[i]) > limits[i] then return columns[i]; end if;
  end loop;
  return null;
end
$$;
