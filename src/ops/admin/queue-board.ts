import { createBullBoard } from '@bull-board/api';
import { HonoAdapter } from '@bull-board/hono';
import { serveStatic } from '@hono/node-server/serve-static';
import { Hono, type MiddlewareHandler } from 'hono';
import { PipelineError } from '../../errors.js';
import type { BoardQueue } from '../../queue/board.js';
import { QueueAdapter } from './queue-adapter.js';

/** A page that loads nothing from elsewhere; the fonts that its stylesheet falls back to are the system's. */
const FOREIGN_LINK = /<link href="https?:[^>]*>/g;

/**
 * Bull Board over these queues, to be mounted at `basePath`. It only shows, and shows nothing that came from a job but
 * bounded numbers, times and codes of ours.
 */
export function queueBoard(queues: readonly BoardQueue[], basePath: string): Hono {
  const server = new DiscreetAdapter(serveStatic).setBasePath(basePath);
  createBullBoard({
    queues: queues.map((queue) => new QueueAdapter(queue)),
    serverAdapter: server,
    options: {
      uiConfig: {
        boardTitle: 'maskline queues',
        miscLinks: [{ text: 'Pipelines', url: '/' }],
        hideDocsLink: true,
        // Both would show what the server says of itself and of its clients, whose names anybody may choose.
        hideRedisDetails: true,
        showWorkers: false,
        overview: { groupByDelimiter: false },
      },
      handlerHooks: {
        before: ({ method }) => ({ allow: method === 'get', status: 405 }),
      },
    },
  });
  const board = new Hono();
  board.use(withoutForeignLinks);
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
