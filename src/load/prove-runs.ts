import type { ClientBase } from 'pg';
import type { Counts } from '../batch.js';
import type { ProofFindings } from './prove-findings.js';
import { type ProofWindow, eachRow } from './prove-snapshot.js';

/** A run's report beside the sums of its batches. */
interface RunFacts extends Counts {
  readonly run_id: string;
  readonly state: string;
  readonly batches: Counts | null;
  readonly batches_released: number;
}

// Batches are found by their run: a clock that was set back may have given them ids from before it.
const RUNS = `
  with sums as (
    select l.run_id, count(*) filter (where l.state = 'released') as batches_released,
           jsonb_build_object('received', sum(l.received), 'loaded', sum(l.loaded), 'duplicates', sum(l.duplicates),
             'quarantined', sum(l.quarantined), 'released', sum(l.released)) as batches
      from maskline.loads l where l.run_id >= $2 group by l.run_id)
  select r.run_id, r.state, r.received::float8, r.loaded::float8, r.duplicates::float8, r.quarantined::float8,
         r.released::float8, s.batches, coalesce(s.batches_released, 0)::float8 as batches_released
    from maskline.runs r left join sums s on s.run_id = r.run_id
   where r.pipeline = $1 and r.run_id >= $2`;

const OUTCOMES = ['loaded', 'duplicates', 'quarantined', 'released'] as const;
const NONE: Counts = { received: 0, loaded: 0, duplicates: 0, quarantined: 0, released: 0 };

/** Compares the report of each run of the window with its batches; returns how many runs there are. */
export async function proveRuns(
  client: ClientBase,
  pipeline: string,
  window: ProofWindow,
  findings: ProofFindings,
): Promise<number> {
  let runs = 0;
  let open = 0;
  for await (const run of eachRow<RunFacts>(client, RUNS, [pipeline, window.firstId])) {
    runs += 1;
    if (run.state === 'running' || run.state === 'abandoned') {
      open += 1;
      judgeOpen(run, findings);
    } else judgeFinished(run, findings);
  }
  findings.leave(
    'runs',
    open,
    'they are running, or were abandoned by their process: that their batches have what they report is checked, not that it adds up',
  );
  return runs;
}

/** A finished run's report adds up, and is the sum of its batches. */
function judgeFinished(run: RunFacts, findings: ProofFindings): void {
  const { run_id, state } = run;
  const batches = run.batches ?? NONE;
  const sum = OUTCOMES.reduce((total, outcome) => total + run[outcome], 0);
  if (run.received !== sum) {
    const what = `run ${run_id} reports ${run.received} records received, and ${sum} of all outcomes together`;
    findings.add({ kind: 'run_does_not_add_up', run_id, expected: run.received, found: sum, what });
  }
  const differing = (['received', ...OUTCOMES] as const).filter((name) => run[name] !== batches[name]);
  if (differing.length > 0) reportDiffers(run, batches, differing, findings);
  if (state === 'succeeded' && run.batches_released > 0) {
    const what = `run ${run_id} is on record as succeeded, and ${run.batches_released} of its batches were let go`;
    findings.add({ kind: 'run_differs', run_id, expected: 0, found: run.batches_released, what });
  }
}

/** What a run that has no end has said of its batches, it knew from them; they may have more by now. */
function judgeOpen(run: RunFacts, findings: ProofFindings): void {
  const batches = run.batches ?? NONE;
  const beyond = OUTCOMES.filter((outcome) => run[outcome] > batches[outcome]);
  if (beyond.length > 0) reportDiffers(run, batches, beyond, findings);
  const settled = OUTCOMES.reduce((total, outcome) => total + run[outcome], 0);
  if (run.received >= settled) return;
  const what = `run ${run.run_id} reports ${run.received} records received, and ${settled} with an outcome`;
  findings.add({
    kind: 'run_does_not_add_up',
    run_id: run.run_id,
    expected: run.received,
    found: settled,
    what,
  });
}

function reportDiffers(
  run: RunFacts,
  batches: Counts,
  names: readonly (keyof Counts)[],
  findings: ProofFindings,
): void {
  const said = names.map((name) => `${name} ${run[name]}, its batches ${batches[name]}`).join('; ');
  findings.add({
    kind: 'run_differs',
    run_id: run.run_id,
    expected: Object.fromEntries(names.map((name) => [name, batches[name]])),
    found: Object.fromEntries(names.map((name) => [name, run[name]])),
    what: `run ${run.run_id} reports ${said}`,
  });
}
