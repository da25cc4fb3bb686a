// Sends the traces of maskline to a collector, by OTLP over HTTP: OTEL_EXPORTER_OTLP_ENDPOINT says where it is, and
// OTEL_SERVICE_NAME how the process is called there.
//
//   npm install @opentelemetry/sdk-trace-node @opentelemetry/resources @opentelemetry/exporter-trace-otlp-http
//   NODE_OPTIONS='--import ./tracing.mjs' npx maskline run
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const named = resourceFromAttributes({ 'service.name': 'maskline' });
const provider = new NodeTracerProvider({
  resource: defaultResource()
    .merge(named)
    .merge(detectResources({ detectors: [envDetector] })),
  // What it holds at the end maskline lets it send.
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
