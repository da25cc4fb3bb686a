-- Open entries are listed and replayed page by page in the order of their arrival, whatever their pipelines.
create index quarantine_open_by_time on maskline.quarantine (quarantined_at, id) where replayed_at is null;
