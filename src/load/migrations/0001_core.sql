-- Ledger, runs, loads, quarantine, breaker and schedules. Times are timestamptz; a day is a day in UTC.

create table maskline.ledger (
  pipeline text not null,
  -- SQS's SentTimestamp: a redelivery doesn't change it, so the primary key may contain it.
  sent_at timestamptz not null,
  -- The UTF-8 of record_id.
  key bytea not null,
  record_id text not null,
  batch_id uuid not null,
  loaded_at timestamptz not null default now(),
  outcome text not null check (outcome in ('loaded', 'quarantined')),
  primary key (pipeline, sent_at, key)
) partition by range (sent_at);

comment on table maskline.ledger is 'Keys of the records that were settled; what is in here is not loaded again.';

create table maskline.ledger_default partition of maskline.ledger default;

create table maskline.runs (
  run_id uuid primary key,
  pipeline text not null,
  trigger text not null check (trigger in ('schedule', 'drain', 'backfill', 'replay', 'retry', 'manual')),
  state text not null
    check (state in ('running', 'succeeded', 'failed', 'canceled', 'breaker_open', 'abandoned')),
  owner text,
  started_at timestamptz not null,
  heartbeat_at timestamptz not null default now(),
  finished_at timestamptz,
  received bigint not null default 0,
  loaded bigint not null default 0,
  duplicates bigint not null default 0,
  quarantined bigint not null default 0,
  released bigint not null default 0
);

comment on table maskline.runs is 'Reports of runs: received = loaded + duplicates + quarantined + released, in records.';

create index runs_by_start on maskline.runs (pipeline, started_at desc);
create index runs_running on maskline.runs (pipeline, heartbeat_at) where state = 'running';

create table maskline.loads (
  batch_id uuid primary key,
  run_id uuid not null,
  pipeline text not null,
  state text not null check (state in ('committed', 'released')),
  held integer[] not null default '{}',
  received integer not null,
  loaded integer not null default 0,
  duplicates integer not null default 0,
  quarantined integer not null default 0,
  released integer not null default 0,
  bytes bigint not null default 0,
  received_at timestamptz not null,
  loaded_at timestamptz,
  policy_sha256 text,
  kids integer[] not null default '{}',
  check (received = loaded + duplicates + quarantined + released)
);

comment on table maskline.loads is 'The one fate of each batch, and its report: whoever first inserts the row decides it.';

create index loads_by_run on maskline.loads (run_id);

create table maskline.quarantine (
  id uuid primary key,
  pipeline text not null,
  record_id text not null,
  message_id text not null,
  batch_id uuid not null,
  code text not null,
  path text,
  kind text not null check (kind in ('raw', 'masked')),
  sealed bytea not null,
  kid integer not null,
  sent_at timestamptz not null,
  quarantined_at timestamptz not null default now(),
  replayed_at timestamptz
);

comment on table maskline.quarantine is 'Records that could not go on, sealed; `maskline quarantine` lists and replays them.';

create index quarantine_open on maskline.quarantine (pipeline, quarantined_at) where replayed_at is null;

create table maskline.breaker (
  pipeline text primary key,
  state text not null check (state in ('closed', 'open')),
  since timestamptz not null default now(),
  reason text
);

create table maskline.schedules (
  pipeline text primary key,
  paused_at timestamptz,
  reason text,
  last_started_at timestamptz
);
