import type { PipelineStatus } from './status.js';

/** What a webhook is told, in names, codes and counts. Keys are snake_case; `text` is what Slack and its like show. */
export interface NoticeBody {
  readonly text: string;
  /** The same of all requests about one time that it is the case: what was told twice can be told apart by it. */
  readonly id: string;
  readonly kind: 'breaker' | 'overdue' | 'quarantine';
  readonly state: 'open' | 'over';
  readonly pipeline: string;
  readonly since: string;
  readonly at: string;
  /** Open records in quarantine by code; null when that is not known. */
  readonly quarantined: Readonly<{ [code: string]: number }> | null;
  /** The command to run. */
  readonly next: string;
}

/** What it is about. */
export interface Notice extends Pick<NoticeBody, 'id' | 'kind' | 'pipeline' | 'since' | 'at'> {
  readonly isOver: boolean;
}

/** The body of a request; `status` is the pipeline's, as far as it is known. */
export function noticeBody({ isOver, ...notice }: Notice, status: PipelineStatus | undefined): NoticeBody {
  const { kind, pipeline, since } = notice;
  const quarantine = status?.quarantine ?? null;
  const next = nextCommand(kind, pipeline);
  const text = isOver
    ? `maskline: over: ${endText(kind, pipeline)}`
    : `maskline: ${beginText(kind, pipeline, since, quarantine)} Next: ${next}`;
  return {
    text,
    ...notice,
    state: isOver ? 'over' : 'open',
    quarantined: quarantine?.codes ?? null,
    next: isOver ? 'maskline status' : next,
  };
}

function beginText(
  kind: Notice['kind'],
  pipeline: string,
  since: string,
  quarantine: PipelineStatus['quarantine'],
): string {
  if (kind === 'overdue')
    return `${pipeline} is overdue: no run of its schedule has ended well since ${since}.`;
  const open = openText(quarantine);
  if (kind === 'quarantine') return `the quarantine of ${pipeline} grows${open}.`;
  return (
    `the breaker of ${pipeline} has been open since ${since}, and nothing is received${open}. ` +
    `Once that is mended: maskline schedule resume ${pipeline}.`
  );
}

function openText(quarantine: PipelineStatus['quarantine']): string {
  if (quarantine === null || quarantine.open === 0) return '';
  const codes = Object.entries(quarantine.codes).map(([code, count]) => `${code} ${count}`);
  return `: ${quarantine.open}${quarantine.capped ? ' or more' : ''} open records (${codes.join(', ')})`;
}

function endText(kind: Notice['kind'], pipeline: string): string {
  if (kind === 'overdue') return `${pipeline} runs by its schedule again.`;
  return kind === 'breaker'
    ? `the breaker of ${pipeline} is closed.`
    : `the quarantine of ${pipeline} has stopped growing.`;
}

function nextCommand(kind: Notice['kind'], pipeline: string): string {
  return kind === 'overdue' ? 'maskline status' : `maskline quarantine list -p ${pipeline} --by-cause`;
}
