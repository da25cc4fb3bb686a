import type { Document } from 'yaml';
import type { PipelineConfig } from '../config/config.js';
import { type ConfigProblem, sortProblems } from '../config/problem.js';
import { didYouMean } from '../config/suggestion.js';
import { timestamptz } from '../masking/calendar.js';
import { readExpected } from './expectation.js';
import type { TestCase } from './test-case.js';
import { type Value, YamlFile } from './yaml-nodes.js';

/** When messages were sent that do not say when: a date that no clock decides, so that tests give the same every day. */
const SENT_AT_MS = Date.UTC(2026, 0, 1);

/** What a file of cases holds, and what is wrong with it. */
export interface CaseFile {
  readonly cases: readonly TestCase[];
  readonly problems: readonly ConfigProblem[];
}

/**
 * Reads test cases: one YAML document per pipeline, `{ pipeline, cases: [{ name, message, expect }] }`. Everything that
 * is wrong is reported at once; cases that are not sound are left out.
 */
export function parseCases(file: string, text: string, pipelines: readonly PipelineConfig[]): CaseFile {
  const yaml = new YamlFile(file, text);
  const cases = yaml.documents.flatMap((document) => readDocument(file, yaml, document, pipelines));
  const names = new Set<string>();
  for (const { name, pipeline, place } of cases) {
    const key = `${pipeline} ${name}`;
    if (names.has(key)) yaml.problems.push(problem(file, place, 'another case of this name stands above'));
    names.add(key);
  }
  return { cases, problems: sortProblems(yaml.problems) };
}

function problem(file: string, place: TestCase['place'], message: string): ConfigProblem {
  return { file, ...place, path: '', message, severity: 'error' };
}

function readDocument(
  file: string,
  yaml: YamlFile,
  document: Document,
  pipelines: readonly PipelineConfig[],
): readonly TestCase[] {
  const top = yaml.members(document, document, ['pipeline', 'cases'], 'a document');
  if (top === null) return [];
  const pipeline = pipelineOf(yaml, document, top.pipeline ?? null, pipelines);
  if (top.cases === undefined) {
    yaml.wrong(document, '`cases` is required: a list of them');
    return [];
  }
  const items = yaml.list(document, top.cases, '`cases`') ?? [];
  return items.flatMap((item) => readCase(file, yaml, document, item, pipeline) ?? []);
}

function pipelineOf(
  yaml: YamlFile,
  document: Document,
  value: Value,
  pipelines: readonly PipelineConfig[],
): PipelineConfig | null {
  const names = pipelines.map(({ name }) => name);
  if (value === null) {
    if (pipelines.length === 1) return pipelines[0] ?? null;
    yaml.wrong(document, `\`pipeline\` is required where there are several: ${names.join(', ')}`);
    return null;
  }
  const name = yaml.text(value, '`pipeline`');
  const pipeline = pipelines.find((one) => one.name === name);
  if (name !== null && !pipeline)
    yaml.wrong(value, `no such pipeline${didYouMean(name, names)}; there is ${names.join(', ')}`);
  return pipeline ?? null;
}

function readCase(
  file: string,
  yaml: YamlFile,
  document: Document,
  item: Value,
  pipeline: PipelineConfig | null,
): TestCase | null {
  const parts = yaml.members(document, item, ['name', 'message', 'expect'], 'a case');
  if (parts === null) return null;
  for (const key of ['name', 'message', 'expect'] as const)
    if (parts[key] === undefined) yaml.wrong(item, `\`${key}\` is required`);
  const name = parts.name === undefined ? null : yaml.text(parts.name, '`name`');
  const envelope = parts.message === undefined ? null : readMessage(yaml, document, parts.message);
  const expected =
    parts.expect === undefined || pipeline === null
      ? null
      : readExpected(yaml, document, parts.expect, pipeline.policy);
  if (name === null || envelope === null || expected === null || pipeline === null) return null;
  return { file, place: yaml.place(item), pipeline: pipeline.name, name, envelope, expected };
}

const NO_MESSAGE_ID = '00000000-0000-4000-8000-000000000000';

function readMessage(yaml: YamlFile, document: Document, value: Value): TestCase['envelope'] | null {
  const keys = ['body', 'raw', 'attributes', 'sent_at', 'message_id', 'group_id', 'sequence_number'] as const;
  const parts = yaml.members(document, value, keys, '`message`');
  if (parts === null) return null;
  if ((parts.body === undefined) === (parts.raw === undefined)) {
    yaml.wrong(
      value,
      'a message has either `body`, which is sent as JSON, or `raw`, a text that is sent as it is',
    );
    return null;
  }
  const body =
    parts.raw === undefined ? yaml.json(document, parts.body ?? null) : yaml.text(parts.raw, '`raw`');
  const sentAt = parts.sent_at === undefined ? SENT_AT_MS : readTime(yaml, parts.sent_at);
  const attributes = parts.attributes === undefined ? {} : readAttributes(yaml, document, parts.attributes);
  const optional = (name: 'message_id' | 'group_id' | 'sequence_number'): string | null | undefined => {
    const given = parts[name];
    return given === undefined ? undefined : yaml.text(given, `\`${name}\``);
  };
  const messageId = optional('message_id');
  const groupId = optional('group_id');
  const sequenceNumber = optional('sequence_number');
  if (body === null || sentAt === null || attributes === null) return null;
  if (messageId === null || groupId === null || sequenceNumber === null) return null;
  return {
    messageId: messageId ?? NO_MESSAGE_ID,
    body,
    sentAt,
    receivedAt: sentAt,
    attributes,
    ...(groupId === undefined ? {} : { groupId }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
  };
}

function readTime(yaml: YamlFile, value: Value): number | null {
  const text = yaml.text(value, '`sent_at`');
  if (text === null) return null;
  const ms = typeof timestamptz(text) === 'string' ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  yaml.wrong(value, '`sent_at` must be a time with its offset, such as 2026-01-31T12:00:00Z');
  return null;
}

function readAttributes(
  yaml: YamlFile,
  document: Document,
  value: Value,
): Readonly<{ [name: string]: string }> | null {
  const json = yaml.json(document, value);
  if (json === null) return null;
  const attributes: unknown = JSON.parse(json);
  if (isTexts(attributes)) return attributes;
  yaml.wrong(value, '`attributes` must be a map of texts; put numbers in quotes');
  return null;
}

function isTexts(value: unknown): value is Readonly<{ [name: string]: string }> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((one) => typeof one === 'string')
  );
}
