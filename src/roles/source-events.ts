import type { OnSourceEvent } from '../source/source-events.js';
import type { Deployment } from './deployment.js';

/** Turns what a pipeline's source tells of itself into the process's events. */
export function sourceEvents({ events, onWait }: Deployment, pipeline: string): OnSourceEvent {
  return (event) => {
    switch (event.kind) {
      case 'received':
        events.emit('messages_received', { pipeline, messages: event.messages, bytes: event.bytes });
        if (event.redelivered > 0) events.emit('redelivery', { pipeline, messages: event.redelivered });
        break;
      case 'deleted':
        events.emit('messages_deleted', { pipeline, messages: event.messages });
        break;
      case 'receipts_lost':
        events.emit('receipt_lost', { pipeline, receipts: event.receipts });
        break;
      case 'waiting':
      case 'heartbeat_failed':
        onWait(event.error);
        break;
      case 'ack_abandoned':
        events.emit('receipt_lost', { pipeline, receipts: event.messages });
        break;
      case 'origin_refused':
        events.emit('origin_refused', { pipeline, messages: event.messages });
        break;
      case 'released':
      case 'release_failed':
        // Released or not, they come again; the batch that let them go has told so.
        break;
    }
  };
}
