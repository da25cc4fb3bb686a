-- load_one_by_one for a table of which each key has one row: a row overwrites what it meets there, unless that is newer
-- by the column `newest`. It goes in the order of sending and of the batch, so that of a batch's rows with one key
-- the same one stays as when they come all at once. Two loaders with records in common may meet in another order
-- than the ledger's, as times of sending repeat: one of them is then told of a deadlock, and begins anew.
create function maskline.upsert_one_by_one(
  target regclass, columns text[], in_pipeline text, in_batch uuid,
  ordinals integer[], sent_ats timestamptz[], record_ids text[], keys text[], newest text)
returns table (entry integer, outcome text, refused_state text, refused_column text)
language plpgsql
as $$
#variable_conflict use_column
declare
  names text;
  types text[];
  limits integer[];
  selected text;
  statement text;
  superseded text;
  item record;
  affected bigint;
  -- Whether a row that is there may go before one that comes, and then stays as it is.
  may_stay boolean := newest is not null or columns <@ keys;
  is_there boolean;
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

  -- COPY writes identity columns as given; so must this.
  select format('insert into %s as t (%s) overriding system value select %s on conflict (%s) do %s',
           target, names, selected, (select string_agg(format('%I', k), ', ') from unnest(keys) as k),
           coalesce(
             'update set ' || string_agg(format('%1$I = excluded.%1$I', name), ', ')
               || case when newest is null then ''
                       else format(' where t.%1$I is null or t.%1$I <= excluded.%1$I', newest) end,
             'nothing'))
    into statement from unnest(columns) as c (name) where name <> all (keys);
  select format('select exists (select from %s t where %s)', target,
           string_agg(format('t.%I = ($1)[%s]::%s', name, i, types[i]), ' and ') filter (where name = any (keys))
             || coalesce(string_agg(
                  format(' and (($1)[%1$s] is null or t.%2$I >= ($1)[%1$s]::%3$s)', i, name, types[i]), '')
                  filter (where name = newest), ''))
    into superseded from unnest(columns) with ordinality as c (name, i);

  for item in
    select e.entry, e.ordinal, e.sent_at, e.record_id, convert_to(e.record_id, 'UTF8') as key, r.vals
      from unnest(ordinals, sent_ats, record_ids) with ordinality as e (ordinal, sent_at, record_id, entry)
      left join pg_temp.maskline_rows r on r.ordinal = e.ordinal
     order by e.sent_at, e.ordinal, convert_to(e.record_id, 'UTF8')
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
        execute statement using item.vals;
        get diagnostics affected = row_count;
        if affected <> 1 then
          is_there := false;
          if may_stay then execute superseded into is_there using item.vals; end if;
          if not is_there then outcome := 'dropped'; end if;
        end if;
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
