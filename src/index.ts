// The public API: the flow over its ports, the ports, and the vocabulary they speak.

export type {
  Batch,
  BatchReport,
  Counts,
  Delivery,
  Envelope,
  Fate,
  InputRecord,
  MaskedBatch,
  MessageHead,
  Receipt,
  RecordKey,
  Rejection,
  RejectionCode,
  RunReport,
  RunState,
  Trigger,
} from './batch.js';
export { type Clock, systemClock } from './clock.js';
export type { Config, PipelineConfig } from './config/config.js';
export { type ConfigOrigin, loadConfig } from './config/load.js';
export { type ErrorCode, PipelineError } from './errors.js';
export type { HeldBatch, RunLog, Sink } from './load/sink.js';
export {
  type CustomMasker,
  type KeyedMaskerContext,
  type KeyedMaskerDefinition,
  type MaskerContext,
  type MaskerDefinition,
  defineMasker,
} from './masking/define-masker.js';
export type { MaskCounts, Masker } from './masking/mask.js';
export type { Masked } from './masking/masked.js';
export {
  type IngestPorts,
  type LoadPorts,
  type TransformPorts,
  drain,
  load,
  settle,
  transform,
} from './pipeline.js';
export type { Backlog, BatchQueue, JobState, Sealer } from './queue/queue.js';
export { Run, type RunOptions } from './run.js';
export type { QueueDepth, ReceiveMode, Source } from './source/source.js';
