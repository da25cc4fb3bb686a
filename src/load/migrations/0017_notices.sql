-- What the webhook of `notify` is told: one row from when something begins that needs a person until its end was told.
-- Any number of admin processes may be at it.
create table maskline.notices (
  pipeline text not null,
  kind text not null,
  id uuid not null default gen_random_uuid(),
  state text not null check (state in ('to_tell', 'told', 'to_end')),
  since timestamptz not null,
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  primary key (pipeline, kind)
);

comment on column maskline.notices.due_at is
  'Not told before; who tells it puts that off, so that others leave it alone meanwhile.';
