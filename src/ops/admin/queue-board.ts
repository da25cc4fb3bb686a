import { AsyncLocalStorage } from 'node:async_hooks';
import { createBullBoard } from '@bull-board/api';
import { HonoAdapter } from '@bull-board/hono';
import { serveStatic } from '@hono/node-server/serve-static';
import { Hono, type MiddlewareHandler } from 'hono';
import { PipelineError } from '../../errors.js';
import type { BoardQueue } from '../../queue/board.js';
import type { Acting } from './action-routes.js';
import { BoardActions } from './board-actions.js';
import { QueueAdapter } from './queue-adapter.js';
import { tokenByCookie } from './same-origin.js';

/** A page that loads nothing from elsewhere; the fonts that its stylesheet falls back to are the system's. */
const FOREIGN_LINK = /<link href="https?:[^>]*>/g;

/** What of Bull Board's own actions is done, in our way; it knows more that would break the protocol of acks. */
const ACTING = new Set([
  '/api/queues/:queueName/:jobId/retry',
  '/api/queues/:queueName/:jobId/clean',
  '/api/queues/:queueName/retry/:queueStatus',
  '/api/queues/:queueName/clean/:queueStatus',
]);

/**
 * Bull Board over these queues, to be mounted at `basePath`. It shows nothing that came from a job but bounded numbers,
 * times and codes of ours. Without `acting` it only shows; with it, failed jobs are retried and discarded as by
 * `maskline failed`, and everything else that Bull Board knows to do is refused.
 */
export function queueBoard(queues: readonly BoardQueue[], basePath: string, acting: Acting | null): Hono {
  const server = new DiscreetAdapter(serveStatic).setBasePath(basePath);
  const by = new AsyncLocalStorage<string>();
  const adapterOf = (queue: BoardQueue): QueueAdapter => {
    if (acting === null) return new QueueAdapter(queue, null);
    return new QueueAdapter(queue, new BoardActions(acting.actions, queue.name, () => by.getStore() ?? ''));
  };
  createBullBoard({
    queues: queues.map(adapterOf),
    serverAdapter: server,
    options: {
      uiConfig: {
        boardTitle: 'maskline queues',
        miscLinks: [{ text: 'Overview', url: '/' }],
        hideDocsLink: true,
        // Both would show what the server says of itself and of its clients, whose names anybody may choose.
        hideRedisDetails: true,
        showWorkers: false,
        overview: { groupByDelimiter: false },
      },
      handlerHooks: {
        before: ({ method, route }) => ({
          allow: method === 'get' || (acting !== null && ACTING.has(route)),
          status: 405,
        }),
      },
    },
  });
  const board = new Hono();
  board.use(withoutForeignLinks);
  if (acting) {
    board.use(tokenByCookie(basePath));
    board.use(async (context, next) => by.run(acting.who(context), next));
  }
  return board.route('/', server.registerPlugin());
}

/** Bull Board's own answers an error with its text, whoever threw it. */
class DiscreetAdapter extends HonoAdapter {
  override setErrorHandler(): this {
    return super.setErrorHandler((error) => ({
      status: 500,
      body: {
        error: { key: 'ERRORS.INTERNAL_SERVER_ERROR' },
        message:
          error instanceof PipelineError
            ? error.message
            : 'an unexpected error (its text is withheld: it may quote data)',
      },
    }));
  }
}

const withoutForeignLinks: MiddlewareHandler = async (context, next) => {
  await next();
  if (!context.res.headers.get('content-type')?.startsWith('text/html')) return;
  const page = await context.res.text();
  context.res = new Response(page.replace(FOREIGN_LINK, ''), context.res);
};
