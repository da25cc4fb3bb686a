import type { Command as Commander } from 'commander';
import { type Action, collect, wholeNumber } from './action.js';

/** What shows how it goes, and steers it. */
export function addWatchCommands(program: Commander, action: Action): void {
  program
    .command('status')
    .description('how it goes: what is wrong and what to do, pipelines, processes, dependencies')
    .option('--watch', 'again every 2 s, until Ctrl-C')
    .option('--check', 'exit 1 when something is wrong, and say what, a line each, on stderr')
    .action(action(async () => (await import('./status.js')).statusCommand));
  program
    .command('tap')
    .description('batches as they pass a stage: masked values and shapes, nothing else')
    .argument('[stage]', 'ingest, transform or load', 'transform')
    .option('-n, --number <n>', 'end after so many batches', wholeNumber)
    .action(action(async () => (await import('./tap.js')).tapCommand));
  addScheduleCommands(program, action);
  program
    .command('prune')
    .description('delete what is past its retention, as the admin role does every day')
    .option('--dry-run', 'only count')
    .action(action(async () => (await import('./prune.js')).pruneCommand));
  addRunsCommands(program, action);
}

function addScheduleCommands(program: Commander, action: Action): void {
  const schedule = program.command('schedule').description('when pipelines run');
  schedule
    .command('list')
    .description('schedules, pauses and breakers, with the last and next run')
    .action(action(async () => (await import('./schedule.js')).scheduleList));
  schedule
    .command('next')
    .description('when the next runs begin')
    .argument('[pipeline...]', 'default: all')
    .option('-n, --number <n>', 'how many of each pipeline (default: 5)', wholeNumber)
    .action(action(async () => (await import('./schedule.js')).scheduleNext));
  schedule
    .command('run')
    .description('run pipelines now, in this process, unless they are paused or their breaker is open')
    .argument('<pipeline...>')
    .action(action(async () => (await import('./schedule-run.js')).scheduleRun));
  schedule
    .command('pause')
    .description('start no run by the schedule until resumed')
    .argument('[pipeline...]')
    .option('--all', 'every pipeline')
    .option('--reason <text>', 'why, for those who look')
    .action(action(async () => (await import('./schedule.js')).schedulePause));
  schedule
    .command('resume')
    .description('end a pause, and close the breaker')
    .argument('[pipeline...]')
    .option('--all', 'every pipeline')
    .action(action(async () => (await import('./schedule.js')).scheduleResume));
}

function addRunsCommands(program: Commander, action: Action): void {
  const runs = program.command('runs').description('runs and their reports');
  runs
    .command('list')
    .description('the latest runs')
    .option('--limit <n>', 'how many', wholeNumber, 20)
    .option('--state <state>', 'only those that ended so, e.g. failed; may be repeated', collect)
    .option('--since <duration or time>', 'only those that began since, e.g. 2h or 2026-01-31T12:00:00Z')
    .action(action(async () => (await import('./runs.js')).runsList));
  runs
    .command('show')
    .description('one run, its batches, and those that are kept as failed jobs')
    .argument('<run_id>', 'its id, or the beginning of it')
    .action(action(async () => (await import('./runs.js')).runsShow));
}
