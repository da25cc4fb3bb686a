// One long run: what a message costs, and how much memory is held, at its beginning, in between and at its end.

import type { Releases } from '../../lifecycle.js';
import { checkOutcome, received, until } from './drained.js';
import { startFleet } from './end-to-end.js';
import type { Figures } from './figures.js';
import type { RunOptions } from './profiles.js';

/** Parts that are compared; the first is the one in which Node still compiles. */
const PARTS = 10;
const ROLES = ['ingest', 'transform', 'load'] as const;

/** At one moment. */
interface Sample {
  readonly messages: number;
  readonly cpuMicros: number;
  readonly rssBytes: number;
}

/** CPU per message of each tenth, and the last one's as a multiple of the first's. */
export async function measureGrowth(releases: Releases, options: RunOptions): Promise<Figures> {
  const { messages, signal } = options;
  const fleet = await startFleet(releases, options);
  const { stack, pool, processes } = fleet;
  const sample = async (count: number): Promise<Sample> => {
    const now = await fleet.usages();
    return {
      messages: count,
      cpuMicros: ROLES.reduce((sum, role) => sum + now[role].cpuMicros, 0),
      rssBytes: Math.max(...ROLES.map((role) => now[role].rssBytes)),
    };
  };
  const samples = [await sample(0)];
  await fleet.go();
  await until(
    async () => {
      const now = await received(pool);
      const isNext = now.messages >= (samples.at(-1)?.messages ?? 0) + messages / PARTS;
      const isDone = now.isIdle && now.messages >= messages;
      // The last is taken when all is deleted too.
      if (isDone || (isNext && now.messages < messages)) samples.push(await sample(now.messages));
      return isDone;
    },
    { messages, processes, signal },
  );
  await checkOutcome(stack, pool);
  return growthOf(samples);
}

/** From moments of one run, the first before anything was received. */
export function growthOf(samples: readonly Sample[]): Figures {
  const parts = samples.slice(1).map((sample, i) => {
    const earlier = samples[i];
    if (earlier === undefined) throw new RangeError('each sample but the first has one before it');
    return {
      cpu: (sample.cpuMicros - earlier.cpuMicros) / (sample.messages - earlier.messages),
      rss: sample.rssBytes / 2 ** 20,
    };
  });
  const [first] = parts;
  const [second] = parts.slice(1);
  const last = parts.at(-1);
  if (first === undefined || second === undefined || last === undefined)
    throw new RangeError('too few samples');
  return {
    ...Object.fromEntries(parts.map(({ cpu }, i) => [`part_${i + 1}_cpu_us_per_message`, cpu])),
    last_to_first_part: last.cpu / first.cpu,
    last_to_second_part: last.cpu / second.cpu,
    second_part_rss_mib: second.rss,
    last_part_rss_mib: last.rss,
  };
}
