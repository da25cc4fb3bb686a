import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PageView, noQueuesPage, pipelinePage } from '../../src/ops/admin/page.js';
import { duration, number } from '../../src/ops/admin/wording.js';
import type { Problem, Status } from '../../src/ops/status.js';
import { NOW, before, pipelineStatus, recentRun, statusOf } from '../support/status.js';

async function render(over: Partial<PageView> = {}): Promise<string> {
  const view = { status: statusOf(), awaySince: new Map(), runs: [recentRun()], version: '0.1.0', ...over };
  return String(await pipelinePage(view));
}

/** The words of a page, as one reads them. */
function words(page: string): string {
  const body = page.slice(page.indexOf('<body>')).replaceAll(/<[^>]*>/g, ' ');
  return body.replaceAll('&#39;', "'").replaceAll(/\s+/g, ' ');
}

async function wordsOf(status: Partial<Status>, over: Partial<PageView> = {}): Promise<string> {
  return words(await render({ ...over, status: statusOf(status) }));
}

test('without a problem the page says that all is well, and shows stages, schedule, runs, processes', async () => {
  const text = await wordsOf({});
  assert.match(text, /All is well 1 pipeline, nothing to do\./);
  assert.match(text, /SQS 0 visible 0 in flight Transform 0 waiting 0 active, 0 failed Load 0 waiting/);
  assert.match(text, /Table 2,000 rows last run, 16 s ago : succeeded, 30 duplicates, 10 quarantined/);
  assert.match(text, /last 18 s ago , next in 12 s/);
  assert.match(text, /18 s ago schedule succeeded 2 s 2,040 2,000 30 10 0/);
  assert.match(text, /all host-1:4242 0\.1\.0 2 h ago 3 s ago/);
  assert.match(text, /postgres answers queue answers/);
});

test('the first problem stands on top with its remedy, the others below, and their number in the title', async () => {
  const problems: readonly Problem[] = [
    {
      kind: 'breaker_open',
      subject: 'pipeline a',
      what: 'its breaker is open',
      remedy: 'run `maskline schedule resume a`',
    },
    { kind: 'role_missing', subject: 'role load', what: 'no process', remedy: 'start `maskline run load`' },
  ];
  const page = await render({ status: statusOf({ problems }) });
  assert.match(page, /<title>\(2\) maskline<\/title>/);
  const text = words(page);
  assert.match(text, /Pipeline a: its breaker is open What to do: run maskline schedule resume a/);
  assert.ok(text.indexOf('its breaker is open') < text.indexOf('Role load: no process'));
  assert.doesNotMatch(text, /All is well/);
});

test('what is away says so, with the time since when it has been', async () => {
  const problems: readonly Problem[] = [
    { kind: 'postgres', subject: 'postgres', what: 'does not answer', remedy: 'bring it back' },
  ];
  const status = statusOf({
    problems,
    processes: [],
    dependencies: [{ name: 'postgres', ok: false, code: 'postgres_unavailable' }],
    pipelines: [
      pipelineStatus({ breaker: null, quarantine: null, last_run: null, lag_seconds: null, queue: null }),
    ],
  });
  const awaySince = new Map([['postgres', NOW - 95_000]]);
  const text = words(await render({ status, awaySince, runs: null }));
  assert.match(text, /Since 11:58:25 UTC \( 95 s ago \)\. What to do: bring it back/);
  assert.match(text, /postgres postgres_unavailable since 11:58:25 UTC/);
  assert.match(text, /Latest runs Not known: Postgres does not answer\./);
  assert.match(text, /Processes Not known: Postgres does not answer\./);
  assert.match(text, /SQS – not known: it does not answer/);
  assert.doesNotMatch(text, /null|undefined|NaN|Invalid/);
});

test('an open breaker, a pause, failed jobs and the quarantine come with the command that helps', async () => {
  const open = await wordsOf({
    pipelines: [
      pipelineStatus({
        breaker: 'open',
        breaker_since: before(600),
        breaker_reason: 'run 7 quarantined 8 of 10 records',
        backlog: {
          transform: { waiting: 5, active: 1, failed: 2 },
          load: { waiting: 0, active: 0, failed: 1 },
        },
        failed_last_hour: 2,
        quarantine: { open: 10_001, codes: { too_long: 10_000, refused_23514: 1 }, capped: true },
        lag_seconds: 7_300,
      }),
    ],
  });
  assert.match(open, /open, since 10 min ago run 7 quarantined 8 of 10 records/);
  assert.match(open, /maskline schedule resume user_logins/);
  assert.match(
    open,
    /3 kept , 2 of them within the hour to look at them: maskline failed list -p user_logins/,
  );
  assert.match(open, /at least 10,001 open too_long × 10,000 refused_23514 × 1/);
  assert.match(open, /maskline quarantine list -p user_logins/);
  assert.match(open, /at most 2 h old/);
  const paused = await wordsOf({
    pipelines: [pipelineStatus({ paused_at: before(180), pause_reason: 'moving house' })],
  });
  assert.match(paused, /paused 3 min ago : moving house to go on: maskline schedule resume user_logins/);
  assert.doesNotMatch(paused, /next in/, 'nothing is next while it is paused');
});

test('a deployment that has done nothing yet reads as one', async () => {
  const fresh = pipelineStatus({ last_run: null, last_started_at: null, last_succeeded_at: null });
  const text = await wordsOf({ pipelines: [fresh], processes: [] }, { runs: [] });
  assert.match(text, /no run yet/);
  assert.match(text, /has not run yet, next in 12 s/);
  assert.match(text, /None yet: a tick that finds an empty queue leaves no run\./);
  assert.match(text, /None has been seen lately\./);
  assert.match(
    await wordsOf({ pipelines: [pipelineStatus({ schedule: null })] }),
    /none: maskline drain runs it/,
  );
});

test('no text of any field gets into the page as markup', async () => {
  const evil = `<img src=x onerror=alert(1)>"'&\``;
  const pipeline = pipelineStatus({
    pipeline: evil,
    table: evil,
    schedule: evil,
    timezone: evil,
    paused_at: before(1),
    pause_reason: evil,
    breaker: 'open',
    breaker_since: before(1),
    breaker_reason: evil,
    quarantine: { open: 1, codes: { [evil]: 1 }, capped: false },
  });
  const page = await render({
    status: {
      ...statusOf({
        problems: [1, 2].map(() => ({ kind: 'queue', subject: evil, what: evil, remedy: evil })),
      }),
      pipelines: [pipeline, pipeline],
      processes: [
        {
          role: evil,
          owner: evil,
          version: evil,
          pipelines: [evil],
          started_at: before(1),
          seen_at: before(1),
        },
      ],
      dependencies: [{ name: evil, ok: true, code: null }],
    },
    runs: [{ ...recentRun(), run_id: evil, pipeline: evil, trigger: evil, state: evil }],
    version: evil,
  });
  assert.doesNotMatch(page, /<img/);
  // Each field shows, escaped; the remedies and texts with backticks in parts of their own.
  assert.ok(page.split('&lt;img src=x onerror=alert(1)&gt;').length > 25, 'the texts are there');
  assert.doesNotMatch(page, /onerror=alert\(1\)>/);
});

test('the page of queues that are in memory says why there is none', async () => {
  assert.match(
    words(String(await noQueuesPage())),
    /The queue is memory:\/\/ : batches go from stage to stage/,
  );
});

test('numbers have separators, lengths of time one unit', () => {
  assert.deepEqual([0, 999, 1_000, 1_234_567, null].map(number), ['0', '999', '1,000', '1,234,567', '–']);
  assert.deepEqual([0, 0.4, 59, 119, 120, 7_199, 7_200, 172_800].map(duration), [
    '0 s',
    '0 s',
    '59 s',
    '119 s',
    '2 min',
    '120 min',
    '2 h',
    '2 d',
  ]);
});
