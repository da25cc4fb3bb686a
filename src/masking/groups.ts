import type { Batch, MaskedBatch } from '../batch.js';

/** Which messages are of one FIFO group. Only FIFO queues give sequence numbers; elsewhere a group says nothing of order. */
export function groupsOf({ messages }: Pick<Batch, 'messages'>): Pick<MaskedBatch, 'groups'> {
  if (messages.every(({ sequenceNumber }) => sequenceNumber === undefined)) return {};
  const numbers = new Map<string, number>();
  return {
    groups: messages.map(({ groupId, sequenceNumber }) => {
      if (groupId === undefined || sequenceNumber === undefined) return null;
      const number = numbers.get(groupId) ?? numbers.size;
      numbers.set(groupId, number);
      return number;
    }),
  };
}
