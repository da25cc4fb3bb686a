import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertHas } from '../support/cli.js';
import { openSealOracle, rawRecordOracle, tokenOracle } from '../support/oracle.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

const COUNT = 20_000;
/** One in a hundred is bad, each time in another way. */
const BAD_EVERY = 100;
const TABLE = `public.${PIPELINE}`;

interface Event {
  readonly event_id: string;
  readonly ip: string;
  readonly device: string;
  readonly n: number;
  readonly app_version: string;
  readonly note: string | null;
}

/** A way to be bad, and what must be said of it. */
interface Kind {
  readonly code: string;
  readonly path: string | null;
  readonly body: (event: Event) => string;
}

const having = (changes: object) => (event: Event) => JSON.stringify({ ...event, ...changes });

const KINDS: readonly Kind[] = [
  { code: 'not_json', path: null, body: (event) => JSON.stringify(event).slice(0, -1) },
  { code: 'not_json', path: null, body: () => ' ' },
  { code: 'not_object', path: null, body: (event) => JSON.stringify([1, event]) },
  {
    code: 'too_deep',
    path: null,
    body: (event) => JSON.stringify(event).replace(/}$/, `,"x":${'['.repeat(9)}${']'.repeat(9)}}`),
  },
  { code: 'too_large', path: null, body: having({ padding: 'x'.repeat(2_000) }) },
  { code: 'missing_field', path: 'device', body: having({ device: undefined }) },
  { code: 'missing_field', path: 'device', body: having({ device: ' \t ' }) },
  { code: 'wrong_type', path: 'event_id', body: having({ event_id: 42 }) },
  { code: 'wrong_type', path: 'device', body: having({ device: { id: 'a' } }) },
  { code: 'bad_ip', path: 'ip', body: having({ ip: '127.1' }) },
  { code: 'bad_ip', path: 'ip', body: having({ ip: '256.0.0.1' }) },
  { code: 'bad_text', path: 'note', body: having({ note: 'a\u0000b' }) },
  {
    code: 'bad_text',
    path: 'note',
    body: (event) => having({ note: 'NOTE' })(event).replace('NOTE', '\\ud800'),
  },
  { code: 'too_long', path: 'note', body: having({ note: 'x'.repeat(21) }) },
  { code: 'out_of_range', path: 'n', body: having({ n: 2 ** 31 }) },
  { code: 'bad_version', path: 'app_version', body: having({ app_version: '1.x' }) },
  // What only the table knows to refuse.
  { code: 'refused_23514', path: null, body: having({ n: 13 }) },
];

/** The first of several bad columns counts, in the order of the file. */
const TWICE_BAD: Kind = { code: 'bad_ip', path: 'ip', body: having({ ip: 'x', note: 'x'.repeat(99) }) };

const kinds = [...KINDS, TWICE_BAD];
const events = Array.from({ length: COUNT }, (_, i): Event => ({
  event_id: `event-${i}`,
  ip: i % 3 === 0 ? `2001:db8::${(i % 9_999) + 1}` : `10.${i % 256}.${i % 7}.1`,
  device: `device-${i % 500}`,
  n: (i % 1_000) + 100,
  app_version: `${i % 5}.${i % 60}`,
  note: i % 4 === 0 ? null : `tab\tline\n\\.\\N ${i}`,
}));
const kindAt = (i: number): Kind | undefined =>
  i % BAD_EVERY === BAD_EVERY - 1 ? kinds[Math.floor(i / BAD_EVERY) % kinds.length] : undefined;
const bodies = events.map((event, i) => (kindAt(i)?.body ?? having({}))(event));

let stack: Stack;
let deployment: Deployment;
let ids: readonly string[];
before(async () => {
  stack = await startStack();
  deployment = await stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32), ip varchar(256), device varchar(256), n integer check (n <> 13),
      app_version integer, note varchar(20))`,
    pipeline: {
      batch: { max_messages: 500, linger: '100ms' },
      limits: { max_depth: 8, max_body: '1KiB' },
      columns: {
        event_id: { from: 'event_id', type: 'text', max_length: 32, required: true },
        ip: { from: 'ip', required: true, mask: { method: 'siv', as: 'ip' } },
        device: { from: 'device', required: true, mask: { method: 'hmac' } },
        n: { from: 'n', type: 'integer' },
        app_version: { from: 'app_version', type: 'version_int' },
        note: { from: 'note', type: 'text', max_length: 20 },
      },
    },
  });
  ids = await deployment.send(bodies);
});
after(() => stack.stop());

test('one bad message in a hundred, of all kinds, keeps no good one from its row', async () => {
  const { code, rows, stderr } = await deployment.cli.run(['drain'], { limitMs: 120_000 });
  assert.equal(code, 0, stderr);
  const bad = COUNT / BAD_EVERY;
  assertHas(rows[0], {
    state: 'succeeded',
    received: COUNT,
    loaded: COUNT - bad,
    duplicates: 0,
    quarantined: bad,
    released: 0,
  });
  const master = deployment.masters().get(1);
  assert.ok(master);
  // The oracle takes its time; equal inputs need it once.
  const known = new Map<string, string | null>();
  const token = (method: 'siv' | 'hmac', domain: string, as: 'ip' | 'text', value: string) => {
    const key = `${domain} ${value}`;
    if (!known.has(key)) known.set(key, tokenOracle(master, 1, method, domain, as, value));
    return known.get(key);
  };
  const loaded = await deployment.query(`select * from ${TABLE}`);
  const byId = new Map(loaded.map((row) => [row['event_id'], row]));
  assert.equal(byId.size, loaded.length, 'no event is there twice');
  for (const [i, event] of events.entries()) {
    const row = byId.get(event.event_id);
    if (kindAt(i)) {
      assert.equal(row, undefined);
      continue;
    }
    const [major = 0, minor = 0] = event.app_version.split('.').map(Number);
    assert.deepEqual(row, {
      ...event,
      ip: token('siv', 'ip', 'ip', event.ip),
      device: token('hmac', 'device', 'text', event.device),
      app_version: major * 1_000_000 + minor * 1_000,
    });
  }
});

test('every bad message is in quarantine once, under the right code and path, and nowhere else', async () => {
  const quarantined = await deployment.query(
    'select message_id, record_id, code, path, kind, replayed_at from maskline.quarantine',
  );
  const expected = bodies.flatMap((_, i) => {
    const kind = kindAt(i);
    const message_id = ids[i] ?? '';
    const isRefused = kind?.code.startsWith('refused_');
    if (!kind) return [];
    return [
      {
        message_id,
        record_id: message_id,
        code: kind.code,
        path: kind.path,
        kind: isRefused ? 'masked' : 'raw',
        replayed_at: null,
      },
    ];
  });
  const byId = (a: object, b: object): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  assert.deepEqual([...quarantined].sort(byId), expected.sort(byId));
  assert.ok(new Set(expected.map(({ code }) => code)).size >= 10, 'of ten kinds at least');
  assert.deepEqual(await deployment.depth(), { visible: 0, inFlight: 0, delayed: 0 });
});

test('what is in quarantine is the message as it came, sealed under the id of its entry', async () => {
  const master = deployment.masters().get(1);
  assert.ok(master);
  const byMessage = new Map(ids.map((id, i) => [id, bodies[i] ?? '']));
  const entries = await deployment.query(
    `select id, message_id, code, kid, sealed from maskline.quarantine where kind = 'raw'`,
  );
  assert.ok(entries.length > 0);
  for (const { id, message_id, kid, sealed } of entries) {
    const plain = openSealOracle(master, Number(kid), 'quarantine', String(id), sealed as Buffer);
    assert.equal(rawRecordOracle(plain).body, byMessage.get(String(message_id)));
  }
});
