// Pipelines that share a queue, and whose a record of it is.

import type { RouteField, RouteTable } from '../source/route.js';
import type { PipelineConfig } from './config.js';
import { parsePath } from './path.js';
import type { PipelineInput } from './pipeline-schema.js';
import type { Findings, Path } from './problem.js';

const ATTRIBUTE_PREFIX = '$attributes.';

/** What the pipeline takes of its queue, as long as nothing is known of others there; null: all. */
export function buildRoute(
  pipeline: string,
  input: PipelineInput['route'],
  at: Path,
  findings: Findings,
): RouteTable | null {
  if (input === undefined) return null;
  const { from, equals, default: isDefault } = input;
  const otherwise = isDefault ? pipeline : null;
  if (from === undefined && equals === undefined && isDefault)
    return { pipelines: [pipeline], entries: [], otherwise };
  if (from === undefined || equals === undefined) {
    findings.error(at, 'needs `from` and `equals`, or `default: true`');
    return null;
  }
  const field = fieldOf(from);
  if (typeof field === 'string') {
    findings.error([...at, 'from'], field);
    return null;
  }
  return { pipelines: [pipeline], entries: [{ pipeline, from: field, equals }], otherwise };
}

function fieldOf(from: string): RouteField | string {
  if (from.startsWith(ATTRIBUTE_PREFIX)) {
    const name = from.slice(ATTRIBUTE_PREFIX.length);
    return name === '' ? 'lacks the name of the attribute' : { kind: 'attribute', name };
  }
  if (from.startsWith('$')) return `must be a path into the body, or ${ATTRIBUTE_PREFIX}NAME`;
  const parsed = parsePath(from);
  if (typeof parsed === 'string') return parsed;
  const path: (string | number)[] = [parsed.name];
  for (const step of parsed.steps) {
    if ('each' in step) return 'must lead to one value: it cannot hold "[*]"';
    path.push('member' in step ? step.member : step.index);
  }
  return { kind: 'body', path };
}

/** The same pipelines, those that share a queue with the routes of all that do. */
export function shareQueues(
  pipelines: readonly PipelineConfig[],
  findings: Findings,
): readonly PipelineConfig[] {
  const owners = new Map<string, PipelineConfig>();
  const groups = new Map<PipelineConfig, PipelineConfig[]>();
  for (const pipeline of pipelines) {
    const keys = pipeline.source.sqs.queues.map(({ endpoint, queue }) => `${endpoint ?? ''} ${queue}`);
    const owner = keys.map((key) => owners.get(key)).find((found) => found !== undefined) ?? pipeline;
    for (const key of keys) owners.set(key, owners.get(key) ?? owner);
    groups.set(owner, [...(groups.get(owner) ?? []), pipeline]);
  }
  const routes = new Map<PipelineConfig, RouteTable | null>();
  for (const group of groups.values()) {
    const route = sharedRoute(group, findings);
    for (const pipeline of group) routes.set(pipeline, route);
  }
  return pipelines.map((pipeline) => ({ ...pipeline, route: routes.get(pipeline) ?? null }));
}

/** What a group of pipelines with one queue has in common; null where there is one, and all is its own. */
function sharedRoute(group: readonly PipelineConfig[], findings: Findings): RouteTable | null {
  const [first, ...others] = group;
  if (first === undefined || (others.length === 0 && first.route === null)) return null;
  for (const pipeline of others) checkMember(pipeline, first, findings);
  for (const { name, schedule } of group) {
    if (schedule?.exclusive === true)
      findings.error(
        ['pipelines', name, 'schedule', 'exclusive'],
        'cannot be had with `route`: leave it out, any number of ingesters may receive from the queue',
      );
  }
  const defaults = group.filter(({ route }) => route?.otherwise !== undefined && route.otherwise !== null);
  for (const { name } of defaults.slice(1)) {
    const message = `pipeline ${defaults[0]?.name ?? ''} is the default of this queue already`;
    findings.error(['pipelines', name, 'route', 'default'], message);
  }
  const entries = group.flatMap(({ route }) => route?.entries ?? []);
  checkValues(entries, findings);
  return {
    pipelines: [first.name, ...others.map(({ name }) => name)],
    entries,
    otherwise: defaults[0]?.name ?? null,
  };
}

/** One ingester receives for all of them, so that there is one answer to how. */
function checkMember(pipeline: PipelineConfig, first: PipelineConfig, findings: Findings): void {
  const at = ['pipelines', pipeline.name];
  if (pipeline.route === null || first.route === null) {
    const message =
      `holds a queue of ${first.name} too: two that receive from one queue hide its messages from each other; ` +
      'give both a `route`, or each a queue of its own';
    findings.error([...at, 'source', 'sqs', 'queue'], message);
    return;
  }
  const isSame = (of: (one: PipelineConfig) => unknown): boolean =>
    JSON.stringify(of(pipeline)) === JSON.stringify(of(first));
  const why = `differs from that of ${first.name}, which shares the queue: messages are received once for both`;
  if (!isSame(({ source }) => source))
    findings.error([...at, 'source'], `${why}, so source and the limits on a message must be the same`);
  if (!isSame(({ schedule }) => schedule)) findings.error([...at, 'schedule'], why);
}

/** A value that two claim would be the first's alone. */
function checkValues(entries: RouteTable['entries'], findings: Findings): void {
  const owners = new Map<string, string>();
  for (const { pipeline, from, equals } of entries) {
    for (const value of equals) {
      const key = JSON.stringify([from, value]);
      const owner = owners.get(key);
      owners.set(key, owner ?? pipeline);
      if (owner === undefined) continue;
      const message = `${JSON.stringify(value)} is a value of ${owner} already`;
      findings.error(['pipelines', pipeline, 'route', 'equals'], message);
    }
  }
}
