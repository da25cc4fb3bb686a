import { html } from 'hono/html';
import { type Html, number, plural } from './wording.js';

/** What was committed within one minute, in records; `at` is its beginning, in epoch ms. */
export interface ChartMinute {
  readonly at: number;
  readonly loaded: number;
  readonly duplicates: number;
  readonly quarantined: number;
}

const MINUTE_MS = 60_000;
const MINUTES = 60;
/** Units of the drawing, which is stretched to its place. */
const HEIGHT = 100;
const STEP = 10;
const BAR = 8;
/** So high at least, or a record among thousands would not be seen. */
const LEAST = 1.5;

const PARTS = ['loaded', 'duplicates', 'quarantined'] as const;

/** The last hour by the minute, as bars; null minutes are not known. */
export function throughputChart(minutes: readonly ChartMinute[] | null, now: number): Html {
  if (minutes === null) return html``;
  const first = Math.floor(now / MINUTE_MS) - MINUTES + 1;
  const shown = minutes.filter(({ at }) => at / MINUTE_MS >= first && at <= now);
  const most = shown.reduce((max, each) => Math.max(max, heightOf(each)), 0);
  const total = shown.reduce((sum, { loaded }) => sum + loaded, 0);
  const bars = shown.map((each) => bar(each, (each.at / MINUTE_MS - first) * STEP, most));
  const others = PARTS.slice(1).filter((part) => shown.some((each) => each[part] > 0));
  return html`<figure class="chart">
    <figcaption>
      <strong
        >${total === 0 ? 'Nothing was loaded in the last hour' : `${plural(total, 'row')} in the last hour`}</strong
      >
      ${most > 0 && html`<span>at most ${number(most)} a minute</span>`}
      ${total > 0 && others.length > 0 && html`<span class="key">loaded</span>`}
      ${others.map((part) => html`<span class="key ${part}">${part}</span>`)}
    </figcaption>
    <svg
      viewBox="0 0 ${MINUTES * STEP} ${HEIGHT + 1}"
      preserveAspectRatio="none"
      aria-hidden="true"
      focusable="false"
    >
      <rect class="base" x="0" y="${HEIGHT}" width="${MINUTES * STEP}" height="1" />
      ${bars}
    </svg>
    <div class="axis" aria-hidden="true"><span>an hour ago</span><span>now</span></div>
  </figure>`;
}

function heightOf(minute: ChartMinute): number {
  return PARTS.reduce((sum, part) => sum + minute[part], 0);
}

function bar(minute: ChartMinute, x: number, most: number): readonly Html[] {
  let top = HEIGHT;
  return PARTS.flatMap((part) => {
    if (minute[part] === 0) return [];
    const height = Math.max(LEAST, (minute[part] / most) * HEIGHT);
    top = Math.max(0, top - height);
    return [
      html`<rect
        class="${part}"
        x="${x}"
        y="${top.toFixed(2)}"
        width="${BAR}"
        height="${height.toFixed(2)}"
      />`,
    ];
  });
}
