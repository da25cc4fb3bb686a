// What processes served on /metrics, before and in a fault, as the input of promtool's tests of rules.

import { stringify } from 'yaml';

/** One scrape of one process, in Prometheus' exposition format. */
export interface Scrape {
  readonly instance: string;
  readonly text: string;
}

/** A fault: what was served before it and in it, and the alerts that must fire. */
export interface ScrapedFault {
  readonly name: string;
  readonly before: readonly Scrape[];
  readonly during: readonly Scrape[];
  readonly alerts: readonly string[];
}

/** Minutes before the fault, and those that it lasts: longer than any `for`, but those of hours. */
const BEFORE_MIN = 20;
const DURING_MIN = 20;

const SAMPLE = /^([a-z_]\w*)(?:\{(.*)\})? (\S+)$/i;

interface Series {
  readonly isCounter: boolean;
  readonly value: number;
}

/** By name and labels, with `job` and `instance` as Prometheus adds them; only what rules can ask for. */
function seriesOf(scrapes: readonly Scrape[]): ReadonlyMap<string, Series> {
  const found = new Map<string, Series>();
  for (const { instance, text } of scrapes) {
    const counters = new Set([...text.matchAll(/^# TYPE (\S+) counter$/gm)].map(([, name]) => name));
    found.set(`up{job="maskline",instance="${instance}"}`, { isCounter: false, value: 1 });
    for (const line of text.split('\n')) {
      const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? [];
      if (!/^(?:maskline_|process_start)/.test(name) || name.endsWith('_bucket')) continue;
      const isCounter = counters.has(name) || /_(?:sum|count)$/.test(name);
      const all = [labels, 'job="maskline"', `instance="${instance}"`].filter(Boolean).join(',');
      found.set(`${name}{${all}}`, { isCounter, value: Number(value) });
    }
  }
  return found;
}

/** The sequence of one series: what stood still goes on to, and what has counted goes on to count. */
function valuesOf(before: Series | undefined, during: Series | undefined): string {
  // `1x2` is three samples, and `_x2` two.
  const first = before === undefined ? `_x${BEFORE_MIN + 1}` : `${before.value}x${BEFORE_MIN}`;
  if (during === undefined) return `${first} _x${DURING_MIN + 1}`;
  const step = during.isCounter ? Math.max(0, during.value - (before?.value ?? 0)) : 0;
  return `${first} ${during.value}+${step}x${DURING_MIN}`;
}

/** A test file for promtool: nothing fires before a fault, and its alerts do in it. */
export function rulesTest(rulesFile: string, faults: readonly ScrapedFault[]): string {
  const tests = faults.map(({ name, before, during, alerts }) => {
    const [was, is] = [seriesOf(before), seriesOf(during)];
    const names = new Set([...was.keys(), ...is.keys()]);
    return {
      name,
      interval: '1m',
      input_series: [...names].map((series) => ({
        series,
        values: valuesOf(was.get(series), is.get(series)),
      })),
      promql_expr_test: [
        { expr: 'ALERTS{alertstate="firing"}', eval_time: `${BEFORE_MIN}m`, exp_samples: [] },
        {
          expr: `count by (alertname) (ALERTS{alertstate="firing",alertname=~"${alerts.join('|')}"}) > bool 0`,
          eval_time: `${BEFORE_MIN + DURING_MIN}m`,
          exp_samples: alerts.map((alert) => ({ labels: `{alertname="${alert}"}`, value: 1 })),
        },
      ],
    };
  });
  return stringify({ rule_files: [rulesFile], evaluation_interval: '1m', tests });
}
