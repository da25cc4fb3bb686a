-- That somebody wants a run now, who is not an ingester: the first one that sees it clears it and runs.
alter table maskline.schedules add column run_requested_at timestamptz;
