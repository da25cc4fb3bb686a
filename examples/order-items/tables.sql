-- To be run once, after `maskline migrate` has made the tables.
alter table public.order_items add foreign key (order_id) references public.orders;
alter table public.order_contacts add foreign key (order_id) references public.orders;

-- An event with fewer items than one before overwrites those that it has, and leaves the others where they are. The
-- items of an order as it stands are those that its newest event wrote.
create view public.current_order_items as
  select i.* from public.order_items i join public.orders o using (order_id) where i.updated_at = o.updated_at;
