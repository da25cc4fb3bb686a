import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { parse, stringify } from 'yaml';

import { addDlqCommands } from '../../src/cli/dlq-commands.js';
import { addFailedCommands } from '../../src/cli/failed-commands.js';
import { addForesightCommands } from '../../src/cli/foresight-commands.js';
import { addKeyCommands } from '../../src/cli/key-commands.js';
import { addQuarantineCommands } from '../../src/cli/quarantine-commands.js';
import { addRunCommands } from '../../src/cli/run-commands.js';
import { addSetUpCommands } from '../../src/cli/set-up-commands.js';
import { addWatchCommands } from '../../src/cli/watch-commands.js';
import { EventBus } from '../../src/ops/events.js';
import { createMetrics } from '../../src/ops/metrics.js';
import { promtool } from '../support/promtool.js';
import { statusOf } from '../support/status.js';

const ROOT = dirname(fileURLToPath(new URL('../../../package.json', import.meta.url)));
const PROMETHEUS = join(ROOT, 'deploy/prometheus');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook_url: string };
}

interface Group {
  readonly name: string;
  readonly promql_expr_test: readonly { readonly exp_samples: readonly { readonly labels: string }[] }[];
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

const COMMANDS = [
  addSetUpCommands,
  addForesightCommands,
  addKeyCommands,
  addRunCommands,
  addWatchCommands,
  addFailedCommands,
  addDlqCommands,
  addQuarantineCommands,
];

const rules = (parse(read('deploy/prometheus/alerts.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const tests = (parse(read('deploy/prometheus/alerts_test.yml')) as { tests: Group[] }).tests;
const firing = (group: Group): readonly string[] =>
  group.promql_expr_test.flatMap(({ exp_samples: samples }) =>
    samples.map(({ labels }) => /alertname="(\w+)"/.exec(labels)?.[1] ?? ''),
  );
const dashboard = JSON.parse(read('deploy/grafana/maskline.json')) as { panels: Panel[] };
const runbook = read('docs/runbook.md');

describe('alerts', () => {
  test('fire in the faults that they are for, no other does, and none while all is well', () => {
    assert.match(promtool(['test', 'rules', 'alerts_test.yml'], PROMETHEUS), /SUCCESS/);
  });

  test('there is one for each fault of the failure table, and a fault for each of them', () => {
    const [, table = ''] = /## Failure table\n([^]*?)\n## /.exec(read('docs/guarantees.md')) ?? [];
    const faults = [...table.matchAll(/^\| (.*?) \|/gm)].map(([, fault = '']) => fault).slice(2);
    assert.equal(faults.length, 35);
    const without = faults.filter(
      (fault) => !tests.some((group) => fault.startsWith(group.name) && firing(group).length > 0),
    );
    assert.deepEqual(without, []);
    const named = tests.filter(({ name }) => !faults.some((fault) => fault.startsWith(name)));
    assert.deepEqual(
      named.map(({ name }) => name),
      ['all is well', 'the leak gate'],
    );
    assert.deepEqual(
      new Set(tests.flatMap(firing)),
      new Set(rules.map(({ alert }) => alert)),
      'an alert that no fault raises, or a fault that raises an unknown one',
    );
  });

  test('each leads to its entry in the runbook, and each entry has its alert', () => {
    const entries = [...runbook.matchAll(/^## (\w+)$/gm)].map(([, name]) => name);
    assert.deepEqual(new Set(entries), new Set(rules.map(({ alert }) => alert)));
    assert.equal(entries.length, rules.length);
    for (const { alert, annotations, labels } of rules) {
      assert.equal(annotations.runbook_url, `docs/runbook.md#${alert.toLowerCase()}`);
      assert.ok(['critical', 'warning', 'info'].includes(labels.severity));
      assert.ok(annotations.summary.length > 0);
    }
  });
});

describe('the dashboard', () => {
  test('asks in PromQL that Prometheus understands', () => {
    const dir = mkdtempSync(join(tmpdir(), 'maskline-dashboard-'));
    try {
      const asked = expressions().map((expr, index) => ({
        record: `asked:${index}`,
        expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$pipeline', '.*'),
      }));
      const file = { groups: [{ name: 'dashboard', rules: asked }] };
      writeFileSync(join(dir, 'rules.yml'), stringify(file));
      assert.match(promtool(['check', 'rules', '--lint=none', 'rules.yml'], dir), /SUCCESS/);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test('has panels with ids of their own that do not lie on each other', () => {
    const { panels } = dashboard;
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
    );
    assert.equal(new Set(cells).size, cells.length);
    assert.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24));
  });
});

test('alerts and dashboard ask only for metrics and labels that are served', async () => {
  const served = await servedMetrics();
  const bullmq = new Map([['bullmq_job_count', ['queue', 'state']]]);
  const known = new Map([...served, ...bullmq, ['up', []]]);
  for (const expr of [...rules.map((rule) => rule.expr), ...expressions()]) {
    const names = [...expr.matchAll(/\b(?:maskline|bullmq|process|nodejs)_\w+|\bup\b/g)].map(
      ([name]) => name,
    );
    assert.ok(names.length > 0, expr);
    const labels = new Set(['job', 'instance', 'le', ...names.flatMap((name) => known.get(name) ?? [])]);
    for (const name of names) assert.ok(known.has(name), `${name} in ${expr}`);
    const asked = [
      ...[...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, by = '']) => by.split(',')),
      ...[...expr.matchAll(/(\w+)(?:=~|=|!=)"/g)].map(([, label = '']) => label),
    ];
    for (const label of asked) assert.ok(labels.has(label.trim()), `${label} in ${expr}`);
  }
});

test('the commands of the runbook are there, with the options that it gives them', () => {
  const program = new Command().option('-p, --pipeline <name>').option('--json');
  for (const add of COMMANDS) add(program, () => () => Promise.resolve());
  const commands = [...runbook.matchAll(/`maskline ([^`]*)`/g)].map(([, line = '']) => line.split(/\s+/));
  assert.ok(commands.length > 20);
  for (const words of commands) {
    let command = program;
    for (const word of words) {
      const next = command.commands.find((one) => one.name() === word);
      if (next === undefined) break;
      command = next;
    }
    assert.notEqual(command, program, words.join(' '));
    const options = [...command.options, ...program.options].flatMap(({ short, long }) => [short, long]);
    for (const word of words.filter((one) => one.startsWith('-')))
      assert.ok(options.includes(word), `${word} of maskline ${words.join(' ')}`);
  }
});

function expressions(): readonly string[] {
  return dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
}

/** Every name that a scrape can show, and its labels. */
async function servedMetrics(): Promise<ReadonlyMap<string, readonly string[]>> {
  const none = (): Promise<never[]> => Promise.resolve([]);
  const { registry } = createMetrics({
    events: new EventBus(),
    version: '1',
    pipelines: ['logins'],
    sources: {
      queues: none,
      backlog: none,
      schedules: none,
      reveals: () => Promise.resolve(new Map()),
      status: () => Promise.resolve(statusOf()),
    },
  });
  const served = new Map<string, readonly string[]>();
  for (const { name } of await registry.getMetricsAsJSON()) {
    const labels = labelsOf(registry.getSingleMetric(name));
    for (const suffix of ['', '_bucket', '_sum', '_count']) served.set(`${name}${suffix}`, labels);
  }
  return served;
}

/** prom-client's types do not show them. */
function labelsOf(metric: object | undefined): readonly string[] {
  if (metric === undefined || !('labelNames' in metric) || !Array.isArray(metric.labelNames)) return [];
  return metric.labelNames.map(String);
}
