import type { Context, Hono } from 'hono';
import { PipelineError } from '../../errors.js';
import { type Actions, readRequest } from './actions.js';
import { MAX_REASON, confirmPage, failurePage, outcomePage } from './confirm-page.js';
import { Tickets } from './tickets.js';

/** What acting takes. */
export interface Acting {
  readonly actions: Actions;
  /** On whose behalf. */
  readonly who: (context: Context) => string;
}

/**
 * `GET /confirm` puts the question, `POST /actions` takes the answer, once, and `GET /done/TICKET` tells what came of it.
 * GET changes nothing.
 */
export function addActions(app: Hono, { actions, who }: Acting): void {
  const tickets = new Tickets();
  app.get('/confirm', async (context) => {
    const request = readRequest(context.req.query(), Date.now());
    if (request === null) {
      return context.html(failurePage('There is no such action', 'Go by the buttons of the pages.'), 400);
    }
    return sayingWhy(context, async () => {
      const plan = await actions.plan(request);
      const ticket = plan.refusal === null ? tickets.issue(request, who(context)) : '';
      return context.html(confirmPage(request, plan, ticket));
    });
  });
  app.post('/actions', async (context) => {
    const { ticket = '', reason = '' } = await context.req.parseBody();
    const by = who(context);
    const request = typeof ticket === 'string' ? tickets.spend(ticket, by) : null;
    if (request === null || typeof ticket !== 'string' || typeof reason !== 'string') {
      const text =
        'It was answered before, or is too old, or was put to somebody else. Nothing was done just now.';
      return context.html(failurePage('This question is not open any more', text), 403);
    }
    return sayingWhy(context, async () => {
      tickets.conclude(ticket, await actions.perform(request, by, tidy(reason)));
      return context.redirect(`/done/${ticket}`, 303);
    });
  });
  app.get('/done/:ticket', (context) => {
    const done = tickets.outcome(context.req.param('ticket'), who(context));
    if (done) return context.html(outcomePage(done.request, done.outcome));
    return context.html(failurePage('Nothing is known of that any more', 'The log has it.'), 404);
  });
}

/** An error of ours as a page; any other one says nothing to whoever asks. */
async function sayingWhy(context: Context, work: () => Promise<Response>): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PipelineError)) throw error;
    return context.html(failurePage("It can't be done just now", error.message), 503);
  }
}

/** One line of text; null: none. */
function tidy(reason: string): string | null {
  return reason.replaceAll(/\s+/g, ' ').trim().slice(0, MAX_REASON) || null;
}
