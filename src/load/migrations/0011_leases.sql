-- Which ingester of an exclusive pipeline may drain, until when it has not said that it is alive.
alter table maskline.schedules
  add column lease_id uuid,
  add column lease_owner text,
  add column lease_until timestamptz;

comment on column maskline.schedules.lease_until is 'By the clock of this server, the only one that is asked.';
