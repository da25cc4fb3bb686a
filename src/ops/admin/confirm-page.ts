import { html } from 'hono/html';
import type { ActionOutcome, ActionPlan, ActionRequest } from './actions.js';
import { type Frame, page } from './layout.js';
import { type Html, command, prose } from './wording.js';

/** Actions that take something away. */
const RISKY: readonly string[] = ['discard'];

const BACK: { readonly [action in ActionRequest['action']]: string } = {
  retry: '/failed',
  discard: '/failed',
  replay: '/quarantine',
  pause: '/',
  resume: '/',
  run: '/',
};

/** The longest reason that is kept for a pause. */
export const MAX_REASON = 200;

function frame(request: ActionRequest, title: string): Frame {
  const pages: { readonly [back: string]: Frame['current'] } = {
    '/failed': 'failed',
    '/quarantine': 'quarantine',
  };
  const current = pages[BACK[request.action]] ?? 'overview';
  return {
    title: `${title} · maskline`,
    current,
    counts: { failed: null, quarantine: null },
    isLive: false,
  };
}

/** The question before an action: what it will do, and to how much. `ticket` is what the answer brings back. */
export function confirmPage(request: ActionRequest, plan: ActionPlan, ticket: string): Html {
  const { title, effect, refusal } = plan;
  const back = BACK[request.action];
  const form = html`<form method="post" action="/actions">
    <input type="hidden" name="ticket" value="${ticket}" />
    ${
      request.action === 'pause' &&
      html`<p>
        <label for="reason">Why, for those who find it paused</label>
        <input id="reason" name="reason" maxlength="${MAX_REASON}" autocomplete="off" />
      </p>`
    }
    <div class="acts">
      <button class="go ${RISKY.includes(request.action) ? 'risky' : ''}" type="submit">${title}</button>
      <a class="button" href="${back}">Cancel</a>
    </div>
  </form>`;
  return page(
    frame(request, title),
    html`<section class="card question" id="question">
      <h1>${title}?</h1>
      <ul>
        ${effect.map((sentence) => html`<li>${prose(sentence)}</li>`)}
      </ul>
      <p class="do">The same on the command line: <span class="cmd">${command(plan.command)}</span></p>
      ${
        refusal === null
          ? form
          : html`<p class="bad">Not from here: ${prose(refusal)}</p>
              <p><a class="button" href="${back}">Back</a></p>`
      }
    </section>`,
  );
}

/** What came of an action. */
export function outcomePage(request: ActionRequest, { text, runId }: ActionOutcome): Html {
  return page(
    frame(request, 'Done'),
    html`<section class="card question" id="outcome" role="status">
      <h1>${prose(text)}</h1>
      <p class="acts">
        ${runId !== null && html`<a class="button" href="/runs/${runId}">Look at its run</a>`}
        <a class="button" href="${BACK[request.action]}">Back</a>
      </p>
    </section>`,
  );
}

/** Said where a question can't be answered any more, or an action failed. */
export function failurePage(title: string, text: string): Html {
  return page(
    {
      title: `${title} · maskline`,
      current: 'overview',
      counts: { failed: null, quarantine: null },
      isLive: false,
    },
    html`<section class="card question" id="failure" role="alert">
      <h1>${title}</h1>
      <p>${prose(text)}</p>
      <p><a class="button" href="/">Back to the overview</a></p>
    </section>`,
  );
}
