import { html } from 'hono/html';
import type { Problem, Status } from '../status.js';
import { type KeyringView, keysCard } from './keys-card.js';
import { type Frame, RELOAD_S, page } from './layout.js';
import { pipelineCard } from './pipeline-card.js';
import type { Activity } from './stages.js';
import { type RecentRun, dependencyList, processTable, runTable } from './tables.js';
import { type Html, capital, plural, prose, sinceText } from './wording.js';

/** What is known of the deployment as every page needs it. */
export interface Surroundings {
  readonly status: Status;
  /** Since when (epoch ms) each dependency that is away has been seen to be. */
  readonly awaySince: ReadonlyMap<string, number>;
}

/** What the overview shows. What is null could not be asked for. */
export interface PageView extends Surroundings {
  /** The latest ones. */
  readonly runs: readonly RecentRun[] | null;
  /** By pipeline. */
  readonly activity: ReadonlyMap<string, Activity> | null;
  readonly keyring: KeyringView | null;
  readonly canAct: boolean;
  readonly version: string;
}

/** The overview. Everything in it is put in escaped. */
export function pipelinePage(view: PageView): Html {
  const { status, awaySince, runs, activity, keyring, canAct, version } = view;
  const now = Date.parse(status.at);
  const processes = isAway(status, 'postgres') ? null : status.processes;
  return page(
    frameOf(status, 'overview', 'maskline'),
    html`${banner(view, now)}
      ${status.pipelines.map((pipeline) =>
        pipelineCard(pipeline, {
          activity: activity?.get(pipeline.pipeline) ?? null,
          ...{ processes, canAct, now },
        }),
      )}
      <section class="card" id="runs" aria-labelledby="runs-title">
        <header><h2 id="runs-title">Latest runs</h2></header>
        ${runTable(runs, status.pipelines.length > 1, now)}
      </section>
      <div class="pair" id="surroundings">
        <section class="card" aria-labelledby="processes-title">
          <header><h2 id="processes-title">Processes</h2></header>
          ${processTable(processes, now)}
        </section>
        <div>
          <section class="card" aria-labelledby="dependencies-title">
            <header><h2 id="dependencies-title">Dependencies</h2></header>
            ${dependencyList(status.dependencies, awaySince, now)}
          </section>
          ${keysCard(keyring, now)}
        </div>
      </div>
      <footer id="foot">
        As of ${status.at.slice(0, 19).replace('T', ' ')} UTC, renewed every ${RELOAD_S} s. maskline
        ${version}
      </footer>`,
  );
}

/** The page that stands where the queues can't be looked into. */
export function noQueuesPage(): Html {
  return page(
    {
      title: 'maskline queues',
      current: 'queues',
      counts: { failed: null, quarantine: null },
      isLive: false,
    },
    html`<section class="card">
      <header><h1>No queues to look into</h1></header>
      <p>
        ${prose(
          'The queue is `memory://`: batches go from stage to stage within this process and are nowhere else. What ' +
            'waits and what failed is counted on the overview; to look into jobs, set `queue.url` to a ' +
            '`redis://` or `postgres://` URL.',
        )}
      </p>
    </section>`,
  );
}

/** What stands around a page that shows a part of that status. */
export function frameOf(status: Status, current: Frame['current'], title: string): Frame {
  const problems = status.problems.length;
  const backlogs = status.pipelines.map(({ backlog }) => backlog);
  const entries = status.pipelines.map(({ quarantine }) => quarantine);
  const sum = (counts: readonly number[]): number => counts.reduce((total, each) => total + each, 0);
  return {
    title: `${problems > 0 ? `(${problems}) ` : ''}${title}`,
    current,
    counts: {
      failed: sum(backlogs.map((each) => (each ? each.transform.failed + each.load.failed : 0))),
      quarantine: sum(entries.map((each) => each?.open ?? 0)),
    },
    isLive: true,
  };
}

/** Whether that dependency does not answer. */
function isAway({ dependencies }: Status, dependency: string): boolean {
  return dependencies.some(({ name, ok }) => name === dependency && !ok);
}

/** What to do now comes first; it is all that many look at. */
function banner({ status, awaySince }: Surroundings, now: number): Html {
  const { problems, pipelines } = status;
  const [first, ...others] = problems;
  if (!first) {
    return html`<section class="banner good" id="banner" role="status">
      <h1>All is well</h1>
      <p>${plural(pipelines.length, 'pipeline')}, nothing to do.</p>
    </section>`;
  }
  const since = awaySince.get(first.subject);
  const more = others.map(
    (one) =>
      html`<li class="remedy">
        <strong>${headline(one)}</strong><br />
        ${prose(one.remedy)}
      </li>`,
  );
  return html`<section class="banner bad" id="banner" role="status">
    <h1>${headline(first)}</h1>
    ${since !== undefined && html`<p class="since">Since ${sinceText(since, now)}.</p>`}
    <p class="todo">What to do: ${prose(first.remedy)}</p>
    ${
      more.length > 0 &&
      html`<ul class="others">
        ${more}
      </ul>`
    }
  </section>`;
}

/** Why a page can't show what it is about: what is away, since when, and what to do. */
export function awayNote({ status, awaySince }: Surroundings, dependency: string): Html {
  const problem = status.problems.find(({ subject }) => subject === dependency);
  const since = awaySince.get(dependency);
  const now = Date.parse(status.at);
  return html`<section class="banner bad" id="away" role="status">
    <h2>${problem ? headline(problem) : html`Not known just now: ${dependency} gave no answer in time`}</h2>
    ${since !== undefined && html`<p class="since">Since ${sinceText(since, now)}.</p>`}
    <p class="todo">
      What to do: ${prose(problem?.remedy ?? 'wait a moment; if it stays so, see that it is not overloaded')}
    </p>
  </section>`;
}

function headline({ subject, what }: Problem): Html {
  return html`${capital(subject)}: ${prose(what)}`;
}
