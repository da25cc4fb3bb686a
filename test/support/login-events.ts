import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A login, as its producer sends it. */
export interface LoginEvent {
  readonly user_id: string;
  readonly app_version: string;
  readonly device_type: string;
  readonly ip: string;
  readonly locale: string | null;
  readonly device_id: string;
}

/** A hundred messages: 99 logins and, in their midst, one of another producer that lacks all their fields. */
export interface LoginEvents {
  readonly bodies: readonly string[];
  readonly logins: readonly LoginEvent[];
}

/** Recorded events, where they are kept next to the checkout. */
const RECORDED = fileURLToPath(new URL('../../../../shared/data/login_events_100.json', import.meta.url));

const COUNT = 100;
const STRANGER_AT = 12;
const NULL_LOCALES = 29;
const TWO_PART_VERSIONS = 54;
/** Addresses that parsers of addresses like to refuse: reserved (240/4), multicast (224/4) and loopback (127/8). */
const UNUSUAL_FIRST_BYTES = [240, 241, 243, 248, 248, 254, 224, 229, 229, 234, 234, 235, 235, 235, 236, 127];
const LOCALES = ['RU', 'PH', 'ID', 'FR', 'PT', 'BR', 'KE', 'PE', 'KR', 'CN'];

/** The recorded events, or made-up ones of the same kind: every address, device and user occurs once. */
export function hundredLoginEvents(): LoginEvents {
  const all: unknown = existsSync(RECORDED) ? JSON.parse(readFileSync(RECORDED, 'utf8')) : madeUp();
  if (!Array.isArray(all)) throw new TypeError(`${RECORDED} holds no list of events`);
  const events: readonly object[] = all;
  return {
    bodies: events.map((event) => JSON.stringify(event)),
    logins: events.filter(isLogin),
  };
}

function isLogin(event: object): event is LoginEvent {
  return ['user_id', 'app_version', 'device_type', 'ip', 'locale', 'device_id'].every((name) =>
    Object.hasOwn(event, name),
  );
}

/** The same at every call: what varies is spread by steps that share no factor with the count. */
function madeUp(): readonly object[] {
  const logins = Array.from({ length: COUNT - 1 }, (_, i): LoginEvent => {
    const spread = (i * 37) % (COUNT - 1);
    const hex = (i * 0x9e3779b1).toString(16).slice(-8).padStart(8, '0');
    const first = UNUSUAL_FIRST_BYTES[spread] ?? 1 + ((i * 7) % 126);
    return {
      user_id: `${hex}-0000-4000-a000-${String(i).padStart(12, '0')}`,
      app_version:
        (i * 53 + 5) % (COUNT - 1) < TWO_PART_VERSIONS
          ? `${i % 10}.${(i * 31) % 97}`
          : `${i % 10}.${i % 7}.${i % 11}`,
      device_type: i % 2 === 0 ? 'android' : 'ios',
      ip: `${first}.${(i * 11) % 256}.${(i * 13) % 256}.${i + 1}`,
      locale: (i * 61) % (COUNT - 1) < NULL_LOCALES ? null : (LOCALES[i % LOCALES.length] ?? null),
      device_id: `${String(100 + i)}-${String(i % 100).padStart(2, '0')}-${String(i * 83).padStart(4, '0')}`,
    };
  });
  // The version that a number would change.
  const events: object[] = logins.map((login, i) => (i === 0 ? { ...login, app_version: '0.60' } : login));
  events.splice(STRANGER_AT, 0, { foo: 'oops_wrong_msg_type', bar: '123' });
  return events;
}
