import type { LifecycleEvent } from '../lifecycle.js';
import type { Logger } from '../ops/logger.js';
import type { CliContext } from './context.js';
import { errorText } from './exit.js';

/** Says how a process is coming to its end: errors in full for people, all else in the log. */
export function reportLifecycle({ out }: CliContext, log: Logger): (event: LifecycleEvent) => void {
  return (event) => {
    switch (event.kind) {
      case 'stopping':
        log.info({ event: 'stopping', signal: event.signal, deadline_ms: event.deadlineMs });
        break;
      case 'hard_stop':
      case 'overrun':
        log.warn({ event: event.kind, held: event.held });
        break;
      case 'failed':
        out.note(errorText(event.error));
        break;
    }
  };
}
