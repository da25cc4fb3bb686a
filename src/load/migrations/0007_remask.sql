-- How far `maskline remask` has come: a row for each table, or partition of one, that it goes through.
create table maskline.remasks (
  pipeline text not null,
  from_kid integer not null,
  to_kid integer not null,
  -- As regclass spells it.
  relation text not null,
  -- Of its file: a table that was rewritten has its rows elsewhere.
  filenode oid not null,
  -- Blocks before this one are done, and those from the other on were not there when it began.
  next_block bigint not null,
  end_block bigint not null,
  remasked bigint not null default 0,
  started_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (pipeline, from_kid, to_kid, relation)
);

comment on table maskline.remasks is 'Checkpoints of `maskline remask`; no values, and no tokens.';
