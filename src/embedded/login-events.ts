/** A login event as the demo sends it. */
export interface LoginEvent {
  readonly user_id: string;
  readonly app_version: string;
  readonly device_type: string;
  readonly ip: string;
  readonly locale: string | null;
  readonly device_id: string;
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). Made-up data only: never for keys. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const LOCALES = ['RU', 'PH', 'ID', 'FR', 'PT', 'CN', 'SE', 'BR', null];
const DEVICES = ['android', 'ios'];
/** People log in more than once: so many events share a device and an address. */
const EVENTS_PER_DEVICE = 4;

/** Login events of made-up people; a few share a device, so that equal tokens can be seen. */
export function* loginEvents(count: number, random: () => number): Generator<LoginEvent> {
  const between = (low: number, high: number): number => low + Math.floor(random() * (high - low + 1));
  const digits = (length: number): string => String(between(0, 10 ** length - 1)).padStart(length, '0');
  const hex = (length: number): string => Array.from({ length }, () => between(0, 15).toString(16)).join('');
  const pick = <T>(from: readonly T[]): T | undefined => from[between(0, from.length - 1)];
  let person = { user_id: '', ip: '', device_id: '', device_type: 'ios' };
  for (let index = 0; index < count; index += 1) {
    if (index % EVENTS_PER_DEVICE === 0) {
      person = {
        user_id: `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`,
        ip: [between(1, 254), between(0, 255), between(0, 255), between(1, 254)].join('.'),
        device_id: `${digits(3)}-${digits(2)}-${digits(4)}`,
        device_type: pick(DEVICES) ?? 'ios',
      };
    }
    const app_version = `${between(0, 5)}.${between(0, 9)}.${between(0, 9)}`;
    yield { ...person, app_version, locale: pick(LOCALES) ?? null };
  }
}

/** Bodies that cannot become a row, of several kinds. */
export function* badBodies(count: number, random: () => number): Generator<string> {
  for (const event of loginEvents(count, random)) {
    const { device_id: _left, ...without } = event;
    const kinds = [
      JSON.stringify(without),
      JSON.stringify({ ...event, ip: `${event.ip}.7` }),
      JSON.stringify({ ...event, user_id: 42 }),
      JSON.stringify(event).slice(0, -3),
      JSON.stringify({ ...event, locale: 'x'.repeat(64) }),
      JSON.stringify(['login', event]),
    ];
    yield kinds[Math.floor(random() * kinds.length)] ?? '';
  }
}
