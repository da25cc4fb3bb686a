import { selectPipelines } from '../roles/deployment.js';
import { type RedriveReport, redrive } from '../roles/redrive.js';
import { confirm } from './confirmation.js';
import type { Command } from './context.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { openProgress } from './progress.js';

interface RedriveOptions {
  readonly args: readonly string[];
  readonly max?: number;
  readonly dryRun?: boolean;
}

/** `dlq redrive`: sends what is in a pipeline's dead-letter queue back, under the ids that the ledger knows. */
export const dlqRedrive: Command<RedriveOptions> = async (context, { args, max, dryRun = false }) => {
  const deployment = openDeployment(context, 'cli');
  const pipelines = selectPipelines(deployment.config, [...args, ...context.pipelines]);
  const names = pipelines.map(({ name }) => name).join(', ');
  const question = `Send the messages of the dead-letter queue of ${names} back?`;
  if (!dryRun && !(await confirm(context, question))) return exitCode.failed;
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const progress = openProgress(context.line, deployment.log);
  try {
    let isClean = true;
    for (const pipeline of pipelines) {
      const onStep = (received: number): void => progress.at(pipeline.name, received, max ?? null);
      onStep(0);
      const request = { maxMessages: max ?? null, dryRun, signal: stop.signal, onStep };
      for await (const report of redrive(deployment, pipeline, request)) {
        context.out.result(row(report, dryRun), text(report, dryRun));
        isClean &&= report.received === report.redriven + report.otherQueues && !stop.signal.aborted;
      }
    }
    return isClean ? exitCode.ok : exitCode.failed;
  } finally {
    progress.end();
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
};

function row(report: RedriveReport, dryRun: boolean): { readonly [name: string]: string | number | boolean } {
  const { pipeline, queue, deadLetterQueue, received, redriven, otherQueues } = report;
  const { tooOld, tooLarge, failed, left } = report;
  return {
    pipeline,
    queue,
    dead_letter_queue: deadLetterQueue,
    dry_run: dryRun,
    ...{ received, redriven, other_queues: otherQueues, too_old: tooOld, too_large: tooLarge, failed, left },
  };
}

function text(report: RedriveReport, dryRun: boolean): string {
  const { pipeline, deadLetterQueue, redriven, otherQueues, tooOld, tooLarge, failed, left } = report;
  const lines = [
    dryRun
      ? `${pipeline}: ${left} messages in ${deadLetterQueue} would be sent back`
      : `${pipeline}: ${redriven} messages sent back from ${deadLetterQueue}, ${left} left`,
  ];
  if (otherQueues > 0) lines.push(`  ${otherQueues} left: another queue has put them there`);
  if (tooOld > 0)
    lines.push(`  ${tooOld} left: older than retention.ledger keeps, so they might be loaded twice`);
  if (tooLarge > 0)
    lines.push(`  ${tooLarge} left: with the mark of their origin they exceed what SQS takes`);
  if (failed > 0)
    lines.push(`  ${failed} left: SQS refused them for the moment; they are visible again in ten minutes`);
  return lines.join('\n');
}
