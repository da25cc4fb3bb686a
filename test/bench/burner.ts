// A process that burns CPU and holds memory as it is told, so that the accounting can be tested on something known.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What a burner does next; it answers when that is done. */
interface Order {
  readonly burnMicros?: number;
  readonly holdBytes?: number;
  readonly childBurnsMicros?: number;
  readonly childEnds?: number;
}

let child: ChildProcess | null = null;

process.on('message', (order: Order) => void carryOut(order).then(answer));

async function carryOut(order: Order): Promise<void> {
  burn(order.burnMicros ?? 0);
  // Written, or the kernel never makes it resident.
  if (order.holdBytes !== undefined) Buffer.alloc(order.holdBytes, 1);
  if (order.childBurnsMicros !== undefined) {
    child = fork(fileURLToPath(import.meta.url));
    const done = once(child, 'message');
    child.send({ burnMicros: order.childBurnsMicros });
    await done;
  }
  if (order.childEnds !== undefined && child !== null) {
    const exited = once(child, 'exit');
    child.disconnect();
    await exited;
  }
}

function answer(): void {
  process.send?.({ cpuMicros: used() });
}

function burn(micros: number): void {
  for (const until = used() + micros; used() < until;);
}

function used(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
