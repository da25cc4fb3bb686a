// Whose span a message or a batch comes from, as texts that travel and as OpenTelemetry has it.

import { type SpanContext, TraceFlags, isSpanContextValid } from '@opentelemetry/api';
import type { MessageHead } from '../batch.js';

/** W3C Trace Context, section 3.2; later versions begin like this one and may go on. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/;
/** AWS X-Ray Developer Guide, "Tracing header": `Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=1`. */
const XRAY_ROOT = /(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})(?=;|$)/;
const XRAY_PARENT = /(?:^|;)\s*Parent=([0-9a-f]{16})(?=;|$)/;
const XRAY_SAMPLED = /(?:^|;)\s*Sampled=1(?=;|$)/;

/** Where a batch comes from: the span to go on from, and the others that it is linked to. */
export interface Origins {
  readonly parent: SpanContext | null;
  readonly links: readonly SpanContext[];
}

/** More links than this tell nobody more; SDKs keep 128. */
const MAX_LINKS = 32;

/** The context in a `traceparent`; null for what is none. */
export function fromTraceparent(text: string): SpanContext | null {
  const [, traceId = '', spanId = '', flags = ''] = TRACEPARENT.exec(text) ?? [];
  return valid({
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
  });
}

/** The context in an `AWSTraceHeader`; null for what is none, or names no parent. */
export function fromTraceHeader(text: string): SpanContext | null {
  const [, time = '', unique = ''] = XRAY_ROOT.exec(text) ?? [];
  const [, spanId = ''] = XRAY_PARENT.exec(text) ?? [];
  const traceFlags = XRAY_SAMPLED.test(text) ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return valid({ traceId: time + unique, spanId, traceFlags, isRemote: true });
}

/** The `traceparent` of a span. */
export function toTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/**
 * Where the messages of a batch come from, by their attributes `traceparent` or AWSTraceHeader. A batch goes on with
 * the trace of its messages when they are all of one; of several it is linked to each, up to 32.
 */
export function originsOf(messages: readonly Pick<MessageHead, 'attributes'>[]): Origins {
  const spans = new Map<string, SpanContext>();
  const traces = new Set<string>();
  for (const { attributes } of messages) {
    const found = contextOf(attributes);
    if (found === null) continue;
    traces.add(found.traceId);
    if (spans.size <= MAX_LINKS) spans.set(found.traceId + found.spanId, found);
  }
  const [first, ...others] = spans.values();
  if (first === undefined) return { parent: null, links: [] };
  if (traces.size > 1) return { parent: null, links: [first, ...others].slice(0, MAX_LINKS) };
  return { parent: first, links: others.slice(0, MAX_LINKS) };
}

function contextOf({ traceparent, AWSTraceHeader: header }: MessageHead['attributes']): SpanContext | null {
  const own = traceparent === undefined ? null : fromTraceparent(traceparent);
  return own ?? (header === undefined ? null : fromTraceHeader(header));
}

function valid(context: SpanContext): SpanContext | null {
  return isSpanContextValid(context) ? context : null;
}
