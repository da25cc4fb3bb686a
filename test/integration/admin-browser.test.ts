import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { type AdminServerOptions, startAdminServer } from '../../src/ops/admin/server.js';
import type { HttpServer } from '../../src/ops/http.js';
import type { Status } from '../../src/ops/status.js';
import { type BoardQueue, boardJob } from '../../src/queue/board.js';
import { startBrowser } from '../support/browser.js';
import { before as earlier, pipelineStatus, recentRun, statusOf } from '../support/status.js';

let browser: Browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser.close());

const JOB_ID = '019ca8c0-0000-7000-8000-00000000000a';
const job = boardJob(
  {
    id: JOB_ID,
    name: 'batch',
    data: { v: 1, kid: 7, n: 500, bytes: 81_920, ct: 'c2VhbGVk' },
    opts: { attempts: 8 },
    attemptsMade: 8,
    timestamp: Date.now() - 60_000,
    processedOn: Date.now() - 50_000,
    finishedOn: Date.now() - 40_000,
    failedReason: 'table_unfit: column x is too short',
  },
  1,
);

const queue: BoardQueue = {
  name: 'load.user_logins',
  counts: () => Promise.resolve({ active: 0, waiting: 0, delayed: 0, failed: 1, completed: 0 }),
  jobs: (states) => Promise.resolve(states.includes('failed') ? [job] : []),
  job: (id) => Promise.resolve(id === JOB_ID ? { ...job, state: 'failed' } : null),
  isPaused: () => Promise.resolve(false),
  finished: () => Promise.resolve({ total: 3, perMinute: [1, 2], at: Date.now() }),
};

/** A server of canned answers; `status` may be changed while it runs. */
async function serve(
  status: Status,
  over: Partial<AdminServerOptions> = {},
): Promise<{ server: HttpServer; url: string; shown: { status: Status } }> {
  const shown = { status };
  const server = await startAdminServer({
    host: '127.0.0.1',
    port: 0,
    checks: {},
    metrics: { contentType: 'text/plain', render: () => Promise.resolve('') },
    auth: null,
    metricsPublic: false,
    watch: { read: () => Promise.resolve({ ...shown, awaySince: new Map() }) },
    runs: () => Promise.resolve(Array.from({ length: 20 }, () => recentRun())),
    queues: [queue],
    version: '0.1.0',
    ...over,
  });
  return { server, url: `http://127.0.0.1:${server.port}`, shown };
}

/** Opens a page, and fails at the end if it complained, or asked for anything elsewhere. */
async function visit(
  url: string,
  look: (page: Page) => Promise<void>,
  options: BrowserContextOptions = {},
): Promise<void> {
  const context = await browser.newContext(options);
  const complaints: string[] = [];
  try {
    const page = await context.newPage();
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith('data:') && new URL(request.url()).origin !== new URL(url).origin)
        complaints.push(request.url());
    });
    await page.goto(url);
    await look(page);
  } finally {
    await context.close();
  }
  assert.deepEqual(complaints, []);
}

const LONG = 'a_pipeline_with_a_name_that_is_as_long_as_names_of_pipelines_may_be';

/** All that can be there at once, with names as long as they get. */
const crowded = statusOf({
  problems: [
    {
      kind: 'breaker_open',
      subject: `pipeline ${LONG}`,
      what: `its breaker has been open since ${earlier(60)}: run ${JOB_ID} quarantined 812 of 1000 records`,
      remedy: `see \`maskline quarantine list -p ${LONG}\`, then \`maskline schedule resume ${LONG}\``,
    },
    {
      kind: 'role_missing',
      subject: 'role load',
      what: `no process for ${LONG}`,
      remedy: 'start `maskline run load`',
    },
  ],
  pipelines: [
    pipelineStatus({
      pipeline: LONG,
      table: `warehouse.${LONG}`,
      breaker: 'open',
      breaker_since: earlier(60),
      breaker_reason: `run ${JOB_ID} quarantined 812 of 1000 records`,
      paused_at: earlier(90),
      pause_reason: LONG,
      queue: { visible: 123_456_789, in_flight: 19_999, delayed: 5 },
      backlog: {
        transform: { waiting: 4, active: 2, failed: 9 },
        load: { waiting: 0, active: 0, failed: 0 },
      },
      quarantine: {
        open: 10_001,
        codes: { missing_field: 9_000, refused_23514: 1_001, [`x_${LONG}`]: 1 },
        capped: true,
      },
    }),
    pipelineStatus(),
  ],
});

test('the page fits its window at 360 and at 1280 px, in light and in dark', async () => {
  const { server, url } = await serve(crowded);
  try {
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [360, 1_280]) {
        const look = async (page: Page): Promise<void> => {
          assert.equal(await page.locator('h1').count(), 1);
          const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
          assert.equal(over, 0, `${width} px, ${colorScheme}`);
          const background = await page.evaluate('getComputedStyle(document.body).backgroundColor');
          assert.equal(
            background,
            colorScheme === 'light' ? 'rgb(244, 245, 247)' : 'rgb(17, 20, 26)',
            'its style is let through by its policy',
          );
        };
        await visit(url, look, { colorScheme, viewport: { width, height: 800 } });
      }
    }
  } finally {
    await server.stop('hard');
  }
});

test('the page renews itself in place, and says so when nobody answers any more', async () => {
  const { server, url, shown } = await serve(statusOf());
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.clock.install();
    await page.goto(url);
    assert.match(await page.locator('h1').innerText(), /All is well/);
    shown.status = crowded;
    await page.clock.fastForward(6_000);
    await page.locator('h1', { hasText: 'its breaker has been open' }).waitFor();
    assert.equal(await page.title(), '(2) maskline');
    assert.equal(await page.locator('#stale').isVisible(), false);
    await server.stop('hard');
    await page.clock.fastForward(6_000);
    await page.locator('#stale', { hasText: 'No answer from maskline since' }).waitFor();
    assert.match(await page.locator('h1').innerText(), /breaker/, 'what was known stays');
  } finally {
    await context.close();
    await server.stop('hard');
  }
});

test('without JavaScript the page is the same, and reloads itself', async () => {
  const { server, url } = await serve(crowded);
  try {
    const look = async (page: Page): Promise<void> => {
      assert.match(await page.locator('h1').innerText(), /its breaker has been open/);
      const reload = page.locator('noscript meta[http-equiv=refresh], meta[http-equiv=refresh]');
      assert.equal(await reload.count(), 1);
    };
    await visit(url, look, { javaScriptEnabled: false });
  } finally {
    await server.stop('hard');
  }
});

test('hostile texts run nothing in a browser', async () => {
  const evil = `"><img src=x onerror="document.title='run'"><script>document.title='run'</script>`;
  const pipeline = pipelineStatus({ pause_reason: evil, paused_at: earlier(1), breaker_reason: evil });
  const status = statusOf({
    problems: [{ kind: 'queue', subject: evil, what: evil, remedy: evil }],
    pipelines: [{ ...pipeline, pipeline: evil, breaker: 'open', breaker_since: earlier(1) }],
  });
  const { server, url } = await serve(status);
  try {
    await visit(url, async (page) => {
      assert.equal(await page.title(), '(1) maskline');
      assert.equal(await page.locator('main img, main script').count(), 0);
    });
  } finally {
    await server.stop('hard');
  }
});

test('Bull Board works under its policy: queues, failed jobs and one job, and offers nothing that acts', async () => {
  const { server, url } = await serve(statusOf());
  try {
    await visit(`${url}/queues`, async (page) => {
      await page.getByText('load.user_logins').first().waitFor();
    });
    await visit(`${url}/queues/queue/load.user_logins?status=failed`, async (page) => {
      await page.getByText(JOB_ID).first().waitFor();
      for (const name of [/retry/i, /promote/i, /clean/i, /obliterate/i, /^pause/i, /add job/i]) {
        assert.equal(await page.getByRole('button', { name }).count(), 0, String(name));
      }
    });
    await visit(`${url}/queues/queue/load.user_logins/${JOB_ID}`, async (page) => {
      await page
        .getByText(/table_unfit/)
        .first()
        .waitFor();
    });
  } finally {
    await server.stop('hard');
  }
});
