import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { createOutput } from '../../src/cli/output.js';
import { followBatches, openProgress, progressText } from '../../src/cli/progress.js';
import { StatusLine } from '../../src/cli/status-line.js';
import type { LogFields } from '../../src/ops/log-fields.js';
import { EventBus, type PipelineEvents } from '../../src/ops/events.js';

/** A terminal of so many columns, as one sees it: carriage return and `ESC [ 2 K`, nothing else. */
class Terminal extends Writable {
  readonly isTTY: boolean;
  readonly columns = 60;
  written = '';

  constructor(isTTY = true) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written += chunk.toString();
    done();
  }

  /** The lines on the screen. */
  get screen(): readonly string[] {
    return this.written.split('\n').map((line) => line.split('\u001B[1G\u001B[2K').at(-1) ?? '');
  }
}

const loaded = { received: 500 } as PipelineEvents['batch_loaded'];

function ticking(context: TestContext): void {
  context.mock.timers.enable({ apis: ['setInterval'] });
}

test('a bar says how far, how many, how fast and for how long; without a total only what is known', () => {
  assert.equal(
    progressText({ what: 'logins', done: 1_500, total: 2_000 }, 3_000),
    'logins  ██████████████████░░░░░░ 75 %  1,500 of 2,000 · 500/s · 3 s',
  );
  assert.equal(progressText({ what: 'ledger', done: 0, total: null }, 12_400), 'ledger  12 s');
  assert.equal(progressText({ what: 'dlq', done: 40, total: null }, 2_000), 'dlq  40 · 20/s · 2 s');
  assert.match(progressText({ what: 'a', done: 30, total: 20 }, 0), / 100 % {2}30 of 20 · 0 s$/);
});

test('on a terminal the bar is one line below all else, no wider than the terminal, and goes in the end', (context) => {
  ticking(context);
  const stderr = new Terminal();
  const line = new StatusLine(stderr);
  const out = createOutput({ stdout: stderr, stderr, isTerminal: true, json: false, line });
  const progress = openProgress(line, null);
  progress.at('logins', 1, 4);
  context.mock.timers.tick(250);
  out.note('a remark');
  line.write('a line of the log\n');
  out.text('data');
  assert.deepEqual(stderr.screen.slice(0, -1), ['a remark', 'a line of the log', 'data']);
  assert.match(stderr.screen.at(-1) ?? '', /^logins {2}█{6}░{18} 25 % {2}1 of 4/);
  progress.at('x'.repeat(200), 2, 4);
  context.mock.timers.tick(250);
  assert.equal(stderr.screen.at(-1)?.length, 59);
  progress.end();
  progress.end();
  assert.deepEqual(stderr.screen, ['a remark', 'a line of the log', 'data', '']);
  context.mock.timers.tick(10_000);
  assert.equal(stderr.screen.at(-1), '', 'nothing is drawn afterwards');
});

test('off a terminal there is a line in the log every 5 s, and not a byte on the stream', (context) => {
  ticking(context);
  const stderr = new Terminal(false);
  const lines: { readonly fields: LogFields; readonly text: string }[] = [];
  const log = { info: (fields: LogFields, text = '') => void lines.push({ fields, text }) };
  const events = new EventBus();
  const progress = openProgress(new StatusLine(stderr), log);
  followBatches(progress, events, { what: 'logins', expected: 600 });
  context.mock.timers.tick(4_999);
  assert.ok(lines.length < 1, 'what is over sooner says nothing');
  events.emit('batch_loaded', loaded);
  events.emit('messages_received', { pipeline: 'logins', messages: 900, bytes: 1 });
  context.mock.timers.tick(1);
  assert.equal(lines.length, 1);
  const [line] = lines;
  assert.deepEqual(
    [line?.fields.event, line?.fields.counts, line?.text],
    ['progress', { done: 500, total: 900 }, 'logins'],
  );
  progress.end();
  context.mock.timers.tick(20_000);
  assert.equal(lines.length, 1);
  assert.equal(stderr.written, '');
});
