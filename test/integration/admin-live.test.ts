import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { LeakScan } from '../../src/proof/leak-scan.js';
import { startBrowser } from '../support/browser.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { failBatch } from '../support/failed.js';
import { ask } from '../support/http.js';
import { type RoleHere, startHere } from '../support/role-here.js';
import {
  type Deployment,
  type DeploymentOptions,
  PIPELINE,
  type Stack,
  startStack,
} from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const DDL = `create table ${TABLE} (event_id varchar(32), device varchar(256))`;
/** Enough to see it move; a run by hand may take more. */
const MANY = Number(process.env['MASKLINE_TEST_ROWS'] ?? 2_000);

let stack: Stack;
let browser: Browser;
before(async () => {
  [stack, browser] = await Promise.all([startStack(), startBrowser()]);
});
after(async () => {
  await browser.close();
  await stack.stop();
});

/** Its schedule has one slot a year: what runs, somebody has asked for. */
const deploymentOf = (options: DeploymentOptions = {}): Promise<Deployment> =>
  stack.deployment({
    ddl: DDL,
    ...options,
    file: { admin: { allow_actions: true }, ...options.file },
    pipeline: {
      columns: SMALL_COLUMNS,
      schedule: { cron: '0 0 1 1 *', catch_up: false },
      ...options.pipeline,
    },
  });

/** Opens the pages of a role that runs here, and fails at the end if one of them complained. */
async function withPages(
  deployment: Deployment,
  role: 'all' | 'admin',
  look: (page: Page, url: string, here: RoleHere) => Promise<void>,
  env: Readonly<{ [name: string]: string }> = {},
): Promise<void> {
  const here = await startHere(deployment, role, { env });
  const context = await browser.newContext();
  const complaints: string[] = [];
  try {
    const { port } = await here.waitFor('listening');
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) complaints.push(message.text());
    });
    await look(page, `http://127.0.0.1:${String(port)}`, here);
  } finally {
    await context.close();
    await here.stop();
  }
  assert.deepEqual(complaints, []);
}

/** What stands on top when something is wrong. */
const problem = (page: Page): Promise<string> => page.locator('.banner.bad').locator('h1, h2').innerText();
const heading = (page: Page): Promise<string> => page.locator('h1').innerText();

test('a failed job is found, understood and retried from the page, and its rows arrive', async () => {
  const deployment = await deploymentOf();
  const id = await failBatch(deployment, { bodies: smallEvents(3, 0).bodies, code: 'worker_died' });
  await withPages(deployment, 'all', async (page, url, here) => {
    await page.goto(url);
    await page.getByRole('link', { name: /Failed jobs/ }).click();
    const group = page.getByRole('region', { name: `worker_died in load of ${PIPELINE}` });
    await group.getByText('1 job', { exact: true }).last().click();
    await group.getByText(id).waitFor();
    await group.getByRole('link', { name: 'Retry 1' }).click();
    assert.equal(await heading(page), 'Retry 1 failed job?');
    assert.match(await page.locator('main').innerText(), /with 3 records is loaded once more/);
    await page.getByRole('button', { name: 'Retry 1 failed job' }).click();
    assert.match(await heading(page), /^Retried: received 3, loaded 3, duplicates 0/);
    assert.equal(await deployment.count(TABLE), 3);
    await page.reload();
    assert.equal(await deployment.count(TABLE), 3, 'looking again does nothing again');
    await page.getByRole('link', { name: 'Look at its run' }).click();
    assert.match(await page.locator('#report').innerText(), /succeeded[^]*retry, begun/);
    await page.goto(`${url}/failed`);
    await page.getByText('No batch has failed for good').waitFor();
    const [logged] = await here.log.take(1, (line) => line['event'] === 'admin_action');
    assert.deepEqual(
      [logged?.['action'], logged?.['user'], logged?.['pipeline']],
      ['retry', 'loopback', PIPELINE],
    );
  });
});

test('failed jobs are retried and discarded from Bull Board in our way, and rows arrive; its other actions are refused', async () => {
  const deployment = await deploymentOf();
  const { bodies } = smallEvents(5, 0);
  const first = await failBatch(deployment, { bodies: bodies.slice(0, 3), code: 'worker_died' });
  const second = await failBatch(deployment, { bodies: bodies.slice(3), code: 'worker_died' });
  const gone = await failBatch(deployment, { bodies, code: 'worker_died', stage: 'transform' });
  await withPages(deployment, 'all', async (page, url, here) => {
    const act = async (stage: string, name: string): Promise<void> => {
      await page.goto(`${url}/queues/queue/${stage}.${PIPELINE}?status=failed`);
      const answer = page.waitForResponse((response) => response.request().method() === 'PUT');
      await page.getByRole('button', { name }).click();
      const dialog = page.getByRole('alertdialog').or(page.getByRole('dialog'));
      const [status] = await Promise.all([
        answer.then((response) => response.status()),
        dialog.getByRole('button', { name: /confirm/i }).click(),
      ]);
      assert.equal(status, 200, `${name} in ${stage}`);
    };
    await act('load', 'Retry all');
    assert.equal(await deployment.count(TABLE), 5);
    await act('transform', 'Clean all');
    const port = new URL(url).port;
    assert.equal((await ask(port, `/queues/api/queues/transform.${PIPELINE}/${gone}`)).status, 404);
    const runs = await deployment.query(`select trigger, state, loaded::int from maskline.runs`);
    assert.deepEqual(runs, [{ trigger: 'retry', state: 'succeeded', loaded: 5 }], 'one run for all');
    const others = [
      'pause',
      'empty',
      'obliterate',
      'promote',
      'resume',
      'clean/waiting',
      'add',
      `${first}/promote`,
    ];
    const refused = await page.evaluate(`(async () => {
      const token = /XSRF-TOKEN=([^;]+)/.exec(document.cookie)[1];
      const put = async (path) =>
        (await fetch('/queues/api/queues/' + path, { method: 'PUT', headers: { 'x-xsrf-token': token } })).status;
      const all = ['pause', ...${JSON.stringify(others)}.map((path) => 'load.${PIPELINE}/' + path)];
      return Promise.all(all.map(put));
    })()`);
    assert.ok(
      (refused as number[]).every((status) => status >= 404),
      String(refused),
    );
    const logged = await here.log.take(2, (line) => line['event'] === 'admin_action');
    const [retried, discarded] = logged.map(({ action, ids, stage, user }) => ({ action, ids, stage, user }));
    assert.deepEqual(new Set(retried?.ids as string[]), new Set([first, second]));
    assert.deepEqual([retried?.action, retried?.user], ['retry', 'loopback']);
    assert.deepEqual([discarded?.action, discarded?.stage], ['discard', 'transform']);
  });
});

test('a run, a pause, an open breaker and the quarantine are steered from the page, which shows no value of a message', async () => {
  const canary = 'canary-5d1f9a7c3b';
  const deployment = await deploymentOf();
  const { bodies } = smallEvents(MANY, 0);
  const hostile = [
    `{"event_id":null,"device":"${canary}"}`,
    `<script>document.title='${canary}'</script>`,
    `{"event_id":"","device":"<img src=x onerror=alert('${canary}')>"}`,
    `["${canary}"]`,
  ];
  await deployment.send([...bodies, ...hostile]);
  await withPages(deployment, 'all', async (page, url) => {
    await page.goto(url);
    // The process is on record a moment later, and the page renews itself.
    await page.getByRole('heading', { name: 'All is well' }).waitFor();
    assert.match(await page.locator('.stages').innerText(), /no run yet/);
    const press = async (link: string, button: string): Promise<void> => {
      await page.getByRole('link', { name: link, exact: true }).click();
      await page.getByRole('button', { name: button }).click();
    };
    await press('Run now', `Run ${PIPELINE} now`);
    await page.getByRole('link', { name: 'Back' }).click();
    await deployment.countUntil(TABLE, (count) => count === MANY);
    await page.getByText(`${MANY.toLocaleString('en-US')} rows in the last hour`).waitFor();
    await page.getByRole('link', { name: '4 open' }).waitFor();
    await press('Pause', `Pause ${PIPELINE}`);
    await page.getByRole('link', { name: 'Back' }).click();
    await page.getByText('by loopback').waitFor();
    await press('Resume', `Resume ${PIPELINE}`);
    await deployment.query(
      `insert into maskline.breaker (pipeline, state, reason) values ($1, 'open', 'run 7 quarantined 8 of 10 records')`,
      [PIPELINE],
    );
    await page.goto(url);
    await page.getByRole('heading', { name: /its breaker has been open since/ }).waitFor();
    await press('Close the breaker', `Close the breaker of ${PIPELINE}`);
    assert.equal(await deployment.count(`maskline.breaker where state = 'open'`), 0);
    await page.goto(`${url}/quarantine`);
    assert.match(await page.locator('main').innerText(), /missing_field at event_id/);
    assert.doesNotMatch(await page.title(), /canary/);
    // What is mended can be replayed, and what is not stays.
    await page.getByRole('link', { name: 'Replay missing_field' }).click();
    await page.getByRole('button', { name: 'Replay 2 records' }).click();
    assert.match(await heading(page), /^Replayed: received 2, loaded 0[^]*quarantined 2/);
    const port = new URL(url).port;
    const [run] = await deployment.query('select run_id from maskline.runs limit 1');
    const scan = new LeakScan({ canary });
    for (const path of [
      '/',
      '/failed',
      '/quarantine',
      `/runs/${String(run?.['run_id'])}`,
      '/api/status',
      '/metrics',
      '/queues/api/queues',
    ]) {
      const { status, text } = await ask(port, path);
      assert.equal(status, 200, path);
      assert.deepEqual(scan.scan(path, text), []);
    }
  });
});

test('an admin process without keys, under its own database role, shows all, discards, steers and says the commands of what it cannot do', async () => {
  const deployment = await deploymentOf({ roles: true, ddl: null });
  await deployment.query(
    `insert into maskline.quarantine (id, pipeline, record_id, message_id, batch_id, code, path, kind, sealed, kid, sent_at)
     select gen_random_uuid(), $1, n::text, n::text, gen_random_uuid(), 'too_long', 'device', 'raw', '\\x00', 1, now()
       from generate_series(1, 5) as n`,
    [PIPELINE],
  );
  const id = await failBatch(deployment, { bodies: smallEvents(2, 0).bodies, code: 'worker_died' });
  deployment.configure((config) => ({
    ...config,
    keyring: { file: '/nowhere/keyring.json', kek: { type: 'file', path: '/nowhere/kek' } },
  }));
  const look = async (page: Page, url: string): Promise<void> => {
    await page.goto(url);
    assert.doesNotMatch(await page.locator('main').innerText(), /Not known|not known/);
    await page.goto(`${url}/quarantine`);
    assert.match(await page.locator('main').innerText(), /too_long at device[^]*× 5[^]*as received, 1 B/);
    assert.equal(await page.locator('details tbody tr').count(), 3, 'a sample of them');
    for (const [action, button] of [
      ['pause', `Pause ${PIPELINE}`],
      ['resume', `Resume ${PIPELINE}`],
      ['run', `Run ${PIPELINE} now`],
    ] as const) {
      await page.goto(`${url}/confirm?action=${action}&pipeline=${PIPELINE}`);
      await page.getByRole('button', { name: button }).click();
      await page.getByRole('status').waitFor();
    }
    assert.equal(await deployment.count('maskline.schedules where run_requested_at is not null'), 1);
    await page.goto(`${url}/failed`);
    await page.getByRole('link', { name: 'Retry 1' }).click();
    assert.match(await page.locator('main').innerText(), /Not from here: this process has no keys/);
    assert.match(
      await page.locator('main').innerText(),
      new RegExp(`maskline failed retry --all -p ${PIPELINE}`),
    );
    assert.equal(await page.getByRole('button').count(), 0);
    const port = new URL(url).port;
    const cookie = String((await ask(port, '/queues')).headers['set-cookie']);
    const token = /XSRF-TOKEN=([^;]+)/.exec(cookie)?.[1] ?? assert.fail(cookie);
    const board = await ask(port, `/queues/api/queues/load.${PIPELINE}/${id}/retry`, {
      method: 'PUT',
      headers: { 'x-xsrf-token': token, cookie, 'sec-fetch-site': 'same-origin' },
    });
    assert.equal(board.status, 500);
    assert.match(board.text, /this process has no keys/);
    await page.goto(`${url}/failed`);
    await page.getByRole('link', { name: 'Discard 1' }).click();
    await page.getByRole('button', { name: 'Discard 1 failed job' }).click();
    assert.equal(await heading(page), '1 of 1 failed jobs removed');
  };
  await withPages(deployment, 'admin', look, deployment.environmentOf('admin'));
});

test('while Redis or Postgres is away, the pages stay, say what is away since when, and what to do', async () => {
  const deployment = await deploymentOf({ keys: false });
  await withPages(deployment, 'admin', async (page, url) => {
    await page.goto(`${url}/failed`);
    await page.getByText('No batch has failed for good').waitFor();
    await stack.redis.kill();
    try {
      await page.goto(`${url}/failed`);
      // The page renews itself until it knows.
      await page.locator('#away', { hasText: /Queue: [^]*redis_unavailable/ }).waitFor();
      assert.match(await page.locator('main').innerText(), /Since \d\d:\d\d:\d\d UTC[^]*What to do:/);
      await page.goto(url);
      assert.match(await problem(page), /^Queue: /);
    } finally {
      await stack.redis.restart();
    }
    await page.goto(`${url}/failed`);
    await page.getByText('No batch has failed for good').waitFor();
  });
  // Nobody listens there.
  const gone = new URL(deployment.database);
  gone.port = '1';
  await withPages(
    deployment,
    'admin',
    async (page, url) => {
      for (const path of ['/quarantine', '/runs/019ca8c0-0000-7000-8000-000000000010', '/']) {
        await page.goto(`${url}${path}`);
        assert.match(await problem(page), /^Postgres: /, path);
        assert.match(await page.locator('main').innerText(), /Since \d\d:\d\d:\d\d UTC[^]*What to do:/);
      }
    },
    { DATABASE_URL: gone.href },
  );
});
