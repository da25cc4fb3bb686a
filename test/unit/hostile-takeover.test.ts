import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { type Masking, compileMasker } from '../../src/masking/mask.js';
import { maskOneByOne } from '../../src/masking/one-by-one.js';
import { batchCodec } from '../../src/queue/payload.js';
import { type Mark, readMark } from '../../src/queue/takeover.js';
import { type Probe, processProbe } from '../../src/roles/suspect.js';
import { maskTakenOver } from '../../src/roles/takeover.js';
import { EVERY_POLICY } from '../support/hostile-case.js';
import { hostileBatch } from '../support/hostile-check.js';
import { KILLER } from '../support/hostile-killer.js';
import { hostileCorpus } from '../support/hostile-corpus.js';
import { batchOf, column, policyOf, testKeyring, token } from '../support/masking.js';

const POLICY = policyOf([column('id', { required: true }), column('who', { mask: token('siv') })]);
const DEADLY_ENTRY = fileURLToPath(new URL('../support/hostile-suspect.js', import.meta.url));
const never = new AbortController().signal;
const masker = compileMasker(POLICY, testKeyring(), systemClock);
const ids = {
  batchId: '01890a5d-ac96-774b-bcce-b302099a8057',
  runId: '01890a5d-ac96-774b-bcce-b302099a8058',
};

const nothing = async (): Promise<void> => undefined;

/** All of a result but what is random. */
function lasting({ masked, counts }: Masking) {
  const rejections = masked.rejections.map(({ quarantineId: _, sealed, ...rest }) => ({
    ...rest,
    bytes: sealed.length,
  }));
  return { counts, ...masked, rows: masked.rows.toString(), rejections };
}

test('masking record by record gives what masking the whole batch gives', async () => {
  const every = compileMasker(EVERY_POLICY, testKeyring(), systemClock);
  const bodies = hostileCorpus().flatMap((one, i) => (i % 9 === 0 ? [one.body] : []));
  const batch = hostileBatch('every', bodies, ids, 'm');
  const whole = lasting(every.mask(batch));
  assert.ok(whole.keys.length > 100 && whole.rejections.length > 100);
  assert.deepEqual(lasting(await maskOneByOne(every, batch, new Set(), nothing)), whole);
});

test('a batch without records, or all of whose records crashed, is masked too', async () => {
  const empty = batchOf([]);
  assert.deepEqual(
    lasting(await maskOneByOne(masker, empty, new Set(), nothing)),
    lasting(masker.mask(empty)),
  );
  const { masked } = await maskOneByOne(masker, batchOf(['{"id":"a"}', 'x']), new Set([0, 1]), nothing);
  assert.deepEqual(
    masked.rejections.map(({ code, path, kind }) => [code, path, kind]),
    [
      ['crashed_worker', null, 'raw'],
      ['crashed_worker', null, 'raw'],
    ],
  );
  assert.equal(masked.keys.length, 0);
});

/** A takeover that keeps what is noted. */
function takeover(count: number, mark: Mark | null) {
  const noted: Mark[] = [];
  return { count, mark, noted, note: async (one: Mark) => void noted.push(one) };
}

function ports(probe: Probe) {
  return { masker, probe, clock: systemClock, onWait: () => undefined };
}
const innocent: Probe = async () => false;
const guilty: Probe = async () => true;
const unasked: Probe = () => assert.fail('nothing is to be probed');
const three = batchOf(['{"id":"a"}', '{"id":"b"}', '{"id":"c"}']);
const codes = (masking: Masking) => masking.masked.rejections.map(({ message, code }) => [message, code]);

test('each index is noted before its record, and none at the end', async () => {
  const taken = takeover(1, null);
  await maskTakenOver(ports(unasked), three, taken, never);
  assert.deepEqual(
    taken.noted,
    [0, 1, 2, null].map((at) => ({ at, endings: 0, takeovers: 1, crashed: [] })),
  );
});

test('a record that ends a process of its own is rejected, also after later takeovers', async () => {
  const taken = takeover(2, { at: 1, endings: 0, takeovers: 1, crashed: [] });
  assert.deepEqual(codes(await maskTakenOver(ports(guilty), three, taken, never)), [[1, 'crashed_worker']]);
  assert.deepEqual(
    taken.noted,
    [0, 2, null].map((at) => ({ at, endings: 0, takeovers: 2, crashed: [1] })),
  );
  const again = takeover(3, { at: null, endings: 0, takeovers: 2, crashed: [1] });
  assert.deepEqual(codes(await maskTakenOver(ports(unasked), three, again, never)), [[1, 'crashed_worker']]);
});

test('only a second worker in a row that ends at a record makes up for a process of its own that survives it', async () => {
  const first = takeover(2, { at: 1, endings: 0, takeovers: 1, crashed: [] });
  assert.deepEqual(codes(await maskTakenOver(ports(innocent), three, first, never)), []);
  assert.deepEqual(
    first.noted.map((mark) => mark.endings),
    [0, 1, 0, 0],
  );
  const elsewhere = takeover(3, { at: 2, endings: 0, takeovers: 2, crashed: [] });
  assert.deepEqual(codes(await maskTakenOver(ports(innocent), three, elsewhere, never)), []);
  const second = takeover(3, { at: 1, endings: 1, takeovers: 2, crashed: [] });
  assert.deepEqual(codes(await maskTakenOver(ports(innocent), three, second, never)), [
    [1, 'crashed_worker'],
  ]);
});

test('an attempt that failed without a takeover, and marks that make no sense, suspect no record', async () => {
  const marks: readonly Mark[] = [
    { at: 1, endings: 5, takeovers: 1, crashed: [] },
    { at: 99, endings: 5, takeovers: 0, crashed: [99] },
    { at: null, endings: 5, takeovers: 0, crashed: [] },
  ];
  for (const mark of marks)
    assert.deepEqual(codes(await maskTakenOver(ports(unasked), three, takeover(1, mark), never)), []);
  const readable: Mark = { at: 3, endings: 1, takeovers: 2, crashed: [0, 7] };
  assert.deepEqual(readMark(readable), readable);
  for (const value of [
    0,
    null,
    'x',
    {},
    [],
    { ...readable, at: -1 },
    { ...readable, at: 1.5 },
    { ...readable, crashed: ['1'] },
    { ...readable, endings: '1' },
  ])
    assert.equal(readMark(value), null);
});

test('an outage while noting is waited out, and a hard stop ends the batch between two records', async () => {
  let calls = 0;
  const away = takeover(1, null);
  const note = async (mark: Mark): Promise<void> => {
    calls += 1;
    if (calls === 2) throw new PipelineError('redis_unavailable', 'away');
    await away.note(mark);
  };
  await maskTakenOver(ports(unasked), three, { ...away, note }, never);
  assert.deepEqual(
    away.noted.map((mark) => mark.at),
    [0, 1, 2, null],
  );
  const stop = new AbortController();
  const stopping = takeover(1, null);
  const stopAtTwo = async (mark: Mark): Promise<void> => {
    await stopping.note(mark);
    if (mark.at === 1) stop.abort();
  };
  const stopped = maskTakenOver(ports(unasked), three, { ...stopping, note: stopAtTwo }, stop.signal);
  await assert.rejects(stopped, { code: 'canceled' });
  assert.deepEqual(
    stopping.noted.map((mark) => mark.at),
    [0, 1],
  );
});

test('the record that ends its process is found out, and no other: not a good, a bad or a broken one', async () => {
  const probe = processProbe(POLICY, DEADLY_ENTRY);
  const bodies = ['{"id":"a","who":"b"}', '{"id":7}', 'x', `{"id":"${KILLER}"}`];
  const verdicts = await Promise.all(bodies.map((body) => probe(batchOf([body]), never)));
  assert.deepEqual(verdicts, [false, false, false, true]);
});

test('the process that maskline starts for it dies of what takes more memory than it may have', async () => {
  const before = process.env['NODE_OPTIONS'];
  process.env['NODE_OPTIONS'] = '--max-old-space-size=32';
  try {
    const probe = processProbe(policyOf([column('id')], { maxBody: 64 << 20 }));
    assert.equal(await probe(batchOf(['{"id":"a"}']), never), false);
    assert.equal(await probe(batchOf([`{"id":"a","x":[${'{"a":[]},'.repeat(1_000_000)}0]}`]), never), true);
  } finally {
    if (before === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = before;
  }
});

test('a process that can not be started, or is stopped by us, proves nothing', async () => {
  const body = batchOf([`{"id":"${KILLER}"}`]);
  assert.equal(await processProbe(POLICY, '/nowhere/suspect.js')(body, never), false);
  assert.equal(await processProbe(POLICY, DEADLY_ENTRY)(body, AbortSignal.abort()), false);
});

test('that a record may not be read travels with it', () => {
  const { records, ...rest } = batchOf(['a', 'b', 'c\ud800']);
  const marked = records.map((record, i) => ({
    ...record,
    ...(i === 0 ? {} : { rejected: i === 1 ? ('bad_envelope' as const) : ('crashed_worker' as const) }),
  }));
  const batch = { ...rest, records: marked };
  assert.deepEqual(batchCodec.decode(batchCodec.encode(batch)), batch);
});
