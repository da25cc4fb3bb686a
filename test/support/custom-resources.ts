// Objects of Kubernetes that no package has types of: of KEDA 2.17 (its CRDs, keda.sh/v1alpha1) and of the operator of
// Prometheus (monitoring.coreos.com/v1), as far as the manifests use them. All else in them is an error.

import type { HorizontalPodAutoscalerBehavior } from 'kubernetes-types/autoscaling/v2.js';
import type { LabelSelector, ObjectMeta } from 'kubernetes-types/meta/v1.js';

/** What scales one Deployment. */
export interface ScaledObject {
  readonly apiVersion: 'keda.sh/v1alpha1';
  readonly kind: 'ScaledObject';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly scaleTargetRef: { readonly name: string };
    readonly minReplicaCount?: number;
    readonly maxReplicaCount?: number;
    /** Seconds. */
    readonly pollingInterval?: number;
    readonly fallback?: {
      readonly failureThreshold: number;
      readonly replicas: number;
      readonly behavior?: 'static' | 'currentReplicas' | 'currentReplicasIfHigher' | 'currentReplicasIfLower';
    };
    readonly advanced?: {
      readonly horizontalPodAutoscalerConfig?: { readonly behavior?: HorizontalPodAutoscalerBehavior };
    };
    readonly triggers: readonly Trigger[];
  };
}

/** What is asked; all values of its metadata are strings. */
export type Trigger =
  | {
      readonly type: 'aws-sqs-queue';
      readonly authenticationRef: { readonly name: string };
      readonly metadata: {
        readonly queueURL: string;
        readonly awsRegion: string;
        /** Messages for each replica. */
        readonly queueLength: `${number}`;
        readonly scaleOnInFlight: 'true' | 'false';
      };
    }
  | {
      readonly type: 'prometheus';
      readonly metadata: {
        readonly serverAddress: string;
        readonly query: string;
        /** What the query may answer for each replica. */
        readonly threshold: `${number}`;
        readonly ignoreNullValues: 'true' | 'false';
      };
    };

/** As whom KEDA asks. */
export interface TriggerAuthentication {
  readonly apiVersion: 'keda.sh/v1alpha1';
  readonly kind: 'TriggerAuthentication';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly podIdentity: { readonly provider: 'aws'; readonly identityOwner: 'keda' | 'workload' };
  };
}

/** What Prometheus scrapes. */
export interface PodMonitor {
  readonly apiVersion: 'monitoring.coreos.com/v1';
  readonly kind: 'PodMonitor';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly selector: LabelSelector;
    readonly podMetricsEndpoints: readonly {
      readonly port: string;
      readonly path: string;
      readonly interval: `${number}s`;
    }[];
  };
}
