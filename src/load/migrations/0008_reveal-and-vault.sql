-- Values that can be had back: who asked for which, and why (a chain that shows what was changed in it), and the vault.

create table maskline.reveals (
  seq bigint primary key,
  at timestamptz not null,
  action text not null,
  -- Who was logged in; no SET ROLE changes it.
  database_user text not null,
  -- As the client says.
  os_user text not null,
  purpose text not null,
  ticket text,
  request uuid,
  -- A token, or a keyed reference where the stored form could be mistaken for a value; never a value.
  token text,
  outcome text not null,
  -- Counts and configured names, as JSON.
  details text,
  previous bytea not null,
  -- SHA-256 of `previous` and all the fields above, each behind its length.
  hash bytea not null
);

comment on table maskline.reveals is
  'Every reveal, unsealing, approval and erasure: a row is committed before a value is opened. Append-only, hash-chained.';

create index reveals_by_user on maskline.reveals (database_user, at);
create index reveals_by_token on maskline.reveals (token) where token is not null;

-- Not even the owner changes a row by mistake; who drops the trigger still can't hide it from `reveal --verify`.
create function maskline.refuse_change() returns trigger
language plpgsql
as $$
begin
  raise exception '%.% is append-only', tg_table_schema, tg_table_name using errcode = '42501';
end
$$;

create trigger reveals_append_only before update or delete or truncate on maskline.reveals
  for each statement execute function maskline.refuse_change();
alter table maskline.reveals enable always trigger reveals_append_only;

-- One row: how much one database user may reveal. `maskline migrate` keeps it as the configuration has it.
create table maskline.reveal_limits (
  only_one boolean primary key default true check (only_one),
  rate integer not null check (rate > 0),
  quota integer not null check (quota > 0)
);

comment on table maskline.reveal_limits is
  'rate: values a minute; quota: values a request, and a day (UTC), above which somebody else must approve.';

insert into maskline.reveal_limits (rate, quota) values (1000, 1000);

create table maskline.reveal_requests (
  id uuid primary key default gen_random_uuid(),
  requested_by text not null,
  requested_at timestamptz not null default clock_timestamp(),
  purpose text not null,
  ticket text,
  tokens text[] not null,
  details text,
  approved_by text,
  approved_at timestamptz,
  carried_out_at timestamptz
);

comment on table maskline.reveal_requests is 'Reveals beyond the quota, waiting for the approval of another database user.';

-- Four bytes of length and the text; null, which is not the empty text, is a length that no text has.
create function maskline.chained(field text) returns bytea
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select case when field is null then '\xffffffff'::bytea
              else int4send(octet_length(convert_to(field, 'UTF8'))) || convert_to(field, 'UTF8') end
$$;

create function maskline.chain_hash(entry maskline.reveals) returns bytea
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select sha256(entry.previous
    || maskline.chained(entry.seq::text)
    -- Microseconds since the epoch: the same in every time zone.
    || maskline.chained((extract(epoch from entry.at) * 1000000)::bigint::text)
    || maskline.chained(entry.action)
    || maskline.chained(entry.database_user)
    || maskline.chained(entry.os_user)
    || maskline.chained(entry.purpose)
    || maskline.chained(entry.ticket)
    || maskline.chained(entry.request::text)
    || maskline.chained(entry.token)
    || maskline.chained(entry.outcome)
    || maskline.chained(entry.details))
$$;

-- Appends a row for each outcome; one after the other, whoever else is at it. The caller's transaction commits them.
create function maskline.append_reveals(
  in_action text, in_os_user text, in_purpose text, in_ticket text, in_request uuid,
  in_tokens text[], in_outcomes text[], in_details text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  entry maskline.reveals;
  tail maskline.reveals;
begin
  -- What is opened next must not outlive its record.
  perform set_config('synchronous_commit', 'on', true);
  perform pg_advisory_xact_lock(5142760932451);
  select * into tail from maskline.reveals r order by r.seq desc limit 1;
  entry.seq := coalesce(tail.seq, 0);
  entry.hash := coalesce(tail.hash, sha256('maskline/reveals/1'));
  entry.action := in_action;
  entry.database_user := session_user;
  entry.os_user := in_os_user;
  entry.purpose := in_purpose;
  entry.ticket := in_ticket;
  entry.request := in_request;
  entry.details := in_details;
  for i in 1 .. cardinality(in_outcomes) loop
    entry.seq := entry.seq + 1;
    entry.at := clock_timestamp();
    entry.token := in_tokens[i];
    entry.outcome := in_outcomes[i];
    entry.previous := entry.hash;
    entry.hash := maskline.chain_hash(entry);
    insert into maskline.reveals select entry.*;
  end loop;
end
$$;

-- Puts a reveal on record, a row a token, and says whether it may go on. Of the outcomes only `granted` asks for a value.
create function maskline.begin_reveal(
  in_os_user text, in_purpose text, in_ticket text, in_request uuid,
  in_tokens text[], in_outcomes text[], in_details text)
returns table (decision text, request uuid)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  limits maskline.reveal_limits;
  asked maskline.reveal_requests;
  purpose text := in_purpose;
  ticket text := in_ticket;
  midnight constant timestamptz := date_trunc('day', clock_timestamp() at time zone 'UTC') at time zone 'UTC';
  wanted bigint;
  lately bigint;
  today bigint;
begin
  -- Before anything is counted, or two at once would each have the whole of what is left.
  perform pg_advisory_xact_lock(5142760932451);
  select count(*) into wanted from unnest(in_outcomes) o where o = 'granted';
  request := in_request;
  if in_request is null then
    if length(btrim(in_purpose)) < 8 then
      raise exception 'no purpose' using errcode = '22023';
    end if;
    select * into strict limits from maskline.reveal_limits;
    select count(*) filter (where r.at > clock_timestamp() - interval '1 minute'), count(*) filter (where r.at >= midnight)
      into lately, today
      from maskline.reveals r
     where r.database_user = session_user and r.action = 'reveal' and r.outcome = 'granted' and r.request is null
       and r.at > least(clock_timestamp() - interval '1 minute', midnight);
    if today + wanted > limits.quota and wanted > 0 then
      insert into maskline.reveal_requests (requested_by, purpose, ticket, tokens, details)
      values (session_user, purpose, ticket, in_tokens, in_details) returning id into request;
      perform maskline.append_reveals('request', in_os_user, purpose, ticket, request, array[null], array['waiting'],
        json_build_object('values', wanted)::text);
      decision := 'approval_needed';
    elsif lately + wanted > limits.rate then
      perform maskline.append_reveals('reveal', in_os_user, purpose, ticket, null, array[null], array['rate_limited'],
        json_build_object('values', wanted)::text);
      decision := 'rate_limited';
    else
      decision := 'granted';
    end if;
  else
    select * into asked from maskline.reveal_requests r where r.id = in_request and r.requested_by = session_user for update;
    decision := case
      when asked.id is null then 'unknown'
      when asked.carried_out_at is not null then 'carried_out'
      when asked.approved_at is null then 'not_approved'
      when asked.requested_at < clock_timestamp() - interval '7 days' then 'expired'
      when asked.tokens is distinct from in_tokens or asked.details is distinct from in_details then 'differs'
      else 'granted' end;
    if decision = 'granted' then
      update maskline.reveal_requests r set carried_out_at = clock_timestamp() where r.id = in_request;
      purpose := asked.purpose;
      ticket := asked.ticket;
    end if;
  end if;
  if decision = 'granted' then
    perform maskline.append_reveals('reveal', in_os_user, purpose, ticket, in_request, in_tokens, in_outcomes, in_details);
  end if;
  return next;
end
$$;

-- What became of a reveal, in counts, before anything of it is shown.
create function maskline.end_reveal(
  in_os_user text, in_purpose text, in_ticket text, in_request uuid, in_details text) returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  select maskline.append_reveals('opened', in_os_user, in_purpose, in_ticket, in_request, array[null], array['done'], in_details)
$$;

create function maskline.approve_reveal(in_request uuid, in_os_user text) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  asked maskline.reveal_requests;
begin
  perform pg_advisory_xact_lock(5142760932451);
  select * into asked from maskline.reveal_requests r where r.id = in_request for update;
  if asked.id is null then return 'unknown'; end if;
  if asked.requested_by = session_user then return 'own'; end if;
  if asked.carried_out_at is not null then return 'carried_out'; end if;
  if asked.approved_at is not null then return 'approved_before'; end if;
  if asked.requested_at < clock_timestamp() - interval '7 days' then return 'expired'; end if;
  update maskline.reveal_requests r set approved_by = session_user, approved_at = clock_timestamp() where r.id = in_request;
  perform maskline.append_reveals('approve', in_os_user, asked.purpose, asked.ticket, in_request, array[null],
    array['approved'], json_build_object('values', cardinality(asked.tokens), 'requested_by', asked.requested_by)::text);
  return 'approved';
end
$$;

-- Quarantined bodies are unsealed by who works on the quarantine: that is a reveal too.
create function maskline.note_unsealing(in_os_user text, in_reason text, in_details text) returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  select maskline.append_reveals('unseal', in_os_user, in_reason, null, null, array[null], array['granted'], in_details)
$$;

-- For the owner alone, who migrates and erases.
create function maskline.set_reveal_limits(in_rate integer, in_quota integer, in_os_user text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update maskline.reveal_limits l set rate = in_rate, quota = in_quota where (l.rate, l.quota) <> (in_rate, in_quota);
  if found then
    perform maskline.append_reveals('limits', in_os_user, 'the configuration has changed', null, null, array[null],
      array['changed'], json_build_object('rate', in_rate, 'quota', in_quota)::text);
  end if;
end
$$;

-- Tokens of the method `vault`, each with its value, sealed. Equal values of a domain have equal lookups.
create table maskline.vault (
  -- HMAC-SHA-256 of the value under a key of its domain.
  lookup bytea primary key,
  token text not null unique,
  kid smallint not null,
  domain text not null,
  sealed bytea not null,
  created_at timestamptz not null default now()
);

comment on table maskline.vault is 'Values that tokens stand for, sealed; without its row, a token means nothing.';

-- Whose values they are. A value may be of several.
create table maskline.vault_subjects (
  -- HMAC-SHA-256 of the subject.
  subject bytea not null,
  lookup bytea not null references maskline.vault on delete cascade,
  kid smallint not null,
  -- The subject itself, or nobody could tell its HMAC under the next key.
  sealed bytea not null,
  primary key (subject, lookup)
);

create index vault_subjects_by_lookup on maskline.vault_subjects (lookup);

-- Tokens that a value had under earlier keys. They go with it, and hold nothing that needs a key.
create table maskline.vault_former (
  token text primary key,
  lookup bytea not null references maskline.vault on delete cascade
);

comment on table maskline.vault_former is 'Tokens that `maskline remask` has replaced: they still mean the value, until it is erased.';

create index vault_former_by_lookup on maskline.vault_former (lookup);

-- The tokens of those lookups; what is not there yet is entered as given. It runs with its owner's rights: who masks
-- can ask for tokens, and read nothing else of the vault. Fewer rows than lookups: one was erased this moment; ask again.
create function maskline.vault_tokens(
  in_lookups bytea[], in_tokens text[], in_kids integer[], in_domains text[], in_sealed bytea[],
  in_subjects bytea[], in_subject_lookups bytea[], in_subject_kids integer[], in_subject_sealed bytea[])
returns table (lookup bytea, token text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  -- A row of the target, which is durable, must not outlive what its token stands for.
  perform set_config('synchronous_commit', 'on', true);
  -- Sorted, or two that enter the same values at once deadlock. Each statement sees what was committed before it.
  insert into maskline.vault (lookup, token, kid, domain, sealed)
  select t.lookup, t.token, t.kid, t.domain, t.sealed
    from unnest(in_lookups, in_tokens, in_kids, in_domains, in_sealed) as t (lookup, token, kid, domain, sealed)
   where not exists (select from maskline.vault v where v.lookup = t.lookup)
   order by t.lookup
  on conflict do nothing;
  -- A value that is being erased would else be gone when the rows of its subjects are checked against it.
  perform from maskline.vault v
    where v.lookup in (
      select t.lookup from unnest(in_subjects, in_subject_lookups) as t (subject, lookup)
       where not exists (select from maskline.vault_subjects s where s.subject = t.subject and s.lookup = t.lookup))
    order by v.lookup for key share;
  insert into maskline.vault_subjects (subject, lookup, kid, sealed)
  select t.subject, t.lookup, t.kid, t.sealed
    from unnest(in_subjects, in_subject_lookups, in_subject_kids, in_subject_sealed) as t (subject, lookup, kid, sealed)
   where exists (select from maskline.vault v where v.lookup = t.lookup)
     and not exists (select from maskline.vault_subjects s where s.subject = t.subject and s.lookup = t.lookup)
   order by t.lookup, t.subject
  on conflict do nothing;
  return query select v.lookup, v.token from maskline.vault v where v.lookup = any (in_lookups);
end
$$;

-- What stands behind tokens that this user was granted within the hour; nothing else of the vault can be read. It is
-- sealed for the token that the value has today.
create function maskline.vault_sealed(in_tokens text[])
returns table (token text, sealed_for text, kid integer, domain text, sealed bytea)
language sql stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select asked.token, v.token, v.kid::integer, v.domain, v.sealed
    from (select v.token, v.lookup from maskline.vault v where v.token = any (in_tokens)
          union all
          select f.token, f.lookup from maskline.vault_former f where f.token = any (in_tokens)) as asked
    join maskline.vault v on v.lookup = asked.lookup
   where exists (
     select from maskline.reveals r
      where r.token = asked.token and r.action = 'reveal' and r.outcome = 'granted'
        and r.database_user = session_user and r.at > now() - interval '1 hour')
$$;

-- Rows that an erasure on record has deleted, by what they came from: `prove` must not take them for lost ones.
create table maskline.erased (
  -- `seq` of the record with which the erasure began.
  erasure bigint not null,
  -- As format('%I.%I', schema, table) spells it.
  target text not null,
  -- Null where the table does not tell.
  message_id text,
  batch_id text,
  rows bigint not null check (rows > 0),
  erased_at timestamptz not null default now()
);

comment on table maskline.erased is 'How many rows of a target `maskline erase` has deleted, by message and batch.';

create index erased_by_target on maskline.erased (target);

-- How often values were revealed, by what became of the wish, among the records after that one; and the last of these.
create function maskline.count_reveals(in_after bigint) returns table (outcome text, reveals bigint, last bigint)
language sql stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select r.outcome, count(*), max(r.seq) from maskline.reveals r
   where r.seq > in_after and r.action = 'reveal' group by r.outcome
$$;

revoke all on function
  maskline.append_reveals(text, text, text, text, uuid, text[], text[], text),
  maskline.begin_reveal(text, text, text, uuid, text[], text[], text),
  maskline.end_reveal(text, text, text, uuid, text),
  maskline.approve_reveal(uuid, text),
  maskline.note_unsealing(text, text, text),
  maskline.set_reveal_limits(integer, integer, text),
  maskline.vault_tokens(bytea[], text[], integer[], text[], bytea[], bytea[], bytea[], integer[], bytea[]),
  maskline.vault_sealed(text[]),
  maskline.count_reveals(bigint)
from public;
