import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Counts from zero for each pipeline, so that a rate is right from the first event on. */
export function counter(
  registry: Registry,
  name: string,
  help: string,
  pipelines: readonly string[],
  labels: readonly string[] = [],
): Counter {
  const made = new Counter({ name, help, labelNames: ['pipeline', ...labels], registers: [registry] });
  for (const pipeline of pipelines) made.inc({ pipeline }, 0);
  return made;
}

/** Of what is no pipeline's. `collect` runs at each scrape. */
export function plainCounter(
  registry: Registry,
  name: string,
  help: string,
  labels: readonly string[],
  collect?: () => Promise<void>,
): Counter {
  return new Counter({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    ...(collect ? { collect } : {}),
  });
}

/** `collect` runs at each scrape. */
export function gauge(
  registry: Registry,
  name: string,
  help: string,
  labels: readonly string[],
  collect?: () => Promise<void>,
): Gauge {
  return new Gauge({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    ...(collect ? { collect } : {}),
  });
}

/** One histogram a pipeline; `buckets` are upper bounds. */
export function histogram(
  registry: Registry,
  name: string,
  help: string,
  buckets: readonly number[],
): Histogram {
  return new Histogram({
    name,
    help,
    labelNames: ['pipeline'],
    buckets: [...buckets],
    registers: [registry],
  });
}
