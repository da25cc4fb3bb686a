/** Small events, most of them good. */
export interface SmallEvents {
  readonly bodies: readonly string[];
  /** `event_id` of those that are to become rows, sorted. */
  readonly goodIds: readonly string[];
  /** Where in `bodies` the others are. */
  readonly badAt: readonly number[];
}

/** Columns for them: an id that is kept and a device that is masked. */
export const SMALL_COLUMNS = {
  event_id: { from: 'event_id', type: 'text', max_length: 32, required: true },
  device: { from: 'device', required: true, mask: { method: 'siv', domain: 'device' } },
} as const;

const DEVICES = 1_000;

/** `count` events, of which every `badEvery`-th lacks its device. */
export function smallEvents(count: number, badEvery: number): SmallEvents {
  const goodIds: string[] = [];
  const badAt: number[] = [];
  const bodies = Array.from({ length: count }, (_, i) => {
    const event_id = `event-${String(i).padStart(6, '0')}`;
    if (i % badEvery === badEvery - 1) {
      badAt.push(i);
      return JSON.stringify({ event_id });
    }
    goodIds.push(event_id);
    return JSON.stringify({ event_id, device: `device-${i % DEVICES}` });
  });
  return { bodies, goodIds, badAt };
}
