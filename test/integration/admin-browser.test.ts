import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { type AdminServerOptions, startAdminServer } from '../../src/ops/admin/server.js';
import type { HttpServer } from '../../src/ops/http.js';
import type { Status } from '../../src/ops/status.js';
import { ELSEWHERE, startBrowser } from '../support/browser.js';
import {
  adminOptions,
  boardOf,
  demoDetails,
  demoFailed,
  demoQuarantine,
  demoStatus,
  notingActions,
  viewsOf,
} from '../support/admin.js';
import { before as earlier, pipelineStatus, statusOf } from '../support/status.js';

let browser: Browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser.close());

const JOB_ID = '019ca8c0-0000-7000-8000-00000000000a';
const queue = boardOf({ failed: [JOB_ID] });

/** A server of canned answers; `status` may be changed while it runs. */
async function serve(
  status: Status,
  over: Partial<AdminServerOptions> = {},
): Promise<{ server: HttpServer; url: string; shown: { status: Status } }> {
  const shown = { status };
  const server = await startAdminServer(
    adminOptions({
      watch: { read: () => Promise.resolve({ ...shown, awaySince: new Map() }) },
      queues: [queue],
      ...over,
    }),
  );
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

/** Every page of ours, with as much on it as there can be. */
const PAGES = [
  '/',
  '/failed',
  '/quarantine',
  `/runs/${demoDetails.run_id}`,
  '/confirm?action=pause&pipeline=user_logins',
];
const full: Partial<AdminServerOptions> = {
  views: viewsOf({
    failed: () => Promise.resolve(demoFailed),
    quarantine: () => Promise.resolve(demoQuarantine),
    run: () => Promise.resolve(demoDetails),
  }),
  actions: notingActions(),
};

/** Everything unfolded. */
const UNFOLD = `document.querySelectorAll('details').forEach((each) => { each.open = true; })`;

/**
 * The texts of a page whose contrast to what is behind them is below 4.5, or 3 for large ones (WCAG 2.2, 1.4.3), by
 * the formulas of that page.
 */
const PALE = `(() => {
  const rgb = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) =>
    v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const luminance = (color) => { const [r, g, b] = light(color); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const pale = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (text === '' || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(rgb(style.color)), luminance(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (isLarge ? 3 : 4.5)) pale.push(text + ' ' + contrast.toFixed(2));
  }
  return pale;
})()`;

test('every page fits its window at 360 and at 1280 px, and can be read, in light and in dark', async () => {
  const plain = await serve(crowded);
  const acting = await serve(demoStatus(), full);
  try {
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [360, 1_280]) {
        for (const url of [plain.url, ...PAGES.map((path) => acting.url + path)]) {
          const look = async (page: Page): Promise<void> => {
            const where = `${url}, ${width} px, ${colorScheme}`;
            await page.evaluate(UNFOLD);
            assert.equal(await page.locator('h1').count(), 1, where);
            const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
            assert.equal(over, 0, where);
            assert.deepEqual(await page.evaluate(PALE), [], where);
            const background = await page.evaluate('getComputedStyle(document.body).backgroundColor');
            const wanted = colorScheme === 'light' ? 'rgb(245, 246, 248)' : 'rgb(16, 19, 25)';
            assert.equal(background, wanted, 'its style is let through by its policy');
          };
          await visit(url, look, { colorScheme, viewport: { width, height: 800 } });
        }
      }
    }
  } finally {
    await Promise.all([plain.server.stop('hard'), acting.server.stop('hard')]);
  }
});

test('by the keyboard alone one comes to the content, to every link, and through an action', async () => {
  const actions = notingActions();
  const { server, url } = await serve(demoStatus(), { ...full, actions });
  try {
    await visit(`${url}/failed`, async (page) => {
      const focused = (): Promise<string> => page.evaluate('document.activeElement.textContent.trim()');
      await page.keyboard.press('Tab');
      assert.equal(await focused(), 'To the content');
      await page.keyboard.press('Enter');
      assert.equal(await page.evaluate('document.activeElement.id'), 'main');
      await page.keyboard.press('Tab');
      assert.equal(await focused(), 'Retry 12');
      const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle');
      assert.equal(outline, 'solid', 'one sees where one is');
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name: 'Retry 3 failed jobs?' }).waitFor();
      await page.getByRole('button').focus();
      await page.keyboard.press('Enter');
      await page.getByRole('status').waitFor();
      assert.equal(actions.performed.length, 1);
      for (const role of ['banner', 'navigation', 'main'] as const)
        assert.equal(await page.getByRole(role).count(), 1, role);
    });
  } finally {
    await server.stop('hard');
  }
});

test('elsewhere than on this machine, over plain HTTP, an action goes through with the credentials', async () => {
  const actions = notingActions();
  const auth = { user: 'ops', password: 'correct horse' };
  const { server } = await serve(demoStatus(), { ...full, actions, host: '0.0.0.0', auth });
  // A browser has remarks about plain HTTP, so its console is not looked at.
  const context = await browser.newContext({
    httpCredentials: { username: auth.user, password: auth.password },
  });
  try {
    const page = await context.newPage();
    await page.goto(`http://${ELSEWHERE}:${server.port}/failed`);
    await page.getByRole('link', { name: 'Retry 12' }).click();
    await page.getByRole('button', { name: 'Retry 3 failed jobs' }).click();
    await page.getByRole('status').waitFor();
    assert.deepEqual(
      actions.performed.map(({ by }) => by),
      ['ops'],
    );
  } finally {
    await context.close();
    await server.stop('hard');
  }
});

test('what somebody has unfolded or is on stays so when the page renews itself', async () => {
  const { server, url, shown } = await serve(demoStatus(), full);
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.clock.install();
    await page.goto(`${url}/failed`);
    await page.locator('summary').first().click();
    await page.getByRole('link', { name: 'Discard 12' }).focus();
    shown.status = { ...demoStatus(), at: earlier(-60) };
    await page.clock.fastForward(6_000);
    await page.getByText('3 min ago').first().waitFor();
    assert.equal(await page.locator('details').first().getAttribute('open'), '');
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'Discard 12');
  } finally {
    await context.close();
    await server.stop('hard');
  }
});

/** Pictures for the README, made anew by `npm run screenshots`. */
const PICTURES = [
  { name: 'overview', path: '/', unfold: false },
  { name: 'failed-jobs', path: '/failed', unfold: true },
];

test('the pictures of the README can be made, and are small', async () => {
  const { server, url } = await serve(demoStatus(), full);
  const folder = process.env['MASKLINE_SCREENSHOTS'];
  try {
    for (const { name, path, unfold } of PICTURES) {
      const look = async (page: Page): Promise<void> => {
        if (unfold) await page.locator('summary').first().click();
        const height = Math.min(870, Number(await page.evaluate('document.documentElement.scrollHeight')));
        const picture = await page.screenshot({ clip: { x: 0, y: 0, width: 1_280, height }, fullPage: true });
        assert.ok(picture.length < 125_000, `${name}: ${picture.length} bytes`);
        if (folder) writeFileSync(join(folder, `${name}.png`), picture);
      };
      await visit(url + path, look, { colorScheme: 'light', viewport: { width: 1_280, height: 900 } });
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
